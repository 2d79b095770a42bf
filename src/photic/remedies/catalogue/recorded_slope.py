"""Derivatives with a history."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.diagnosis.untaught import unrecorded, untaught_term
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("raissi2019", "paszke2017"), rank=0)
def recorded_slope(graph: Graph) -> Prescription | str:
    """A derivative that the loss is made of taken with `create_graph=True`.

    What it changes: no value; what is made of the derivative trains the network, and a second backward pass is kept for it.

    When not to: where the derivative is a number by itself: a weight of a term, an adversarial step, a first-order inner loop.
    """
    cut, term = find_cut(graph), untaught_term(graph)
    places = (*((cut.site,) if cut is not None else ()), *((term.cut,) if term is not None else ()))
    if all(graph.site(place).operation != "grad" for place in places) and not unrecorded(graph):
        return "no derivative without history makes most of the loss"
    names = tuple(site.name for site in graph.run.sites if site.operation == "grad" and not site.differentiable)
    if not names:
        return "every derivative has a history"
    return Prescription(
        slopes=names, why="create_graph=True: the residual is trained only if the derivative has a history"
    )
