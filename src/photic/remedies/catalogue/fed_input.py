"""The input, fed to a loop at every turn."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import loops
from photic.diagnosis.made_alike import settled
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse", "vanishing-in-time"), changes="function", sources=("bai2019",), rank=1)
def fed_input(graph: Graph) -> Prescription | str:
    """What a loop begins with is added to what its layer gives at every turn.

    What it changes: where the loop settles depends on the input, which has a way of its own to every turn.

    When not to: where the loop simulates something that goes on by itself.
    """
    end = settled(graph)
    turns = next(([*loop.sites] for loop in loops(graph) if end is not None and loop.sites[-1] == end.site), [])
    entering = [source for source, _ in graph.feeders.get(turns[0], []) if source >= 0] if turns else []
    alike = [place for place in entering if graph.site(place).shape == graph.site(turns[0]).shape]
    if len(alike) != 1:
        return "no loop that nothing enters after its first turn settles in one state"
    return Prescription(
        skips=tuple((graph.site(alike[0]).name, graph.site(turn).name) for turn in turns),
        why="a loop that settles forgets where it began: feed the input at every turn",
    )
