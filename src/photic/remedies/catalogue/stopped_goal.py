"""Goals that do not move towards what is compared with them."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.views import collapsed_views
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="function", sources=("chen2021", "dong2021"), rank=1)
def stopped_goal(graph: Graph) -> Prescription | str:
    """The code of the two that lies nearer to the encoder handed to the comparison without its gradient.

    What it changes: the way back of the comparison; its value stays.

    When not to: where the two sides have no predictor between them: then the codes collapse all the same, if slower.
    """
    views = collapsed_views(graph)
    if not views:
        return "no comparison draws the codes of all examples into one"
    pairs = tuple((graph.site(view.code).name, graph.site(view.site).name) for view in views)
    return Prescription(goals=pairs, why="where both codes move towards each other they meet in one point: stop one")
