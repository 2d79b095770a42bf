"""Mixed examples: an axis was taken for another, or rows come back in another order."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.one_for_all import SAME
from photic.diagnosis.recurrent import attends_examples, time_first
from photic.diagnosis.registry import rule
from photic.diagnosis.scrambled import scrambled_rows
from photic.diagnosis.words import listed, percent
from photic.records.findings import Evidence, Finding
from photic.records.sites import Site

_BETWEEN = ("index_add", "scatter_add", "scatter_reduce", "index_reduce", "segment_reduce", "sparse", "spmm", "addmm")


@rule(sources=("karpathy2019",))
def mixed_examples(
    graph: Graph, training: Training | None, *, away: float = 0.1, wholly: float = 0.9, in_order: float = 0.01
) -> Finding | None:
    """Where the examples of a batch come in another order, the answers do not come in that order.

    Signs: the answers to a batch in another order differ from the answers in that order by more than `away` of what two examples'
    answers differ by; in evaluation, and in a network that does not learn. Or by more than `wholly`, whatever was learned (how often
    the classes come). Or the loss makes rows of classes of maps [batch, classes, places] as the numbers lie, and does not move the classes
    to the end. Or an attention of torch's goes along the first axis (`batch_first=False`) of maps [examples, places, features], and
    another order of the examples, where that can be asked, changes the order of the answers alone (`in_order`): this axis is no time.

    Why it matters: each answer is compared with the target of its own example. Where an axis of the batch was taken for one of time
    (`batch_first`), `view` stands for `transpose`, or rows come back sorted, the answer belongs to another example.

    False alarms: networks of graphs, whose nodes are the examples, have an order: where nodes are gathered, or the model holds a row
    for each example, nothing is said. What is taken from the whole batch, as a mean or what examples are compared with, has none. Where
    examples are to look at each other the network learns that way, and that is information.
    """
    if (rows := scrambled_rows(graph)) is not None:
        return _scrambled(graph, rows, informs=learns(training))
    share = graph.run.mixed
    along = attends_examples(graph)
    if any(site.settings.get("is_causal") for site in along):
        return None  # what may look at no later place has time along this axis
    unasked = share is None and (learns(training) or _one_answer(graph))  # of one answer the order says nothing
    if along and training is not None and (unasked or (share is not None and share < in_order)):
        return _attended(graph, along, informs=learns(training))
    if share is None or share < away or training is None or (learns(training) and share < wholly):
        return None
    if any(site.operation in _BETWEEN for site in graph.run.sites if site.phase == "model" and site.kind != "weight"):
        return None
    first = [*time_first(graph), *along]
    place = first[0] if first else None
    return Finding(
        problem="mixed-examples",
        severity="warning",
        sites=() if place is None else (place.name,),
        where="" if place is None else place.where,
        evidence=(
            Evidence(
                "answers to another order, away from the answers in that order", share, "of two examples' distance"
            ),
        ),
        reason=(
            f"Given the same examples in another order, the network does not give the same answers in that order: they lie "
            f"{percent(share)} as far away as the answers to two examples do, so that what it says of one depends on its neighbours in the batch."
        ),
        advice=(
            f"{place.name} takes the first axis for time: give it batch_first=True, or transpose what enters."
            if place is not None
            else "Look for `view` or `reshape` where `transpose` or `permute` is meant, and for rows that were sorted and not put back."
        ),
        confidence=0.8,
        sources=("karpathy2019",),
        victims=(),
    )


def _one_answer(graph: Graph) -> bool:
    """Whether all examples get the same answer, so that their order says nothing."""
    readings = [step.reading(index) for step in (graph.first, graph.last) for index in graph.run.outputs]
    return all(reading.spread is not None and reading.spread.examples < SAME for reading in readings)


def _attended(graph: Graph, along: list[Site], *, informs: bool) -> Finding:
    names, examples = [site.module for site in along], graph.site(graph.run.outputs[-1]).shape[0]
    return Finding(
        problem="mixed-examples",
        severity="info" if informs else "warning",
        sites=tuple(site.name for site in along),
        where=along[0].where,
        evidence=(Evidence("places that each attends over", float(examples), "examples"),),
        reason=(
            f"{listed(names)} {'attends' if len(set(names)) == 1 else 'attend'} over the first axis"
            + (
                f". Where that holds the {examples} examples of a batch, and is no axis of time, each is mixed with the others."
                if informs
                else f", which holds the {examples} examples of the batch: each is mixed with the others, and its own places never see each other."
            )
        ),
        advice=f"{names[0]}: batch_first=True where it is made (of torch.nn.TransformerEncoderLayer, too), or transpose what enters.",
        confidence=0.9,
        sources=("karpathy2019",),
    )


def _scrambled(graph: Graph, rows: int, *, informs: bool) -> Finding:
    site, below = graph.site(rows), graph.site(graph.feeders[rows][0][0])
    return Finding(
        problem="mixed-examples",
        severity="info" if informs else "critical",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence("scores that are taken for those of one place", float(site.shape[-1]), "scores"),),
        reason=(
            f"{site.name} makes rows of {site.shape[-1]} scores of {below.name}, whose {site.shape[-1]} classes lie along the second axis: each row "
            "holds one class's scores of several places, and is compared with the target of one."
        ),
        advice="logits.movedim(1, -1).reshape(-1, classes), or give cross_entropy the maps as they are: it takes [batch, classes, places].",
        confidence=0.95,
        sources=("karpathy2019",),
    )
