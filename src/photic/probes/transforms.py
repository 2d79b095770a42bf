"""Transforms: whether one of `torch.func` is under way, whose tensors are wrappers without numbers of their own."""

from __future__ import annotations

from typing import Any

import torch

_C: Any = torch._C


def inside_transform() -> bool:
    """Whether this runs inside `grad`, `vmap` or another transform: what it makes is seen when it is handed out."""
    return _C._functorch.peek_interpreter_stack() is not None
