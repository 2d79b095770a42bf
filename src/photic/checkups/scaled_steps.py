"""Scaled steps: what a gradient scaler multiplied the loss by, and the steps that it did not let the optimizer take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from photic.probes.scaling import SCALERS, found_infinite

_FEW = 60  # steps in which a scaler may still look for its scale


class ScaledSteps:
    """Hears every step of every `torch.amp.GradScaler` while it is open.

    Attributes:
        skipped: steps that were not taken, because gradients were not finite.
    """

    def __init__(
        self,
        ours: Callable[[torch.optim.Optimizer], bool],
        skip: Callable[[], None],
        fault: Callable[[Exception], None],
    ) -> None:
        self.skipped = 0
        self._ours, self._skip, self._fault = ours, skip, fault
        self._now: tuple[Any, torch.optim.Optimizer] | None = None  # the scaler that is about to step, and what
        self._taken = False

    def open(self) -> None:
        """Begin to hear."""
        SCALERS.listen(self)

    def close(self) -> None:
        """Hear no more."""
        SCALERS.leave(self)

    def scaler_steps(self, scaler: Any, optimizer: torch.optim.Optimizer) -> None:
        """A gradient scaler is about to step the optimizer, or not to."""
        self._now, self._taken = (scaler, optimizer), False

    def scaler_stepped(self, scaler: Any, optimizer: torch.optim.Optimizer) -> None:
        """It has done so, or not."""
        self._now = None
        try:
            if not self._taken and scaler.is_enabled() and self._ours(optimizer):
                self.skipped += 1
                self._skip()
        except Exception as error:
            self._fault(error)

    def taken(self, optimizer: torch.optim.Optimizer, *, sampled: bool) -> bool:
        """Whether the optimizer, which has just stepped, moved its weights.

        A fused one is always called, unscales by itself, and skips by itself; on a GPU that is asked in sampled steps only,
        because the answer has to be waited for.
        """
        self._taken = True
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if self._now is None or not fused or not self._now[0].is_enabled():
            return True
        on_cpu = all(p.device.type == "cpu" for group in optimizer.param_groups for p in group["params"][:1])
        if (on_cpu or sampled) and found_infinite(self._now[0], optimizer):
            self.skipped += 1
            return False
        return True

    def scale(self, optimizer: torch.optim.Optimizer) -> float:
        """Return what the loss was multiplied by; waits for a GPU, so ask in sampled steps only."""
        if self._now is None or self._now[1] is not optimizer or not self._now[0].is_enabled():
            return 1.0
        return float(self._now[0].get_scale())

    def note(self, taken: int) -> str:
        """Return in words what was skipped beside `taken` steps; '' where nothing was."""
        if not self.skipped:
            return ""
        many = self.skipped + taken > _FEW and 20 * self.skipped > taken
        return (
            f"the gradient scaler skipped {self.skipped} of {taken + self.skipped} steps, because gradients were not finite: "
            + ("more than the few in which a scaler finds its scale; find where they become infinite"
               if many else "a few at the start are how it finds its scale")
        )  # fmt: skip
