"""Loss saturation: probabilities where the loss wants logits, or a softmax over one unit."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.softmaxes import length, mixes
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding

_TWICE = {
    "cross_entropy": ("softmax", "sigmoid", "log_softmax"),
    "log_softmax": ("softmax", "sigmoid"),
    "binary_cross_entropy_with_logits": ("sigmoid", "softmax"),
    "nll_loss": ("softmax", "sigmoid"),
}
_BOUNDED = ("tanh", "hardtanh", "softsign")  # between -1 and 1
_PASSES = ("shape", "dropout")
_SQUASHING = ("softmax", "sigmoid", "tanh")
_OF_PROBABILITIES = ("binary_cross_entropy", "nll_loss", "kl_div", *_TWICE)
_STRAIGHT = ("sub", "rsub", "add", "neg", "clamp", "clamp_min", "mul")


@rule(sources=("glorot2010", "hochreiter1998"))
def loss_saturation(graph: Graph, *, flat: float = 0.05, pulled: float = 0.1) -> Finding | None:
    """The loss makes probabilities of what already are some, or the softmax runs over a single unit.

    Signs: a softmax or sigmoid of the model feeds `cross_entropy`, `nll_loss` or the with-logits loss, and the error
    gradient passes through it; or a softmax whose axis has length 1; or a squashing in front of a squared error, or of
    log(1 - D), that passes less than `flat` of the gradient while the loss is worse than with all outputs at 0 (or, where
    that was not tried, the cosine of logits and gradient exceeds `pulled`: a step makes them smaller); or a loss
    cut off above, with nearly all examples beyond the cut; or a tanh before the cross-entropy of several classes.

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
        for source in _sources(graph, site.order):
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
    return _bounded(graph) or _silent(graph) or _sure_and_wrong(graph, flat, pulled) or _beyond_clamp(graph)


def _bounded(graph: Graph) -> Finding | None:
    """Scores between -1 and 1 for several classes: however right they are, the loss stays far above 0."""
    for site in graph.run.sites:
        if site.phase != "loss" or site.operation not in ("cross_entropy", "log_softmax"):
            continue
        for source in _sources(graph, site.order):
            below = graph.site(source)
            classes = below.shape[1] if len(below.shape) > 1 else 2
            floor, chance = math.log1p((classes - 1) * math.exp(-2.0)), math.log(max(classes, 2))
            if below.operation not in _BOUNDED or source not in graph.run.outputs or floor < 0.25 * chance:
                continue
            return Finding(
                problem="loss-saturation",
                severity="warning",
                sites=(below.name,),
                where=below.where,
                evidence=(Evidence("lowest loss that such scores allow", floor, "loss"),),
                reason=(
                    f"{below.name} keeps the scores of {classes} classes between -1 and 1: the largest probability they can give is "
                    f"{number(math.exp(-floor))}, so the loss cannot fall below {number(floor)} (chance is {number(chance)}), and near its ends "
                    f"{below.operation} passes no gradient."
                ),
                advice=f"Leave out the {below.operation}: cross-entropy wants scores without a limit.",
                confidence=0.9,
                sources=("glorot2010", "hochreiter1998"),
                victims=tuple(graph.site(layer).name for layer in graph.layers() if layer < source),
            )
    return None


def _silent(graph: Graph) -> Finding | None:
    """A loss that is not 0 and gives a gradient of exactly 0 to every output."""
    run = graph.run
    found = [graph.reading(index).gradient for index in run.outputs]
    heard = [gradient for gradient in found if gradient is not None]
    halved = any(site.dtype == "float16" for site in run.sites)
    if not heard or any(g.rms > 0.0 or g.nonfinite for g in heard) or not graph.loss or halved:
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


def _sure_and_wrong(graph: Graph, flat: float, pulled: float) -> Finding | None:
    """A squashing that is flat where the network stands, while the gradient would take it back."""
    for site in graph.run.sites:
        if site.operation not in _SQUASHING or not (site.phase == "loss" or site.order in graph.run.outputs):
            continue
        passed = [reading.gradient_norm for _, reading in graph.feeders.get(site.order, [])]
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        arrived = _arrived(graph, site.order)
        if not sources or not passed or passed[0] is None or not arrived or graph.gradient_norm(site.order) is None:
            continue
        share, alignment = passed[0] / arrived, graph.reading(sources[0]).alignment
        neutral = graph.run.neutral_loss
        if neutral is not None and graph.loss is not None:
            wrong = graph.loss > neutral
        else:
            wrong = alignment is not None and alignment > pulled
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


def _sources(graph: Graph, index: int) -> list[int]:
    """Return what feeds a site, past what only moves values."""
    found: list[int] = []
    pending = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    while pending:
        source = pending.pop()
        if graph.site(source).kind in _PASSES:
            pending += [below for below, _ in graph.feeders.get(source, []) if below >= 0]
        else:
            found.append(source)
    return found


def _finding(graph: Graph, index: int, loss: str, *, critical: bool) -> Finding:
    site, gain = graph.site(index), graph.reading(index).gain
    if critical:
        reason = f"{site.name} is a softmax over a single unit: it is 1 whatever the network says, and no gradient passes it."
        advice = "For two classes take one logit and the with-logits loss (a sigmoid inside it), or two units and cross-entropy."
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
