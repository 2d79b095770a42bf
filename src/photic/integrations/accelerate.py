"""Accelerate: watch what `accelerator.prepare` returned, within the user's own loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from photic.checkups.readable import raise_if_kept
from photic.checkups.stopping import OnFinding, Stop
from photic.checkups.watching import Watch
from photic.integrations.trainers import begun


def watch(
    accelerator: Any,
    model: nn.Module,
    optimizer: Any,
    *,
    budget: float = 0.01,
    record: str | Path | None = None,
    on_finding: OnFinding | None = None,
    stop_on: Stop = "never",
    ignore: Sequence[str] = (),
    every: int = 0,
) -> Watch:
    """Watch a prepared model and optimizer: `with watch(accelerator, model, optimizer) as handle: ...`.

    The wrappers that `prepare` put around both are looked through; under `accelerator.accumulate` only real steps count.
    Call it on every process: there is one verdict, and the main process writes the record. The options are those of
    `photic.watch`.

    Raises:
        RuntimeError: under DeepSpeed or Megatron, whose engines keep the gradients to themselves, and under FSDP1.
    """
    engine = str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type))
    if engine in ("DEEPSPEED", "MEGATRON_LM"):
        raise RuntimeError(
            f"{engine} keeps the gradients in its engine, where photic cannot read them; use DDP or FSDP"
        )
    raise_if_kept(model)
    inner = getattr(optimizer, "optimizer", optimizer)
    if not isinstance(inner, torch.optim.Optimizer):
        raise TypeError(f"expected the optimizer that `accelerator.prepare` returned, got {type(optimizer).__name__}")
    return begun(
        accelerator.unwrap_model(model),
        inner,
        first=bool(accelerator.is_main_process),
        budget=budget,
        record=record,
        on_finding=on_finding,
        stop_on=stop_on,
        ignore=ignore,
        every=every,
    )
