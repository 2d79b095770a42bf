"""What an integration needs: the partner's library, and a sight of the gradients."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from photic.checkups.watching import Watch
from photic.records.runs import Run


class BlindError(RuntimeError):
    """The trainer steps, but photic would read None or zeros: said at once instead of printed as a result."""


def need(module: str, *, extra: str) -> Any:
    """Import a library that photic does not install by itself.

    Raises:
        ModuleNotFoundError: with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # a broken CUDA build of a library raises RuntimeError
        raise ModuleNotFoundError(
            f"{module} could not be imported ({error}); `pip install 'photic[{extra}]'` brings it"
        ) from error


def raise_if_blind(watch: Watch, steps: int, trainer: str, *, compiled: bool = False) -> None:
    """Raise where the trainer has made steps whose gradients photic cannot read; warn where that is torch.compile's doing.

    Args:
        steps: optimizer steps that the trainer made while the watch was on.
        compiled: whether the trainer compiles its whole training step.

    Raises:
        BlindError: if nothing was audited in the first two steps, or error gradients flow and yet every parameter's
            gradient is None or zero: they live elsewhere (DeepSpeed's engine), or were cleared before they were read.
    """
    if watch.faults or steps < 2:
        return
    run = watch.run
    if run is None and compiled:
        warnings.warn(
            f"photic sees nothing of this training: {trainer} runs the whole training step inside torch.compile; compile the "
            "network inside it instead (`module.net = torch.compile(module.net)`), or train uncompiled",
            stacklevel=3,
        )
        watch.close()
        return
    if run is None:
        raise BlindError(
            f"{trainer} made {steps} steps and photic saw no optimizer of torch step on the model it watches; engines that "
            "hold weights and optimizer themselves (DeepSpeed, Megatron) cannot be watched: use DDP or FSDP, or "
            "`photic.check` on the bare model"
        )
    if not gradients_of_parameters(run) and any(r.gradient and r.gradient.rms > 0.0 for r in run.steps[-1].sites):
        raise BlindError(
            f"{trainer}: the error gradient flows, but every parameter's gradient reads None or zero: it lives elsewhere "
            "(DeepSpeed keeps it in its engine) or is cleared before the optimizer's step"
        )


def gradients_of_parameters(run: Run) -> int:
    """Return how many trainable parameters had a gradient that is not zero in the last step of the run."""
    pairs = zip(run.parameters, run.steps[-1].parameters, strict=True)
    return sum(
        p.trainable and r.gradient is not None and (r.gradient.rms > 0.0 or r.gradient.nonfinite > 0) for p, r in pairs
    )
