"""Finite: calls kept where their value and slope are finite, and those whose results and slopes are made finite."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from photic.probes.calls import Call

ZERO_INFINITY = 6  # its place among the arguments of torch.ctc_loss


class Guard:
    """Keeps the first argument between two limits."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def __call__(self, call: Call) -> Any:
        """Call the site on clamped numbers."""
        return call.function(call.args[0].clamp(self.low, self.high), *call.args[1:], **call.kwargs)


class Mapped:
    """Maps the first argument into the domain of the call, by a curve that has a slope everywhere."""

    def __init__(self, domain: str) -> None:
        self.domain = domain

    def __call__(self, call: Call) -> Any:
        """Call the site on numbers above 0, below 0, or between -1 and 1."""
        x: Tensor = call.args[0]
        return call.function(_DOMAINS[self.domain](x), *call.args[1:], **call.kwargs)


def _positive(x: Tensor) -> Tensor:
    return F.softplus(x) + 1e-6


def _unit(x: Tensor) -> Tensor:
    return torch.tanh(x) * (1.0 - 1e-6)


def _negative(x: Tensor) -> Tensor:
    return -F.softplus(-x)


_DOMAINS = {"positive": _positive, "unit": _unit, "negative": _negative}


def unaligned(call: Call) -> Any:
    """A CTC loss in which rows that no alignment fits count 0."""
    if len(call.args) > ZERO_INFINITY:
        args = list(call.args)
        args[ZERO_INFINITY] = True
        return call.function(*args, **call.kwargs)
    return call.function(*call.args, **{**call.kwargs, "zero_infinity": True})


class Denominator:
    """Keeps what is divided by at least so far from 0, with its sign; with `relative`, a share of its root mean square."""

    def __init__(self, least: float, *, relative: bool = False) -> None:
        self.least, self.relative = least, relative

    def __call__(self, call: Call) -> Any:
        """Call the division."""
        args = list(call.args)
        place = 0 if len(args) == 1 or call.reflected else 1
        below = args[place]
        if isinstance(below, Tensor):
            least = self.least * (float(below.detach().square().mean().sqrt()) if self.relative else 1.0)
            away = torch.where(below < 0.0, -least, least).to(below.dtype)
            args[place] = torch.where(below.abs() < least, away, below)
        elif isinstance(below, (int, float)) and abs(below) < self.least:
            args[place] = -self.least if below < 0 else self.least
        return call.function(*args, **call.kwargs)


class Ridge:
    """Adds so much to the diagonal of a matrix, times the mean of its diagonal where that is above 1."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, call: Call) -> Any:
        """Call the site on a matrix that is not singular."""
        matrix: Tensor = call.args[0]
        size = matrix.detach().diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1.0)[..., None, None]
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        return call.function(matrix + self.share * size * eye, *call.args[1:], **call.kwargs)


def finite(call: Call) -> Any:
    """What the call makes, with 0 where it is no number or has no finite slope, nor a slope of that where one is asked for.

    What is infinite becomes the nearest that is finite in the same result: a logarithm of 0 that counted 0 would be the best of answers.
    What comes in as no number or as infinity (but for the minus of masks) was made elsewhere: it goes on as it is.
    """
    args = [_hooked(value) for value in call.args]
    value = call.function(*args, **{name: _hooked(item) for name, item in call.kwargs.items()})
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    given = [
        item for item in (*call.args, *call.kwargs.values()) if isinstance(item, Tensor) and item.is_floating_point()
    ]
    if not any(bool((item.isnan() | item.isposinf()).any()) for item in given):
        value = _nearest(value)
    if value.requires_grad:
        value.register_hook(_hooked)  # what enters the backward of the call, from where a second derivative comes back
    return value


def _nearest(value: Tensor) -> Tensor:
    """Return 0 for nan, and the largest or lowest finite number for what is infinite; where there is none it stays."""
    there = value.detach()[torch.isfinite(value)]
    low, high = (float(there.min()), float(there.max())) if len(there) else (-math.inf, math.inf)
    return torch.nan_to_num(value, 0.0, high, low)


def _hooked(value: Any) -> Any:
    """Return the same numbers, whose gradient is 0 where it would not be finite; constants with 0 for what is not finite."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    if not value.requires_grad:
        return torch.nan_to_num(value, 0.0, 0.0, 0.0)
    if not torch.is_grad_enabled():
        return value
    same = value.view_as(value)
    same.register_hook(lambda gradient: torch.nan_to_num(gradient, 0.0, 0.0, 0.0))
    return same
