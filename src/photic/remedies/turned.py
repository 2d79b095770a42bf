"""Turned: a mask the other way round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes.calls import Call


def turned(call: Call) -> Any:
    """Make the call with its mask, of booleans or of numbers that are all 0 or 1, turned round; without a mask as it is."""
    kwargs = {name: _opposite(value) for name, value in call.kwargs.items()}
    return replace(call, args=tuple(map(_opposite, call.args)), kwargs=kwargs).run()


def _opposite(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, nn.Parameter) or value.requires_grad or not value.numel():
        return value
    if value.dtype == torch.bool:
        return ~value
    return 1 - value if bool(((value == 0) | (value == 1)).all()) else value
