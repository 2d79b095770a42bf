"""Numbers below 1 brought to the range of whole numbers before they are rounded."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

RANGE = 255.0  # of a byte, the whole numbers of images
WHOLE = ("uint8", "int8", "int16", "int32", "int64")


@remedy(treats=("class-prior-only",), changes="function", sources=("jacob2018",), rank=2)
def scaled_rounding(graph: Graph) -> Prescription | str:
    """What is rounded to whole numbers, and is nowhere above 1, times 255 first, as a byte of a picture is meant.

    What it changes: the whole numbers, which were 0 for all examples.

    When not to: where what was rounded is meant to be a class or a place.
    """
    found = one_for_all(graph)
    if found is None or found.how != "rounded":
        return "no rounding makes all examples one"
    site = graph.site(found.site)
    sources = [source for source, _ in graph.feeders.get(found.site, [])]
    entering = [graph.reading(s).signal if s >= 0 else graph.run.inputs for s in sources]
    if len(entering) != 1 or entering[0] is None or entering[0].maximum > 1.0 or site.dtype not in WHOLE:
        return "what is rounded goes beyond 1 already, or stays no whole number"
    return Prescription(
        factors={site.name: RANGE}, why="what is rounded lies between 0 and 1: the byte of a picture goes to 255"
    )
