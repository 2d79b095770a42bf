"""Highest loss: where a loss is flat because it is as large as it can be, not because nothing is wrong."""

from __future__ import annotations

from photic.diagnosis.graph import Graph

_FROM_ZERO = ("softplus", "sigmoid", "exp", "relu", "softmax")  # they give 0 where they are flat, and more elsewhere


def at_its_highest(graph: Graph) -> int | None:
    """Return the curve of the loss that gives 0 everywhere and no slope, while every part of the loss falls if it gave more.

    A hinge of which all examples are on the right side gives 0 as well, but there the loss grows with what it gives.
    """
    for site in graph.run.sites:
        reading = graph.reading(site.order)
        if (
            site.phase != "loss"
            or site.operation not in _FROM_ZERO
            or reading.gradient is None
            or reading.signal is None
        ):
            continue
        passed = [edge.gradient_norm for _, edge in graph.feeders.get(site.order, [])]
        flat = reading.signal.rms == 0.0 and any(norm is not None for norm in passed) and not any(passed)
        if flat and reading.gradient.rms > 0.0 and reading.gradient.mean < -0.99 * reading.gradient.rms:
            return site.order
    return None
