"""The gradient of a softmax for what argmax chooses."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.choices import OF_OWN
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

# what decides, and what takes it
_TAKEN = {
    **dict.fromkeys(("argmax", "max", "topk", "argmin", "min"), ("embedding", "one_hot", *OF_OWN)),
    **dict.fromkeys(("gt", "ge", "lt", "le"), ("where",)),
}


@remedy(treats=("severed-nondifferentiable",), changes="function", sources=("bengio2013",), rank=1)
def soft_choice(graph: Graph) -> Prescription | str:
    """What argmax or argmin chooses is taken as before (a row, a one of many, an entry), and the scores get the gradient of a softmax.

    What it changes: the gradient alone: that of the rows weighted by the softmax of the scores (straight-through). Of a comparison that
    chooses between two numbers, `where(x > 0, a, b)`: that of a sigmoid.

    When not to: where the choice is an action whose outcome is not differentiable; take a policy gradient there.
    """
    pairs: list[tuple[str, str]] = []
    for site in graph.run.sites:
        if site.operation not in _TAKEN or site.phase != "model":
            continue
        for after in _after(graph, site.order):
            numbers = (
                graph.site(after).operation != "where" or len(graph.feeders.get(after, [])) == 1
            )  # of no other signal
            if graph.site(after).operation in _TAKEN[site.operation] and numbers:
                pairs.append((site.name, graph.site(after).name))
    if not pairs:
        return "no argmax or comparison chooses from a table, or between numbers"
    return Prescription(
        choices=tuple(pairs), why="a choice passes no gradient; a softmax or sigmoid of what decides lends its own"
    )


def _after(graph: Graph, index: int) -> list[int]:
    """Return what takes the places that a site gives, past changes of their shape."""
    found: list[int] = []
    for after in graph.consumers.get(index, []):
        site = graph.site(after)
        if site.dtype.startswith(("float", "bfloat", "half", "double")) and site.operation in OF_OWN:
            found.append(after)
            continue
        reshaped = site.kind == "shape" and site.dtype.startswith("int") and site.operation not in ("where", "one_hot")
        found += _after(graph, after) if reshaped else [after]
    return found
