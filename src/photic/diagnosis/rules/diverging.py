"""Diverging: the loss climbs from the first steps on."""

from __future__ import annotations

import itertools
import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import uphill
from photic.diagnosis.likelihoods import OF_LOGARITHMS, bare_likelihood, past_shapes
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding
from photic.records.sites import Site

_ERRORS = (
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)


@rule(sources=("cs231n",))
def diverging(
    graph: Graph, training: Training | None, *, growth: float = 1.5, along: float = 0.5, fewest: int = 8
) -> Finding | None:
    """The steps go uphill, or the loss grows steadily to more than `growth` times what it was.

    Signs: the update of most weight matrices points along the gradient instead of against it (cosine above `along`), and
    the loss does not fall; or all losses of the second half lie above those of the first half, and the last are `growth`
    times the first. Or the loss is nothing but the negative of an error that is compared with targets, or a log likelihood without
    its minus sign, and the steps make it worse. Or it has no lower bound and runs away below 0: `nll_loss` or `ctc_loss` of numbers
    above 0, which are no logarithms of probabilities, or an error whose weight is negative.

    Why it matters: an optimizer that climbs (`maximize=True`, a loss with the wrong sign) makes everything worse as well as
    it can; a loss that grows from step to step ends in infinity.

    False alarms: losses of a game or a policy may grow, and maximising is sometimes meant: then the loss says so by falling
    below 0. Where no optimizer was given the steps were ours.
    """
    if training is None or graph.run.facts.get("optimizer") == "assumed":
        return None
    finite = list(itertools.takewhile(math.isfinite, training.losses))
    if (raw := _raw_scores(graph)) is not None:
        return raw
    turned = negated(graph)
    if turned is not None and finite and finite[-1] < 1.1 * finite[0] < 0.0:
        reason = (
            f"The loss is the negative of {turned.operation} ({turned.name}): it goes from {number(finite[0])} to "
            f"{number(finite[-1])}, so the error grows."
        )
        return _finding(
            reason,
            "Take the minus sign away.",
            Evidence("last loss over the first", finite[-1] / finite[0], "ratio"),
            0.95,
        )
    if finite and finite[-1] < finite[0] < 0.0 and (sums := bare_likelihood(graph)):
        site = graph.site(sums[-1])
        return _finding(
            f"The loss is made of logarithms of probabilities alone ({site.name}), and goes from {number(finite[0])} to "
            f"{number(finite[-1])}: what is seen is made less and less probable.",
            "Minimise the negative of the log likelihood.",
            Evidence("last loss over the first", finite[-1] / finite[0], "ratio"),
            0.95,
        )
    if (endless := _endless(graph, finite)) is not None:
        return endless
    up, known = uphill(graph, along)
    if 2 * up > known and finite and finite[-1] >= finite[0] > 0.0:
        reason = (
            f"The step points uphill: along the gradient, not against it, in {up} of {known} weight matrices, and the loss goes "
            f"from {number(finite[0])} to {number(finite[-1])}."
        )
        advice = "Descend: take `maximize=True` away, or give the loss the other sign."
        return _finding(
            reason, advice, Evidence("weight matrices whose step points uphill", float(up), "matrices"), 0.97
        )
    half = len(finite) // 2
    if len(finite) < fewest or not finite[0] > 0.0 or not finite[-1] > growth * finite[0]:
        return None
    if min(finite[half:]) <= max(finite[:half]) or finite[-1] < max(finite):
        return None
    reason = (
        f"The loss grows from step to step, from {number(finite[0])} to {number(finite[-1])} in {len(finite)} steps."
    )
    advice = "Lower the learning rate; it lies above twice the inverse of the largest curvature."
    return _finding(reason, advice, Evidence("last loss over the first", finite[-1] / finite[0], "ratio"), 0.8)


def _finding(reason: str, advice: str, evidence: Evidence, confidence: float) -> Finding:
    return Finding(
        problem="diverging",
        severity="critical",
        sites=(),
        where="",
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=confidence,
        sources=("cs231n",),
    )


def negated(graph: Graph) -> Site | None:
    """Return the error whose negative, and nothing else, is the loss."""
    for site in graph.run.sites:
        if site.phase != "loss" or site.operation not in _ERRORS:
            continue
        index, sign = site.order, 1
        while True:
            above = graph.consumers.get(index, [])
            if len(above) != 1:
                break
            index = above[0]
            upper, other = graph.site(index), graph.site(index).settings.get("other")
            turns = isinstance(other, (int, float)) and other < 0
            if len(graph.feeders.get(index, [])) != 1 or upper.operation not in (
                "neg",
                "mean",
                "sum",
                "mul",
                "div",
                "nll_loss",
            ):
                break
            sign *= -1 if upper.operation == "neg" or turns else 1
        if not graph.consumers.get(index) and sign < 0:
            return site
    return None


def _raw_scores(graph: Graph) -> Finding | None:
    """`nll_loss` or `ctc_loss` of what no log_softmax has seen."""
    for site in graph.run.sites:
        if site.phase != "loss" or site.operation not in OF_LOGARITHMS:
            continue
        for source in past_shapes(graph, site.order):
            signal = graph.reading(source).signal
            made = graph.site(source).operation
            if signal is None or made.startswith("log") or made in ("softmax", "sigmoid"):  # those: `loss-saturation`
                continue
            # A negative log-likelihood that is the whole loss and falls below 0 says that a probability is above 1.
            below = not graph.consumers.get(site.order) and min(graph.run.losses, default=0.0) < -0.5
            if not below and (signal.maximum < 1.0 or signal.mean + signal.deviation < 0.5):
                continue
            return _finding(
                f"{site.operation} takes numbers around {number(signal.mean)} with deviation {number(signal.deviation)} from "
                f"{graph.site(source).name}: logarithms of probabilities are never above 0, and minus a raw score has no lower bound.",
                f"Put a log_softmax before {site.operation}"
                + (", or use cross_entropy." if site.operation == "nll_loss" else "."),
                Evidence("mean of what should be logarithms of probabilities", signal.mean, "value"),
                0.95,
            )
    return None


def _even(site: Site) -> bool:
    """Whether an error is written out here: a square, or a size."""
    return site.operation in ("square", "abs") or (site.operation == "pow" and site.settings.get("exponent") in (2, 4))


def _endless(graph: Graph, losses: list[float]) -> Finding | None:
    """A loss made of errors that falls far below 0, faster and faster."""
    quarter, within = len(losses) // 4, [site for site in graph.run.sites if site.phase == "loss"]
    torchs = any(site.operation in _ERRORS for site in within)
    if quarter < 3 or not (torchs or any(_even(site) for site in within)):
        return None
    begin, before, end = (sum(losses[a : a + 3]) / 3.0 for a in (0, len(losses) - quarter - 3, len(losses) - 3))
    far = 10.0 * max(abs(begin), 1e-6) if torchs else 1e3 * max(abs(begin), 1.0)
    if not end < -far or not before - end > begin - before:
        return None
    return _finding(
        f"The loss is made of errors, which are not below 0, and falls from {number(begin)} to {number(end)}, faster and faster: an error "
        "has a negative weight, so that the steps make it grow.",
        "Look at what errors are multiplied with and divided by: it must be above 0 (exp of a learned number, with its penalty); or give "
        "the term the other sign.",
        Evidence("last loss over the first", end / begin if begin else -math.inf, "ratio"),
        0.85,
    )
