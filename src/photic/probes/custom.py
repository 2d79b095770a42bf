"""Custom autograd functions: whether the forward of one is running."""

from __future__ import annotations

import sys

import torch


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
