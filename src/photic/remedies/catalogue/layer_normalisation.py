"""Layer normalisation before every hidden activation."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import normalisable
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=(
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-activation",
        "missing-normalisation",
        "weights-too-large",
        "weights-too-small",
    ),
    changes="function",
    sources=("ba2016",),
    rank=4,
)
def layer_normalisation(graph: Graph) -> Prescription | str:
    """Layer normalisation, without parameters, before every hidden activation; where none is known, before every layer but the first.

    What it changes: what enters the activation gets mean 0 and deviation 1 over its features, whatever the weights.

    When not to: in front of gates, or where a normalisation already stands.
    """
    acting = normalisable(graph)
    if not acting:
        return "there is no hidden activation, and there are no three layers"
    if any(site.kind == "normalisation" and site.phase == "model" for site in graph.run.sites):
        return "the network is normalised already"
    return Prescription(
        normalised=tuple(graph.site(index).name for index in acting),
        why="layer normalisation keeps what enters the activation at mean 0 and deviation 1 (Ba et al. 2016)",
    )
