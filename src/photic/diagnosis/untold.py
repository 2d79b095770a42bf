"""Untold: trained weights that get no gradient though nothing cuts them off: they never run, or no derivative depends on them."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.records.runs import ParameterReading
from photic.records.sites import Parameter


def never_run(graph: Graph) -> tuple[Parameter, ...]:
    """Return the matrices that the optimizer holds and that no operation takes, at the first reading and at the last."""

    def readings(place: int) -> tuple[ParameterReading, ...]:
        return tuple(step.parameters[place] for step in (graph.run.steps[0], graph.run.steps[-1]))

    return tuple(
        p
        for place, p in enumerate(graph.run.parameters)
        if p.trainable and p.owned and not p.sites and not p.hidden and len(p.shape) > 1
        and all(reading.gradient is None for reading in readings(place)) and len({r.weight for r in readings(place)}) == 1
    )  # fmt: skip


def constant_under_a_derivative(graph: Graph) -> list[int]:
    """Return the layers that a `torch.autograd.grad` in the forward does not depend on, though what it differentiates is made of them.

    A sum behind the last activation, say: its derivative is the same whatever is added.
    """
    taken = [site.order for site in graph.run.sites if site.operation == "grad" and graph.gradient_norm(site.order)]
    if not taken or find_cut(graph) is not None:
        return []
    below = graph.ancestors(taken)
    return [index for index in graph.layers() if index in below and _silent(graph, index)]


def _silent(graph: Graph, index: int) -> bool:
    late = {p.name: reading for p, reading in graph.last.parameters.get(index, [])}
    own = [(p, r) for p, r in graph.first.parameters.get(index, []) if p.trainable and len(p.shape) > 1]
    return bool(own) and all(r.gradient is None and late[p.name].gradient is None for p, r in own)
