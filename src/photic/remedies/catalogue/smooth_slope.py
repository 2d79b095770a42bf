"""An activation that bends, where the loss asks for how it does."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices
from photic.diagnosis.untaught import flat_slope, untaught_term
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation


@remedy(treats=("severed-gradient",), changes="function", sources=("raissi2019",), rank=0)
def smooth_slope(graph: Graph) -> Prescription | str:
    """tanh in the place of ReLUs below a derivative of theirs that is 0 everywhere, with Xavier weights.

    What it changes: the activations that are made of straight pieces: their second derivative is 0, and so is a residual made of it.

    When not to: where the equation asks for first derivatives alone.
    """
    term = untaught_term(graph)
    straight = flat_slope(graph, term.cut) if term is not None else []
    if not straight:
        return "no derivative of straight pieces makes most of the loss"
    pieces = {graph.site(index).operation for index in straight}
    acting = [s for s in graph.run.sites if s.operation in pieces and s.kind == "activation" and s.phase == "model"]
    return Prescription(
        layers=tuple(initialisation(graph, index, "xavier") for index in matrices(graph)),
        activations={site.name: "tanh" for site in acting},
        why="the second derivative of straight pieces is 0: an activation that bends (tanh)",
    )
