"""Loss saturation: probabilities where the loss wants logits, or a softmax over one unit."""

from __future__ import annotations

import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.highest_loss import at_its_highest
from photic.diagnosis.learning import learns
from photic.diagnosis.likelihoods import OF_LOGARITHMS, past_shapes
from photic.diagnosis.registry import rule
from photic.diagnosis.score_limits import Limit, limit_of, lowest_loss
from photic.diagnosis.softmaxes import length, mixes
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding

_TWICE = {
    "cross_entropy": ("softmax", "sigmoid", "log_softmax"),
    "log_softmax": ("softmax", "sigmoid"),
    "binary_cross_entropy_with_logits": ("sigmoid", "softmax"),
    "nll_loss": ("softmax", "sigmoid"),
    "ctc_loss": ("softmax", "sigmoid"),
}
_COSINES = ("div", "cosine_similarity")
_PASSES = ("shape", "dropout")
_SQUASHING = ("softmax", "sigmoid", "tanh")
_OF_PROBABILITIES = ("binary_cross_entropy", "nll_loss", "kl_div", *_TWICE)
_STRAIGHT = ("sub", "rsub", "add", "neg", "clamp", "clamp_min", "mul")


@rule(sources=("glorot2010", "hochreiter1998", "radford2021"))
def loss_saturation(
    graph: Graph, training: Training | None = None, *, flat: float = 0.05, pulled: float = 0.1
) -> Finding | None:
    """The loss makes probabilities of what already are some, or the softmax runs over a single unit.

    Signs: a softmax or sigmoid of the model feeds `cross_entropy`, `nll_loss`, `ctc_loss` or the with-logits loss, and the error
    gradient passes through it; or a softmax whose axis has length 1; or a squashing in front of a squared error, or of
    log(1 - D), that passes less than `flat` of the gradient while the loss is worse than with all outputs at 0 (or, where
    that was not tried, the cosine of logits and gradient exceeds `pulled`: a step makes them smaller); or a loss
    cut off above, with nearly all examples beyond the cut; or a tanh, or a cosine that no temperature divides, before the
    cross-entropy of several classes. Or a loss of numbers stays above that of their mean, and its slope is less than `flat` of what
    its height and the size of outputs and targets would give: a robust loss that is narrow beside the errors.

    Why it matters: a second softmax sees numbers between 0 and 1 and can never be sure: for K classes the loss cannot fall
    below ln(1 + (K - 1) / e), and the slope of the first one multiplies the gradient away as it saturates. A softmax over
    one unit is 1 whatever the network does: its gradient is 0.

    False alarms: the softmax of an attention feeds values, not a loss; soft targets of a teacher get no gradient; a sigmoid
    into `binary_cross_entropy` is as it should be. One that is flat because it is right has a lower loss than outputs of 0
    have. A log_softmax before `cross_entropy` changes nothing and is not reported.
    """
    single = [
        site.order
        for site in graph.run.sites
        if site.operation in ("softmax", "log_softmax") and site.phase == "model" and length(graph, site.order) == 1
        and not mixes(graph, site.order)
    ]  # fmt: skip
    if single:
        return _finding(graph, single[0], "", critical=True)
    for site in graph.run.sites:
        if site.operation not in _TWICE:
            continue
        for source in past_shapes(graph, site.order):
            below = graph.site(source)
            arrived = graph.gradient_norm(source)
            if (
                below.operation in _TWICE[site.operation]
                and below.operation != "log_softmax"
                and below.order != site.order
                and arrived is not None
                and len(graph.consumers.get(source, [])) == 1
            ):
                return _finding(graph, source, site.operation, critical=False)
    return (
        _bounded(graph, training)
        or _silent(graph)
        or _sure_and_wrong(graph, training, flat, pulled)
        or _beyond_clamp(graph)
        or _too_narrow(graph, training, flat)
    )


