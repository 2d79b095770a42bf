"""Zero times zero: two factors start at 0, and the gradient of each is a multiple of the other."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.roles import multiplies
from photic.diagnosis.silenced import multiplied_by_nothing, untaught
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding
from photic.records.sites import Parameter

_PRODUCTS = ("mul", "matmul", "mm", "bmm", "baddbmm", "einsum", "bilinear")


@rule(sources=("hu2022lora", "bachlechner2021"))
def zero_times_zero(graph: Graph, *, fewest: int = 2) -> Finding | None:
    """Weights that are all 0 get a gradient that is exactly 0, because what they meet is 0 as well.

    Signs: at least `fewest` parameters (matrices, gates or the weights of normalisations, no biases) on one way are exactly 0 and their gradients are
    exactly 0, at the first audit and at the last, while the loss has a gradient.

    Why it matters: dL/dA is a multiple of B and dL/dB of A. With both at 0 neither moves, ever: a layer that is there and
    does nothing.

    False alarms: one factor at 0 is a good start (LoRA's second factor, ReZero's gate, a branch's last layer): the other
    lets its gradient through. Nor do those count above which a layer at 0 gets a gradient (Fixup: the head beside the branches): it
    moves, and they after it. Parameters that no example used have no gradient at all and do not count, nor do those that are only
    added, and those that a product with a fixed 0 cuts off (`idle-layer`).
    """
    waking = _waking(graph)
    parameters = [p for p in stuck_parameters(graph) if not graph.descendants(p.sites) & waking]
    if len(parameters) < fewest:
        return None
    places = sorted({site for parameter in parameters for site in parameter.sites})
    linked = [index for index in places if _meets(graph, index, places)]
    if not linked:
        return None
    weights = [index for index in linked if graph.site(index).kind == "weight"] or linked
    names = [graph.site(index).name for index in weights]
    return Finding(
        problem="zero-times-zero",
        severity="critical",
        sites=tuple(names),
        where=graph.site(weights[0]).where,
        evidence=(Evidence("parameters that are 0 and have a gradient of 0", float(len(parameters)), "tensors"),),
        reason=(
            f"{listed([parameter.name for parameter in parameters])} are all 0 and meet each other: the gradient of each is a "
            "multiple of the other, so it is exactly 0, and none of them ever moves."
        ),
        advice="Start one of the two at 0 and draw the other at random (He, Xavier).",
        confidence=0.97,
        sources=("hu2022lora", "bachlechner2021"),
    )


def _meets(graph: Graph, index: int, places: list[int]) -> bool:
    """Whether another of the places lies above or below this one, or beside it under one product."""
    above = graph.descendants([index])
    if (above | graph.ancestors([index])) & set(places):
        return True
    products = {site for site in above if graph.site(site).operation in _PRODUCTS}
    return any(graph.descendants([other]) & products for other in places if other != index)


def _waking(graph: Graph) -> set[int]:
    """Return the sites whose weights are all 0 and get a gradient."""
    read = zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True)
    return {
        site
        for parameter, now in read
        if parameter.trainable and parameter.owned is not False and now.weight.rms == 0.0 and len(parameter.shape) > 1
        if now.gradient is not None and now.gradient.rms > 0.0
        for site in parameter.sites
    }


def _adds(graph: Graph, parameter: Parameter) -> bool:
    """Whether a parameter of whatever shape is only added to a signal."""
    return all(graph.site(index).operation in ("add", "sub") for index in parameter.sites)


def _scales(graph: Graph, parameter: Parameter) -> bool:
    """Whether a vector does nothing but multiply a signal."""
    return all(graph.site(index).operation == "mul" for index in parameter.sites)


def stuck_parameters(graph: Graph) -> list[Parameter]:
    """Return the trained matrices and gates that are exactly 0 and get a gradient of exactly 0, first and last."""
    cut_off = {index for one in multiplied_by_nothing(graph) for index in one.layers}
    stuck = [place for place, parameter in enumerate(graph.run.parameters) if not set(parameter.sites) & cut_off]
    for index in (0, len(graph.run.steps) - 1):
        here = type(graph).of(graph.run, index)
        zero = [
            place
            for place, (parameter, reading) in enumerate(
                zip(here.run.parameters, here.run.steps[index].parameters, strict=True)
            )
            if parameter.trainable
            and parameter.owned is not False
            and parameter.sites
            and not _adds(here, parameter)
            and not any(untaught(here, site) for site in parameter.sites)
            and (
                len(parameter.shape) != 1
                or parameter.shape == (1,)
                or multiplies(parameter)
                or _scales(here, parameter)
            )
            and reading.weight.rms == 0.0
            and reading.weight.count > 0
            and reading.gradient is not None
            and reading.gradient.rms == 0.0
            and reading.gradient.nonfinite == 0
        ]
        stuck = [place for place in stuck if place in zero]
    return [graph.run.parameters[place] for place in stuck]
