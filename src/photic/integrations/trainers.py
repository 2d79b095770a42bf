"""What the callbacks of trainers share: they begin a watch, alone or on every rank, and end it where the trainer forgets to."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import torch.distributed as dist
from torch import nn

from photic.checkups.readable import raise_if_kept
from photic.checkups.watching import Watch
from photic.integrations.distributed import RankWatch

PATIENCE = 60.0  # seconds that an exchange waits for another rank


def begun(
    model: nn.Module, optimizer: Any = None, *, first: bool = True, batches: int | None = None, **options: Any
) -> Watch:
    """Begin to watch the bare model of a trainer; among several ranks with one verdict.

    Args:
        first: whether this process writes the record and tells the findings.
        batches: how many ranks see different data; all of them by default.
        options: those of `Watch`.

    Raises:
        RuntimeError: for FSDP1, and engines that keep the gradients to themselves.
    """
    raise_if_kept(model)
    if not first:
        options.update(record=None, on_finding=None)
    watch = Watch(model, optimizer, **options)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        watch.pace.audit_every = 1000  # by number: all ranks audit the same steps
        try:
            RankWatch(watch, model, batches=batches or dist.get_world_size(), patience=PATIENCE, own=False)
        except RuntimeError as error:
            warnings.warn(
                f"photic could not reach the other ranks ({error}); what it finds is of this rank alone. Every rank needs the "
                "callback or the call of `watch`",
                stacklevel=3,
            )
    return watch


def closes_with(owner: Any, watch: Watch) -> None:
    """Close the watch when its owner goes, or the interpreter ends: some trainers do not tell that a training failed."""
    weakref.finalize(owner, watch.close)