def limited_scores(graph: Graph) -> tuple[int, Limit, int] | None:
    """Return a loss over classes whose scores are kept so small that it stays far above 0, what keeps them, and how many classes."""
    for site in graph.run.sites:
        if site.phase != "loss" or site.operation not in ("cross_entropy", "log_softmax"):
            continue
        for source, _ in graph.feeders.get(site.order, []):
            limit = limit_of(graph, source) if source >= 0 else None
            shape = () if source < 0 else graph.site(source).shape
            classes = shape[1] if len(shape) > 1 else 2
            squashed = limit is not None and graph.site(limit.site).operation not in _COSINES
            if limit is None or (squashed and not {limit.site, source} & set(graph.run.outputs)):
                continue
            if lowest_loss(limit.largest, classes) >= 0.25 * math.log(max(classes, 2)):
                return site.order, limit, classes
    return None


def _bounded(graph: Graph, training: Training | None) -> Finding | None:
    """Scores in a narrow range for several classes: however right they are, the loss stays far above 0."""
    found = limited_scores(graph)
    if found is None:
        return None
    _, limit, classes = found
    below, floor = graph.site(limit.site), lowest_loss(limit.largest, classes)
    cosines = below.operation in _COSINES
    return Finding(
        problem="loss-saturation",
        severity="info" if cosines and learns(training) else "warning",
        sites=(below.name,),
        where=below.where,
        evidence=(Evidence("lowest loss that such scores allow", floor, "loss"),),
        reason=(
            f"{'The length of the codes' if cosines else below.name} keeps the scores of {classes} classes between {number(-limit.largest)} "
            f"and {number(limit.largest)}: the largest probability they can give is {number(math.exp(-floor))}, so the loss cannot fall below "
            f"{number(floor)} (chance is {number(math.log(classes))})"
            + ("." if cosines else f", and near its ends {below.operation} passes no gradient.")
        ),
        advice="Divide the cosines by a temperature of about 0.07, or learn the scale."
        if cosines
        else f"Leave out the {below.operation}: cross-entropy wants scores without a limit.",
        confidence=0.9,
        sources=("radford2021",) if cosines else ("glorot2010", "hochreiter1998"),
        victims=tuple(graph.site(layer).name for layer in graph.layers() if layer < limit.site),
    )


def _silent(graph: Graph) -> Finding | None:
    """A loss that is not 0, or at its highest, and gives a gradient of exactly 0 to every output."""
    run = graph.run
    found = [graph.reading(index).gradient for index in run.outputs]
    heard = [gradient for gradient in found if gradient is not None]
    halved = any(site.dtype == "float16" for site in run.sites)
    if not heard or any(g.rms > 0.0 or g.nonfinite for g in heard) or graph.loss is None or halved:
        return None
    if graph.loss == 0.0 and at_its_highest(graph) is None:
        return None
    return Finding(
        problem="loss-saturation",
        severity="critical",
        sites=(),
        where=next((site.where for site in run.sites if site.phase == "loss"), ""),
        evidence=(Evidence("loss", graph.loss, "loss"),),
        reason=(
            f"The loss stands at {number(graph.loss)} and gives every output a gradient of exactly 0: where the outputs are, it is "
            "flat (cut off, or all beyond its range)."
        ),
        advice="Leave the limit out, or take a loss that keeps a slope for large errors.",
        confidence=0.9,
        sources=("lecun1998",),
        victims=tuple(graph.site(layer).name for layer in graph.layers()),
    )


