"""Saturated attention: a softmax over keys whose logits are so large that one key takes all."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.softmaxes import over_one_key
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding

SHARE = 0.8  # of the rows in which one key takes all
LOGITS = 40.0  # by which the scores of a row deviate then
LOUD = 8.0  # by which they deviate before the steps, where about 1 is wanted, that make them so; scores that a rate makes loud do not


@rule(sources=("vaswani2017attention", "zhai2023"))
def saturated_attention(
    graph: Graph, training: Training | None = None, *, share: float = SHARE, logits: float = LOGITS
) -> Finding | None:
    """Nearly every row of an attention gives all to one key, because its logits are tens or thousands apart.

    Signs: a softmax inside the model whose logits deviate by more than `logits` inside their rows, and in at least `share`
    of the rows one share exceeds 0.999; before the steps, or after them where nothing is learned and the logits deviated by
    `LOUD` before. Or a softmax over an axis of length 1, whose shares multiply other signals.

    Why it matters: where one key has it all, the softmax is flat: the scores get no gradient, and the choice, made by
    chance at the start, stays. The usual causes are scores that are not divided by the root of the width, and query and key
    weights that grew.

    False alarms: sharp attention that was learned has logits of some ten to twenty and still a slope. Masked keys do not
    count. A softmax that ends the model is no attention.
    """
    guilty, read = flat_softmaxes(graph, share, logits), graph
    if not guilty and training is not None and not learns(training):
        guilty, read = become_flat(graph, share, logits), graph.last
    if not guilty:
        return _one_key(graph)
    site, facts = graph.site(guilty[0]), read.reading(guilty[0]).shares
    assert facts is not None
    return Finding(
        problem="saturated-attention",
        severity="critical" if facts.certain > 0.95 else "warning",
        sites=tuple(graph.site(index).name for index in guilty),
        where=site.where,
        evidence=(
            Evidence("share of rows where one key takes more than 0.999", facts.certain, "share"),
            Evidence("deviation of the logits inside a row", facts.deviation, "logit"),
            Evidence("entropy of the rows over that of equal shares", facts.entropy, "ratio"),
        ),
        reason=(
            f"In {percent(facts.certain)} of the rows of {site.name} one of {facts.keys} keys takes all: the logits deviate by "
            f"{number(facts.deviation)} where about 1 is wanted, so the softmax is flat and the scores do not learn."
        ),
        advice="Divide the scores by the root of the head's width, normalise queries and keys, or draw their weights smaller.",
        confidence=0.9,
        sources=("vaswani2017attention", "zhai2023"),
    )


def flat_softmaxes(graph: Graph, share: float = SHARE, logits: float = LOGITS) -> list[int]:
    """Return the softmaxes that mix signals and give nearly all rows to one key."""
    return [
        site.order
        for site in graph.run.sites
        for facts in [graph.reading(site.order).shares]
        if facts is not None
        and site.order not in graph.run.outputs
        and facts.certain >= share
        and facts.deviation >= logits
        and _hidden(graph, site.order)
    ]


def become_flat(graph: Graph, share: float = SHARE, logits: float = LOGITS) -> list[int]:
    """Return those that are so after the steps, and whose scores were loud before."""
    found = flat_softmaxes(graph.last, share, logits)
    before = {index: graph.reading(index).shares for index in found}
    return [index for index, facts in before.items() if facts is not None and facts.deviation >= LOUD]


def _one_key(graph: Graph) -> Finding | None:
    """A softmax over an axis of length 1, whose shares multiply the values: all of them are 1."""
    single = over_one_key(graph)
    if not single:
        return None
    site = single[0]
    return Finding(
        problem="saturated-attention",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence("keys that share", 1.0, "keys"),),
        reason=(
            f"{site.name} runs over an axis of length 1 of {list(site.shape)}: each share is 1 whatever the scores say, and no "
            "gradient reaches what makes them."
        ),
        advice="Take the softmax over the axis of the keys (`dim=1` of [batch, keys, 1]).",
        confidence=0.97,
        sources=("vaswani2017attention",),
        victims=tuple(
            graph.site(i).name for i in sorted(graph.ancestors([site.order])) if graph.site(i).kind == "weight"
        ),
    )


def _hidden(graph: Graph, index: int) -> bool:
    """Whether the shares go on to mix other signals, inside the model."""
    return graph.site(index).kind == "attention" or any(
        graph.site(after).phase == "model" and graph.site(after).kind != "loss"
        for after in graph.consumers.get(index, [])
    )
