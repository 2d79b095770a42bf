"""Hugging Face `Trainer`: a callback that watches the training: `Trainer(..., callbacks=[PhoticCallback()])`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from photic.checkups.stopping import OnFinding, Stop
from photic.checkups.watching import Watch
from photic.integrations.requirements import need, raise_if_blind
from photic.integrations.trainers import begun, closes_with

if TYPE_CHECKING:

    class TrainerCallback:  # so that types are checked without the library
        """See the library."""

else:
    TrainerCallback = need("transformers", extra="hf").TrainerCallback


class PhoticCallback(TrainerCallback):
    """Watches a `Trainer` from its first step to its last.

    A callback of the Trainer sees gradients only after they were clipped. The watch reads both: `before_clipping` of a
    parameter is the norm after all backward passes of the step, `gradient` what the optimizer used.

    Attributes:
        watch: the handle while and after the training: `.findings`, `.run`, `.checkup`, `.overhead`; None before it.
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
        self.watch: Watch | None = None
        self._options: dict[str, Any] = {
            "budget": budget, "record": record, "on_finding": on_finding, "stop_on": stop_on, "ignore": ignore, "every": every,
        }  # fmt: skip
        self._started = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: nn.Module, **others: Any) -> None:
        """Begin to watch the bare model; on several ranks there is one verdict, and the main process writes the record.

        The Trainer does not tell when a training ends by an exception. Then the watch ends with the next training, or when
        the callback is gone; `callback.watch.close()` ends it at once.
        """
        self._close()
        self._started = state.global_step
        together = int(getattr(model, "tp_size", None) or 1)  # ranks that work on one batch
        self.watch = begun(
            getattr(model, "module", model),
            first=state.is_world_process_zero,
            batches=max(1, args.world_size // together),
            started=self._started,
            **self._options,
        )
        closes_with(self, self.watch)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Raise in the second step if nothing can be read."""
        if self.watch is not None and state.global_step - self._started == 2:
            raise_if_blind(self.watch, 2, "the Trainer")

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Detach; the record is complete."""
        self._close()

    def _close(self) -> None:
        if self.watch is not None:
            self.watch.close()
