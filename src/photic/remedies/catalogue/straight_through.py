"""The gradient straight through a rounding."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.severed_nondifferentiable import severed_nondifferentiable
from photic.remedies.origins import calls_like
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_ROUNDINGS = ("round", "floor", "ceil", "sign", "sgn", "trunc", "heaviside", "bucketize", "searchsorted")
_CASTS = ("to", "int", "long", "short", "char", "byte", "type")
_INDEXED = ("embedding", "one_hot", "gather", "index_select", "getitem", "scatter", "take")


@remedy(treats=("severed-nondifferentiable", "severed-gradient"), changes="function", sources=("bengio2013",), rank=1)
def straight_through(graph: Graph) -> Prescription | str:
    """Straight-through: a rounding, or a cast to whole numbers, keeps its value and hands the gradient on.

    What it changes: the gradient of `round`, `floor`, `sign`, `bucketize`, `.int()`: 1 in place of 0.

    When not to: after `argmax`, whose value is an index.
    """
    found, cut = severed_nondifferentiable(graph), find_cut(graph)
    if (found is None or not found.sites) and cut is None:
        return "no rounding severs the gradient"
    site = graph.run.site(found.sites[0]) if found is not None and found.sites else graph.site(cut.site if cut else 0)
    if site.operation not in (*_ROUNDINGS, *_CASTS):
        return f"what `{site.operation}` gives is not close to what it takes"
    if any(graph.site(after).operation in _INDEXED for after in graph.consumers.get(site.order, [])):
        return f"what `{site.operation}` gives is an index"
    same = calls_like(graph, site)
    return Prescription(straight=tuple(same), why="straight through: the rounding's gradient is taken as 1")
