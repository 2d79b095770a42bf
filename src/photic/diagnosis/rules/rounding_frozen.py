"""Rounding frozen: steps so small beside their weights that a narrow type rounds them away."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding

_NARROW = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


@rule(sources=("micikevicius2018", "zamirai2020"))
def rounding_frozen(graph: Graph, *, info: float = 0.5, share: float = 0.8) -> Finding | None:
    """Most weights in bfloat16 or float16 are bitwise unchanged by a step, though their gradient is not 0.

    Signs: in parameters of a narrow type, at least `share` of the elements that have a gradient were left as they were by
    the last step that was read; from `info` on it is information.

    Why it matters: bfloat16 keeps 8 bits. A step below half of the last one, 1/512 to 1/256 of the weight, rounds to none:
    the gradient is right, the step is computed, and nothing happens.

    False alarms: elements without a gradient (unused rows, dead inputs) do not count, and float32 weights under autocast
    are not narrow. A learning rate that has run down to 0 leaves all unchanged; so a rate of 0 is no sign.
    """
    last = graph.run.steps[-1]
    frozen = counted = 0.0
    names: list[str] = []
    dtype = ""
    for parameter, reading in zip(graph.run.parameters, last.parameters, strict=True):
        if parameter.dtype not in _NARROW or not parameter.trainable or parameter.learning_rate == 0.0:
            continue
        if reading.unchanged_fraction is None or reading.gradient is None or len(parameter.shape) < 2:
            continue
        size, dead = reading.weight.count, reading.gradient.zero_fraction
        alive = size * (1.0 - dead)
        still = max(0.0, reading.unchanged_fraction - dead) * size
        frozen, counted, dtype = frozen + still, counted + alive, parameter.dtype
        if alive > 0.0 and still >= share * alive:
            names += [graph.site(site).name for site in parameter.sites]
    if not counted or frozen < info * counted:
        return None
    part = frozen / counted
    return Finding(
        problem="rounding-frozen",
        severity="info" if part < share else "critical" if part > 0.95 else "warning",
        sites=(),
        where="",
        evidence=(
            Evidence("share of weights that a step left bitwise unchanged", part, "share"),
            Evidence(f"half of the last digit of {dtype}", _NARROW[dtype] / 2.0, "relative"),
        ),
        reason=(
            f"A step leaves {percent(part)} of the {dtype} weights bit for bit as they were, though their gradient is not 0: it is "
            f"smaller than half of the last digit, {number(_NARROW[dtype] / 2.0)} of a weight, and rounds to nothing."
        ),
        advice="Keep the weights in float32 and compute in the narrow type (autocast), round stochastically, or add up the "
        "rounding errors (Kahan).",
        confidence=0.9,
        sources=("micikevicius2018", "zamirai2020"),
        victims=tuple(names),
    )
