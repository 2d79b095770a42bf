"""Scaling: steps that a gradient scaler takes or skips, and what it multiplied the loss by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch

from photic.probes.patched import Patched
from photic.records.moments import Moments
from photic.records.runs import EdgeReading, SiteReading


class Listens(Protocol):
    """Who is told of a scaler's steps."""

    def scaler_steps(self, scaler: Any, optimizer: torch.optim.Optimizer) -> None:
        """The scaler is about to step the optimizer, or not to."""
        ...

    def scaler_stepped(self, scaler: Any, optimizer: torch.optim.Optimizer) -> None:
        """It has done so, or not."""
        ...


def _told(original: Callable[..., Any], listeners: list[Listens]) -> Callable[..., Any]:
    def step(self: Any, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        for listener in list(listeners):
            listener.scaler_steps(self, optimizer)
        result = original(self, optimizer, *args, **kwargs)
        for listener in list(listeners):
            listener.scaler_stepped(self, optimizer)
        return result

    return step


SCALERS: Patched[Listens] = Patched(torch.amp.GradScaler, "step", _told)


def found_infinite(scaler: Any, optimizer: torch.optim.Optimizer) -> bool:
    """Whether gradients were not finite, where the optimizer itself skips: a fused one. Waits for a GPU."""
    state = scaler._per_optimizer_states.get(id(optimizer), {})
    return any(float(value) > 0.0 for value in state.get("found_inf_per_device", {}).values())


def unscaled(moments: Moments | None, scale: float) -> Moments | None:
    """Return moments of values divided by `scale`; counts stay those of the numbers that were in memory."""
    if moments is None or scale == 1.0:
        return moments
    return replace(moments, mean=moments.mean / scale, rms=moments.rms / scale, maximum=moments.maximum / scale)


def unscaled_site(reading: SiteReading, scale: float) -> SiteReading:
    """Return a site's reading with the gradients of the user's own loss."""
    times = reading.times
    if times is not None:
        times = replace(times, gradient_norms=tuple(norm / scale for norm in times.gradient_norms))
    return replace(reading, gradient=unscaled(reading.gradient, scale), times=times)


def unscaled_edge(reading: EdgeReading, scale: float) -> EdgeReading:
    """Return an edge's reading with the gradients of the user's own loss."""
    norm = reading.gradient_norm
    return reading if norm is None else replace(reading, gradient_norm=norm / scale)
