"""The mean of all places in place of one that hears nothing."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("vaswani2017attention",), rank=1)
def all_places(graph: Graph) -> Prescription | str:
    """The mean over the places of a sequence is read where one place was read that is the same for all examples.

    What it changes: `x[:, 0]` becomes `x.mean(1)`. Under a causal mask the first place sees itself alone, and only the last sees all; the
    mean holds it.

    When not to: where the last place is what was meant (`x[:, -1]`), or places of padding are among them.
    """
    found = one_for_all(graph)
    if found is None or found.how != "read-out" or graph.site(found.site).operation != "getitem":
        return "no place is read that is the same for all examples"
    sources = [source for source, _ in graph.feeders.get(found.site, []) if source >= 0]
    whole, part = graph.site(sources[0]).shape if len(sources) == 1 else (), graph.site(found.site).shape
    if len(part) < 2 or len(whole) != len(part) + 1 or whole[:1] != part[:1]:
        return "what is read is no place of a sequence"
    return Prescription(
        pooled=(graph.site(found.site).name,),
        why="the place that is read hears nothing of the example: read the mean of all",
    )
