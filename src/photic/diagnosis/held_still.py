"""Held still: layers that get a gradient and stand still, since the step passes them over or something takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from photic.diagnosis.graph import Graph
from photic.records.runs import ParameterReading
from photic.records.sites import Parameter

_ROUNDED = 2.0**-23  # of a weight in float32: a smaller step leaves it as it is
_WIDE = ("float32", "float64", "complex64", "complex128")  # narrow types round small steps away


@dataclass(frozen=True)
class HeldStill:
    """Why matrices stand still, their names, and the layers that use them."""

    how: Literal["passed over", "taken back", "hooked"]
    parameters: tuple[str, ...]
    layers: tuple[int, ...]


def held_still(graph: Graph, *, back: float = 0.5) -> HeldStill | None:
    """Return the matrices that the optimizer holds and that stand still though they get a gradient at the first reading and the last.

    Passed over: they are bit for bit what they were, while another moved whose gradient is smaller beside its
    size, and whose rate is no larger; a step so small that it is rounded away does not count. Taken back: the step moves them,
    and before the next one something else takes `back` or more of all that they had moved so far.
    Hooked: hooks on them make 0 of their gradient.
    """
    run = graph.run
    if len(run.steps) < 2 or run.facts.get("optimizers") == "several":
        return None
    table = list(zip(run.parameters, run.steps[0].parameters, run.steps[-1].parameters, strict=True))
    hooked = [p for p, early, late in table if _made_nothing(graph, p, early, late)]
    if hooked:
        return _found("hooked", graph, hooked)
    taught = [row for row in table if _taught(*row)]
    undone = [p for p, _, late in taught if (late.taken_back or 0.0) >= back]
    if undone:
        return _found("taken back", graph, undone)
    moved = [(p.learning_rate or 0.0, _pull(early)) for p, early, late in taught if early.weight != late.weight]
    still = [
        p
        for p, early, late in taught
        if early.weight == late.weight
        and early.update_ratio == late.update_ratio == 0.0
        and (p.learning_rate or 1.0) * _pull(early) > _ROUNDED
        and any(rate <= (p.learning_rate or 0.0) and pull < _pull(early) for rate, pull in moved)
    ]
    return _found("passed over", graph, still) if still else None


def _taught(parameter: Parameter, early: ParameterReading, late: ParameterReading) -> bool:
    """Whether a matrix is to be trained, is held, and got a gradient both times."""
    gradients = [each.gradient for each in (early, late)]
    told = all(gradient is not None and gradient.rms > 0.0 and not gradient.nonfinite for gradient in gradients)
    held = parameter.trainable and parameter.owned is True and parameter.learning_rate != 0.0
    return told and held and len(parameter.shape) > 1 and parameter.dtype in _WIDE and early.weight.rms > 0.0


def _pull(reading: ParameterReading) -> float:
    return 0.0 if reading.gradient is None else reading.gradient.rms / reading.weight.rms


def _made_nothing(graph: Graph, parameter: Parameter, *readings: ParameterReading) -> bool:
    """Whether a hook stands on a matrix whose gradient is exactly 0 both times, though one arrives where it is used."""
    nothing = all(each.gradient is not None and each.gradient.rms == 0.0 for each in readings)
    heard = any(each.gradient_norm(place) for place in parameter.sites for each in (graph.first, graph.last))
    return parameter.hooked and parameter.trainable and len(parameter.shape) > 1 and nothing and heard


def _found(
    how: Literal["passed over", "taken back", "hooked"], graph: Graph, held: list[Parameter]
) -> HeldStill | None:
    layers = sorted({index for p in held for index in p.sites if index in graph.layers()})
    return HeldStill(how, tuple(p.name for p in held), tuple(layers)) if layers else None
