"""Shards: what of a distributed tensor lies on this rank, and how many ranks share it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a DTensor, without any communication; any other tensor as it is.

    Reductions of a DTensor talk to the other ranks, which need not be at the same place: they would wait for ever.
    """
    return cast(Any, tensor).to_local() if hasattr(tensor, "to_local") else tensor


def shards(tensor: Tensor) -> int:
    """Return into how many different parts a tensor is cut: 1 for one that every rank holds whole.

    Raises:
        ValueError: for a tensor of which every rank holds one summand (`Partial`): its parts have no norm that adds up.
    """
    if not hasattr(tensor, "placements"):
        return 1
    number = 1
    distributed = cast(Any, tensor)
    for axis, placement in enumerate(distributed.placements):
        if placement.is_partial():
            raise ValueError(
                f"a tensor with placements {distributed.placements} has not been summed over the ranks yet"
            )
        if not placement.is_replicate():
            number *= int(distributed.device_mesh.size(axis))
    return number


def freed(tensor: Tensor) -> bool:
    """Whether the tensor's memory was given back, as FSDP2 does with gathered weights: reading it would crash."""
    here = local(tensor)
    if here.layout is not torch.strided or here.numel() == 0 or here.device.type == "meta":
        return False
    return here.untyped_storage().nbytes() == 0
