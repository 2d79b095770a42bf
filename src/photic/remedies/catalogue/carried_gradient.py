"""The gradient handed over where a signal leaves torch and comes back."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut, round_trip
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("bengio2013", "paszke2017"), rank=2)
def carried_gradient(graph: Graph) -> Prescription | str:
    """The signal that left torch (a list, NumPy, a number) comes back with its gradient.

    What it changes: the value stays; the gradient passes as if each column had only been scaled and shifted outside torch, or as if a
    term of the loss had been added as a tensor.

    When not to: where what is done outside changes the signal much: write it in torch.
    """
    cut = find_cut(graph)
    if cut is None:
        trip = round_trip(graph)
        if trip is None:
            return "no signal leaves torch and comes back"
        if not trip.fits:
            return f"what leaves torch at {graph.site(trip.leaves).name} comes back as other numbers: write what is done outside in torch"
        leaves, returns = graph.site(trip.leaves), graph.site(trip.returns)
        return Prescription(
            bridged=((leaves.name, returns.name),),
            why=f"what {leaves.name} makes reaches {returns.name} with its gradient",
        )
    site = graph.site(cut.site)
    last = max((s.order for s in graph.run.sites if s.phase == "loss"), default=None)
    scalar = not site.shape and site.phase == "loss" and not graph.consumers.get(cut.site)
    if last is None or last == cut.site or not scalar:
        return f"what `{site.operation}` makes stays within torch"
    name = graph.site(last).name
    return Prescription(
        bridged=((site.name, name),), why=f"the term at {site.name} is added as a tensor, not as a number"
    )
