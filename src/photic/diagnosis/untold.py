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


def forgotten(graph: Graph) -> list[tuple[str, int, bool]]:
    """Return (module, layer, whether it is one layer alone) of modules that never run and fit in front of the layer that was made next.

    As many features go into the module, and come out of it, as enter that layer. The module is the largest of which nothing runs.
    """
    unused = {p.name for p in never_run(graph)}
    matrices = [p for p in graph.run.parameters if p.trainable and len(p.shape) > 1] if unused else []
    idle: dict[str, list[Parameter]] = {}
    for p in matrices:
        if p.name in unused:
            idle.setdefault(_largest(p.name, [q.name for q in matrices if q.name not in unused]), []).append(p)
    found: list[tuple[str, int, bool]] = []
    for module, own in idle.items():
        later = [p for p in matrices[matrices.index(own[-1]) + 1 :] if p.sites]
        width = own[0].shape[1]
        fits = later and own[-1].shape[0] == width == later[0].shape[1]
        if module and fits and not own[0].name.endswith("in_proj_weight"):
            found += [(module, site, len(own) == 1) for site in later[0].sites]
    return found


def _largest(name: str, used: list[str]) -> str:
    """Return the outermost module of a parameter that holds none of the used ones."""
    parts = name.split(".")[:-1]
    prefixes = (".".join(parts[: count + 1]) for count in range(len(parts)))
    return next((one for one in prefixes if not any(other.startswith(f"{one}.") for other in used)), "")


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