def _sure_and_wrong(graph: Graph, training: Training | None, flat: float, pulled: float) -> Finding | None:
    """A squashing that is flat where the network stands, while the gradient would take it back."""
    for site in graph.run.sites:
        if site.operation not in _SQUASHING or not (site.phase == "loss" or _ends(graph, site.order)):
            continue
        passed = [reading.gradient_norm for _, reading in graph.feeders.get(site.order, [])]
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        arrived = _arrived(graph, site.order)
        if not sources or not passed or passed[0] is None or not arrived or graph.gradient_norm(site.order) is None:
            continue
        if _told_otherwise(graph, sources[0], site.order) > passed[0]:
            continue  # the weight of a focal loss, beside a cross-entropy of the same scores
        share, alignment = passed[0] / arrived, graph.reading(sources[0]).alignment
        neutral = graph.run.neutral_loss
        if neutral is not None and graph.loss is not None:
            wrong = graph.loss > neutral
        else:
            wrong = alignment is not None and alignment > pulled
        if site.phase == "model" and training is not None and training.constant is not None and not learns(training):
            # outputs of 0 are no neutral ones behind a sigmoid: worse than the targets' mean is wrong
            wrong = wrong or min(graph.loss or 0.0, training.last) > 1.02 * training.constant
        if share >= flat or not wrong:
            continue
        return Finding(
            problem="loss-saturation",
            severity="critical",
            sites=(site.name,) if site.phase == "model" else (),
            where=site.where,
            evidence=(
                Evidence("share of the gradient that passes it", share, "ratio"),
                Evidence("loss", graph.loss or 0.0, "loss"),
            ),
            reason=(
                f"The {site.operation} at {site.name} passes {number(share)} of the gradient: the outputs are sure and wrong, the gradient "
                "would take them back, and this loss has no slope there."
            ),
            advice="Take a loss that grows with the error: cross entropy on logits instead of a squared error of probabilities, "
            "-log D instead of log(1 - D) for a generator.",
            confidence=0.85,
            sources=("goodfellow2014", "lecun1998"),
            victims=tuple(graph.site(layer).name for layer in graph.layers()),
        )
    return None


def _told_otherwise(graph: Graph, source: int, index: int) -> float:
    """Return the largest gradient that a signal gets from the loss by other ways than a site."""
    above = [after for after in graph.consumers.get(source, []) if after != index and graph.site(after).phase == "loss"]
    found = [edge.gradient_norm for after in above for feeder, edge in graph.feeders.get(after, []) if feeder == source]
    return max((norm for norm in found if norm is not None), default=0.0)


def _ends(graph: Graph, index: int) -> bool:
    """Whether what a site gives is an output of the model, past shapes."""
    while index not in graph.run.outputs:
        after = graph.consumers.get(index, [])
        if len(after) != 1 or graph.site(after[0]).kind not in _PASSES:
            return False
        index = after[0]
    return True


def _too_narrow(graph: Graph, training: Training | None, flat: float) -> Finding | None:
    """A loss of numbers that stays above that of their mean and has next to no slope where the outputs are.

    A power of the error has a slope of |gradient| * |error| >= the loss, or twice that; |output| + |target| stands for |error|.
    """
    if training is None or training.constant is None or not graph.loss or learns(training):
        return None
    if not min(graph.loss, training.last) > 0.98 * training.constant:
        return None
    given = [reading.given.norm for reading in graph.run.steps[graph.step].sites if reading.given is not None]
    outputs = [graph.reading(index) for index in graph.run.outputs]
    signals = [one.signal.norm for one in outputs if one.signal is not None]
    slopes = [one.gradient.norm for one in outputs if one.gradient is not None]
    if not given or len(outputs) != 1 or not signals or not slopes or not slopes[0] > 0.0:
        return None
    share = slopes[0] * (signals[0] + max(given)) / graph.loss
    if share >= flat or any(site.dtype == "float16" for site in graph.run.sites):
        return None
    return Finding(
        problem="loss-saturation",
        severity="critical",
        sites=(),
        where=next((site.where for site in graph.run.sites if site.phase == "loss"), ""),
        evidence=(
            Evidence("slope of the loss times the size of outputs and targets, over the loss", share, "ratio"),
            Evidence("loss", graph.loss, "loss"),
            Evidence("loss of the targets' mean", training.constant, "loss"),
        ),
        reason=(
            f"The loss stands at {number(graph.loss)}, no better than the targets' mean ({number(training.constant)}), and has {number(share)} "
            "of the slope that a loss of that height has: it is flat where the errors are, and they are too large for it."
        ),
        advice="Widen the loss until most errors lie where it has a slope (the scale of a robust loss), or begin with a squared error.",
        confidence=0.85,
        sources=("lecun1998",),
        victims=tuple(graph.site(layer).name for layer in graph.layers()),
    )


