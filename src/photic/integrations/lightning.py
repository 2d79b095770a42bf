"""Lightning: a callback that watches the fit: `Trainer(callbacks=[PhoticCallback()])`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from photic.checkups.stopping import OnFinding, Stop
from photic.checkups.watching import Watch
from photic.integrations.requirements import need, raise_if_blind
from photic.integrations.trainers import begun

if TYPE_CHECKING:

    class Callback:  # so that types are checked without the library
        """See the library."""

else:
    try:
        Callback = need("lightning.pytorch", extra="lightning").Callback
    except ModuleNotFoundError as missing:  # the same thing under its older name
        try:
            Callback = need("pytorch_lightning", extra="lightning").Callback
        except ModuleNotFoundError:
            raise missing from None


class PhoticCallback(Callback):
    """Watches a fit from its first step to its last, also when it ends with an exception.

    Lightning runs forward and backward inside the optimizer's step and clips there; the callback tells the watch, between
    backward and clipping, that the gradients are whole. So accumulation, mixed precision and clipping are read as in a
    plain loop: `before_clipping` is the norm that came, `gradient` what the optimizer used.

    Attributes:
        watch: the handle while and after the fit: `.findings`, `.run`, `.checkup`, `.overhead`; None before it.
    """

    def __init__(
        self,
        *,
        budget: float = 0.01,
        record: str | Path | None = None,
        on_finding: OnFinding | None = None,
        stop_on: Stop = "never",
        ignore: Sequence[str] = (),
        every: int = 0,
    ) -> None:
        """Take the options of `photic.watch`."""
        super().__init__()
        self.watch: Watch | None = None
        self._options: dict[str, Any] = {
            "budget": budget, "record": record, "on_finding": on_finding, "stop_on": stop_on, "ignore": ignore, "every": every,
        }  # fmt: skip
        self._started = 0

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Begin to watch the module; on several ranks there is one verdict, and rank 0 writes the record."""
        self._close()
        self._started = trainer.global_step
        data: Any = getattr(trainer.strategy, "distributed_sampler_kwargs", None) or {}
        self.watch = begun(
            pl_module,
            list(trainer.optimizers),
            first=trainer.is_global_zero,
            batches=data.get("num_replicas"),
            started=self._started,
            **self._options,
        )
        self.watch.trainer_tells = bool(getattr(pl_module, "automatic_optimization", True))

    def on_before_optimizer_step(self, trainer: Any, pl_module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """The gradients of all micro-batches are there, unscaled and not yet clipped."""
        if self.watch is not None:
            self.watch.gradients_are_whole()

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Raise in the second step if nothing can be read."""
        if self.watch is not None and trainer.global_step - self._started == 2:
            compiled = getattr(pl_module, "_compiler_ctx", None) is not None  # of `fit(torch.compile(module))`
            raise_if_blind(self.watch, 2, "Lightning", compiled=compiled)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Detach; the record is complete."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Detach; what was seen so far is kept."""
        self._close()

    def _close(self) -> None:
        if self.watch is not None:
            self.watch.close()
