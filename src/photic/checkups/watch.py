"""`photic.watch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from photic.checkups.readable import raise_if_not_whole
from photic.checkups.stopping import OnFinding, Stop
from photic.checkups.watching import Watch


def watch(
    model: nn.Module | Sequence[nn.Module],
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    *,
    budget: float = 0.01,
    record: str | Path | None = None,
    on_finding: OnFinding | None = None,
    stop_on: Stop = "never",
    ignore: Sequence[str] = (),
    every: int = 0,
) -> Watch:
    """Watch a training run from here on, at nearly no cost: `with photic.watch(model, optimizer) as watch: ...`.

    The user's loop stays as it is. Some steps are audited in place: the user's own forward, loss and backward, operation
    by operation; others get a glance at every module. All other steps run one optimizer hook and nothing else. Training
    is bit-identical to one that is not watched.

    Args:
        model: a module, or several (GAN); evaluation and passes without gradient are no readings. Compiled ones run as they
            are, and are read in an eager pass beside the step.
        optimizer: one or several; None follows every optimizer that owns parameters of the model.
        budget: share of the time that sampling may cost, measured and kept; six audits at steps 0, 2, 8, 32, 128 and
            512 come on top, so that short runs get their verdict, and a second one where one of them warns for the first time.
        every: glance at every step (1), every second (2), ... whatever it costs; 0 as the budget allows.
        record: file to write the course of the run to (SQLite), readable while it runs.
        on_finding: called with each finding and its step, once, when two audits in a row show it.
        stop_on: raise `TrainingStopped` inside the loop when a finding of this severity or worse is told.
        ignore: problems not to be reported.

    Raises:
        TypeError, ValueError: if there is no module to watch or the budget is no share.
        RuntimeError: if the model is cut over several processes (FSDP, tensor parallelism): see
            `photic.integrations.distributed.watch`; or an engine keeps its gradients (DeepSpeed, Megatron).
        TrainingStopped: inside the loop, where `stop_on` asks for it.
    """
    raise_if_not_whole(model)
    return Watch(
        model,
        optimizer,
        budget=budget,
        record=record,
        on_finding=on_finding,
        stop_on=stop_on,
        ignore=ignore,
        every=every,
    )
