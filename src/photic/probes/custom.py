"""Who is at work: whether the forward of a custom autograd function is running, or a distribution's `sample()`."""

from __future__ import annotations

import sys

import torch
from torch.distributions import Distribution


def inside_custom_function() -> bool:
    """Whether an autograd.Function's forward is running (its inner operations carry no gradient by design)."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_code.co_name == "forward":
            names = frame.f_code.co_varnames
            first = frame.f_locals.get(names[0]) if names else None
            if isinstance(first, torch.autograd.function.FunctionCtx):
                return True
        frame = frame.f_back
    return False


def inside_sample() -> bool:
    """Whether `sample()` of a distribution is running that could draw along a path too (`rsample`)."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_code.co_name == "sample":
            one = frame.f_locals.get("self")
            if isinstance(one, Distribution):
                return bool(one.has_rsample)
        frame = frame.f_back
    return False
