"""Fixed factors on a stream that grows."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import passed_by_all
from photic.records.sites import INPUT
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

GROWN = 1.5  # times; what grows less is left as it is


@remedy(treats=("exploding-gradient",), changes="function", sources=("mishkin2016", "he2015"), rank=3)
def unit_gains(graph: Graph) -> Prescription | str:
    """A fixed factor before each activation and layer up to which the signal has grown, so that all of them get it in the size of the first.

    What it changes: what enters sites that all of the signal passes is divided by how much it grew on the way from the last such
    site, as one forward pass shows it: an unnormalised transform, a plain sum of many, a pooling that adds up.

    When not to: where weights are to blame, which can be drawn smaller.
    """
    factors: dict[str, float] = {}
    before = None if graph.run.inputs is None else max(graph.run.inputs.rms, 1.0)
    for index in passed_by_all(graph):
        site, sources = graph.site(index), [source for source, _ in graph.feeders.get(index, [])]
        if site.kind not in ("activation", "weight") or site.operation == "einsum" or len(sources) != 1:
            continue
        entering = graph.run.inputs if sources[0] == INPUT else graph.reading(sources[0]).signal
        if entering is None or not entering.rms > 0.0 or entering.nonfinite:
            continue
        size = entering.rms
        if before is not None and size > GROWN * before:
            factors[site.name] = before / size
        before = size
    if not factors:
        return "the signal does not grow on its way to any activation or layer that all of it passes"
    return Prescription(factors=factors, why="fixed factors that undo by how much the signal grew on the way")