def _arrived(graph: Graph, index: int) -> float | None:
    """Return the gradient at the logarithm that takes a probability, or at the squashing itself; None in a fused loss."""
    seen, pending = {index}, [index]
    while pending:
        for after in graph.consumers.get(pending.pop(), []):
            site = graph.site(after)
            if site.operation in _OF_PROBABILITIES:
                return None
            if site.operation.startswith("log"):
                return graph.gradient_norm(after)
            if after not in seen and (site.operation in _STRAIGHT or site.kind in _PASSES):
                seen.add(after)
                pending.append(after)
    return graph.gradient_norm(index)


def _beyond_clamp(graph: Graph) -> Finding | None:
    """A loss that is cut off above, where nearly all examples lie beyond the cut."""
    for site in graph.run.sites:
        limit, signal = site.settings.get("max"), graph.reading(site.order).signal
        if site.phase != "loss" or not site.operation.startswith("clamp") or not isinstance(limit, (int, float)):
            continue
        gain, arrived = graph.reading(site.order).gain, graph.reading(site.order).gradient
        if (
            signal is None
            or gain is None
            or gain > 0.2
            or signal.mean < 0.95 * limit
            or arrived is None
            or arrived.mean <= 0.0
        ):
            continue
        return Finding(
            problem="loss-saturation",
            severity="critical",
            sites=(),
            where=site.where,
            evidence=(Evidence("share of the gradient that passes the limit", gain, "ratio"),),
            reason=(
                f"The loss is cut off at {number(float(limit))} ({site.name}) and stands at {number(signal.mean)} on the mean: nearly all "
                "examples lie beyond, where it has no slope."
            ),
            advice="Leave the limit out, or take a loss that keeps a slope for large errors.",
            confidence=0.9,
            sources=("lecun1998",),
            victims=tuple(graph.site(layer).name for layer in graph.layers()),
        )
    return None


def _finding(graph: Graph, index: int, loss: str, *, critical: bool) -> Finding:
    site, gain = graph.site(index), graph.reading(index).gain
    if critical:
        reason = f"{site.name} is a softmax over a single unit: it is 1 whatever the network says, and no gradient passes it."
        advice = "For two classes take one logit and the with-logits loss (a sigmoid inside it), or two units and cross-entropy."
    elif loss in OF_LOGARITHMS:
        reason = (
            f"{site.name} makes probabilities, and {loss} takes their logarithms: it falls below 0, and the surer the network is the "
            "smaller is the slope that it gets."
        )
        advice = f"Take log_softmax in the place of the {site.operation}."
    else:
        reason = (
            f"{site.name} makes probabilities and {loss} makes probabilities of them again: the second sees numbers between 0 and 1 "
            f"and can never be sure, and {number(gain)} of the gradient passes the first."
            if gain is not None
            else f"{site.name} makes probabilities, and {loss} wants logits."
        )
        advice = (
            f"Leave out the {site.operation} and hand the logits to the loss; take it only to read off probabilities."
        )
    evidence = [Evidence("gain of the gradient through it", gain, "ratio")] if gain is not None else []
    return Finding(
        problem="loss-saturation",
        severity="critical" if critical else "warning",
        sites=(site.name,),
        where=site.where,
        evidence=tuple(evidence),
        reason=reason,
        advice=advice,
        confidence=0.97 if critical else 0.95,
        sources=("glorot2010", "hochreiter1998"),
        victims=tuple(graph.site(layer).name for layer in graph.layers() if layer < index),
    )
