"""Raw gradients: what the gradients of a step were before anyone clipped them, and who clipped which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes.norms import gradient_norms


class RawGradients:
    """Follows the gradients of one step from backward to backward.

    Attributes:
        norms: by id of the parameter, after the last backward before it was clipped.
        leftover: ids of the parameters whose gradient was not zero when the first backward began.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.norms: dict[int, float] = {}
        self.leftover: set[int] = set()
        self._clips: dict[int, tuple[float, Any]] = {}  # by id of the parameter: limit and norm of its first clipping

    def begin(self) -> None:
        """The first backward of the step is about to run."""
        self.leftover = {key for key, norm in self._now().items() if norm > 0.0}

    def read(self) -> None:
        """A backward has run. What was clipped is not raw any more."""
        self.norms |= {key: norm for key, norm in self._now().items() if key not in self._clips}

    def read_anew(self, factor: float) -> None:
        """What `.grad` holds now, times a factor, is what came: an integration has put it there."""
        self.norms = {key: norm * factor for key, norm in self._now().items()}

    def clipped(self, parameters: Iterable[Tensor], limit: float, norm: Any) -> None:
        """The gradients of these parameters, together of this norm, are about to be clipped to a limit."""
        for parameter in parameters:
            self._clips.setdefault(id(parameter), (float(limit), norm))

    def clip_of(self, optimizer: torch.optim.Optimizer | None) -> tuple[float | None, float | None]:
        """Return limit and norm of the clipping of an optimizer's parameters; None twice where they were not clipped."""
        for group in [] if optimizer is None else optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) in self._clips:
                    limit, norm = self._clips[id(parameter)]
                    return limit, float(norm)
        return None, None

    def cleared(self) -> bool:
        """Whether nothing is left of the gradients that were read: somebody set them to zero or to None."""
        read = [p for p in self.model.parameters() if self.norms.get(id(p), 0.0) != 0.0]
        return bool(read) and all(p.grad is None or not bool(p.grad.any()) for p in read)

    def _now(self) -> dict[int, float]:
        return gradient_norms(self.model.parameters())
