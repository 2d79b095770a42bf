"""Dying output: the last activation is flat where the network stands, or cannot reach the target."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding

_RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, float("inf")),
           "hardtanh": (-1.0, 1.0), "hardsigmoid": (0.0, 1.0), "relu6": (0.0, 6.0)}  # fmt: skip
_DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sub")


@rule(sources=("maas2013", "lecun1998"))
def dying_output(graph: Graph, *, share: float = 0.9, rows: int = 16) -> Finding | None:
    """The output passes an activation that is 0 on every example, or whose range does not hold the target.

    Signs: the last operations of the model are a ReLU (or another with a flat zero side) whose units are off on at least
    `rows` examples, for `share` of the units; or a bounded activation compared with a target whose mean or size lies
    outside its range.

    Why it matters: where the output is flat, no error passes down and nothing can ever learn. A sigmoid that should give
    10 saturates at 1 and stays there.

    False alarms: a hidden ReLU with dead units is `dead-units`; a ReLU output that is on for some examples recovers.
    """
    for index in sorted(graph.run.outputs):
        last = _squashing(graph, index)
        if last is None:
            continue
        site, units, signal = graph.site(last), graph.reading(last).units, graph.reading(last).signal
        if (
            units is not None
            and signal is not None
            and units.dead_fraction >= share
            and signal.count >= rows * units.units
        ):
            ends = units.input_quantiles[-1]
            return _finding(
                graph,
                last,
                f"{site.name} is the last operation and 0 on every example (its pre-activations reach at most {number(ends)}): "
                f"{percent(units.dead_fraction)} of the outputs pass no error down, and nothing below learns.",
                (Evidence("share of outputs that are off on every example", units.dead_fraction, "share"),),
            )
        target = _target(graph, index)
        low, high = _RANGES.get(site.operation, (-float("inf"), float("inf")))
        if target is not None and (target[0] > high or target[0] < low or target[1] > 1.5 * max(abs(low), abs(high))):
            return _finding(
                graph,
                last,
                f"{site.name} gives values between {number(low)} and {number(high)}, and the target has mean {number(target[0])} "
                f"and root mean square {number(target[1])}: the output goes to its end, where it is flat, and stays there.",
                (
                    Evidence("mean of the target", target[0], "value"),
                    Evidence("its root mean square", target[1], "value"),
                ),
            )
    return None


def _squashing(graph: Graph, index: int) -> int | None:
    """Return the activation that ends the model, past operations that only move values."""
    while graph.site(index).kind == "shape":
        below = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        if len(below) != 1:
            return None
        index = below[0]
    return index if graph.site(index).operation in _RANGES else None


def _target(graph: Graph, index: int) -> tuple[float, float] | None:
    pending = [index]
    while pending:
        for after in graph.consumers.get(pending.pop(), []):
            site, given = graph.site(after), graph.reading(after).given
            if site.operation in _DISTANCES and given is not None:
                return given.mean, given.rms
            if site.kind == "shape":
                pending.append(after)
    return None


def _finding(graph: Graph, index: int, reason: str, evidence: tuple[Evidence, ...]) -> Finding:
    site = graph.site(index)
    return Finding(
        problem="dying-output",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=evidence,
        reason=reason,
        advice="Leave the last activation out and give the bare linear output to the loss (softplus or exp where it must be "
        "positive), or scale the target into its range.",
        confidence=0.95,
        sources=("maas2013", "lecun1998"),
        victims=tuple(graph.site(layer).name for layer in graph.layers() if layer < index),
    )
