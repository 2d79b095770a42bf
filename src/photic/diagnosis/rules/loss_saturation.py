"""Loss saturation: probabilities where the loss wants logits, or a softmax over one unit."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding

_TWICE = {
    "cross_entropy": ("softmax", "sigmoid", "log_softmax"),
    "log_softmax": ("softmax", "sigmoid"),
    "binary_cross_entropy_with_logits": ("sigmoid", "softmax"),
    "nll_loss": ("softmax", "sigmoid"),
}
_PASSES = ("shape", "dropout")


@rule(sources=("glorot2010", "hochreiter1998"))
def loss_saturation(graph: Graph) -> Finding | None:
    """The loss makes probabilities of what already are some, or the softmax runs over a single unit.

    Signs: a softmax or sigmoid of the model feeds `cross_entropy`, `nll_loss` or the with-logits loss, and the error
    gradient passes through it; or a softmax whose axis has length 1.

    Why it matters: a second softmax sees numbers between 0 and 1 and can never be sure: for K classes the loss cannot fall
    below ln(1 + (K - 1) / e), and the slope of the first one multiplies the gradient away as it saturates. A softmax over
    one unit is 1 whatever the network does: its gradient is 0.

    False alarms: the softmax of an attention feeds values, not a loss; soft targets of a teacher get no gradient; a sigmoid
    into `binary_cross_entropy` is as it should be. A log_softmax before `cross_entropy` changes nothing and is not reported.
    """
    single = [
        site.order
        for site in graph.run.sites
        if site.operation in ("softmax", "log_softmax") and site.phase == "model" and _length(graph, site.order) == 1
    ]
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
                and below.phase == "model"
                and below.order != site.order
                and arrived is not None
                and len(graph.consumers.get(source, [])) == 1
            ):
                return _finding(graph, source, site.operation, critical=False)
    return None


def _length(graph: Graph, index: int) -> int:
    site = graph.site(index)
    axis = site.settings.get("dim", -1)
    return (
        site.shape[int(axis)]
        if site.shape and isinstance(axis, int) and -len(site.shape) <= axis < len(site.shape)
        else 0
    )


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
