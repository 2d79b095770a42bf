"""A ReLU in the place of a threshold that nothing exceeds."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.silenced import never_exceeded
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("dead-units",), changes="function", sources=("maas2013", "he2015"), rank=1)
def zero_threshold(graph: Graph) -> Prescription | str:
    """The larger of the signal and 0 in the place of the larger of the signal and a threshold above it.

    What it changes: the threshold, learned or fixed, of the maxima that pass nothing.

    When not to: where the signal is meant to exceed the threshold only now and then.
    """
    held = [graph.site(one.site).name for one in never_exceeded(graph)]
    # Below the last of them lie others that no gradient reaches, so that nothing tells of them.
    operations = {graph.run.site(name).operation for name in held}
    alike = [site.name for site in graph.run.sites if site.phase == "model" and _alike(graph, site.order, operations)]
    if not held:
        return "no threshold lies above all of the signal"
    return Prescription(
        activations=dict.fromkeys(alike, "relu"),
        why="a threshold above all of the signal lets nothing through: 0 halves it",
    )


def _alike(graph: Graph, index: int, operations: set[str]) -> bool:
    """Whether a site is such a maximum, and gives one number for each unit, whatever comes in."""
    site, reading = graph.site(index), graph.reading(index)
    entering = [graph.site(source).shape for source, _ in graph.feeders.get(index, []) if source >= 0]
    alike = reading.spread is not None and reading.spread.examples < 1e-12
    return site.operation in operations and site.shape in entering and alike
