"""Exchange: the sum of a vector over the ranks, in as few hops as their number allows."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_NAP = 4e-4  # seconds between two looks: gloo's own wait burns the processor that a slower rank may need


def add_up(vector: Tensor, group: Any) -> None:
    """Replace the vector, on every rank, by the sum over the ranks of a gloo group: the same bits on all of them.

    Where the ranks are a power of two, each swaps its vector with the rank one bit away, bit by bit (recursive doubling):
    log2(ranks) hops, where gloo's ring makes 2 (ranks - 1), and hops are what a short vector costs. a + b is b + a, so
    both of a pair have the same sum. Other numbers of ranks take gloo's all-reduce.

    Raises:
        RuntimeError: if a rank is gone, or silent for longer than the group's timeout.
    """
    ranks, me = dist.get_world_size(group), dist.get_rank(group)
    if ranks & (ranks - 1):
        work: Any = dist.all_reduce(vector, group=group, async_op=True)
        while not work.is_completed():
            time.sleep(_NAP)
        work.wait()
        return
    got = torch.empty_like(vector)
    for bit in range(ranks.bit_length() - 1):
        other = dist.get_global_rank(group, me ^ (1 << bit))
        sending: Any = dist.isend(vector, other, group=group)
        dist.recv(got, other, group=group)
        sending.wait()
        vector += got
