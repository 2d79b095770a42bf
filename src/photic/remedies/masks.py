"""Masks: a call that leaves something out is given the opposite of its mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes.calls import Call

# What takes scores with a mask; a product may be one with a mask of 0 and 1.
MASKING = ("masked_fill", "where", "baddbmm", "scaled_dot_product_attention")
_PLACES = {"masked_fill": (1, "mask"), "where": (0, "condition"), "scaled_dot_product_attention": (3, "attn_mask")}


def turned(call: Call) -> Any:
    """Call the site with what it left out put in, and the other way round; without a mask it is called as it is.

    A mask is a tensor of truth values, one that holds 0 and minus infinity, which is added to the scores, or a factor that holds 0 and 1.
    """
    if call.operation == "mul":
        kwargs = {name: _other_factor(value) for name, value in call.kwargs.items()}
        return replace(call, args=tuple(map(_other_factor, call.args)), kwargs=kwargs).run()
    place, name = _PLACES.get(call.operation, (0, "input"))
    if place < len(call.args):
        args = list(call.args)
        args[place] = opposite(args[place])
        return replace(call, args=args).run()
    if name in call.kwargs:
        return replace(call, kwargs={**call.kwargs, name: opposite(call.kwargs[name])}).run()
    return call.run()


def opposite(mask: Any) -> Any:
    """Return the opposite of a mask; anything else as it is."""
    if not isinstance(mask, Tensor):
        return mask
    if mask.dtype == torch.bool:
        return ~mask
    left_out = torch.isneginf(mask)
    if mask.requires_grad or not bool((left_out | (mask == 0.0)).all()):
        return mask
    return torch.zeros_like(mask).masked_fill(~left_out, -torch.inf)


def _other_factor(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, nn.Parameter) or value.requires_grad or not value.numel():
        return value
    if value.dtype == torch.bool:
        return ~value
    return 1 - value if bool(((value == 0) | (value == 1)).all()) else value
