"""The standard loss for what the targets are: cross-entropy for classes, squared error for numbers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SUMS = 1e-3  # probabilities of an example sum to 1 within this
LEAST = 1e-12  # probabilities count at least so much


class StandardLoss:
    """Cross-entropy where the targets are class numbers, or 0 and 1; a mean squared error where they are other numbers.

    Outputs that are probabilities, on the first batch, are taken as such; others as logits. Survives deepcopy.
    """

    def __init__(self) -> None:
        self.form = ""

    def __call__(self, output: Any, targets: Any) -> Tensor:
        """Return the loss.

        Raises:
            ValueError: if output and targets fit none of these.
        """
        if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
            raise ValueError(f"expected tensors; got {type(output).__name__} and {type(targets).__name__}")
        classes = not targets.is_floating_point() and output.ndim == targets.ndim + 1 and output.shape[-1] > 1
        if classes and output.shape[:-1] == targets.shape:
            return self._classes(output.flatten(0, -2), targets.flatten().long())
        if classes and output.shape[:1] + output.shape[2:] == targets.shape:
            return self._classes(output.movedim(1, -1).flatten(0, -2), targets.flatten().long())
        if output.numel() != targets.numel():
            raise ValueError(f"output {tuple(output.shape)} and targets {tuple(targets.shape)} do not fit each other")
        return self._numbers(output, targets.reshape(output.shape).to(output.dtype))

    def _classes(self, output: Tensor, targets: Tensor) -> Tensor:
        if not self.form:
            whole = (output.detach().sum(-1) - 1.0).abs().max() < SUMS
            self.form = "probabilities" if whole and bool((output >= 0.0).all()) else "logits"
        if self.form == "logits":
            return F.cross_entropy(output, targets)
        return F.nll_loss(output.clamp(min=LEAST).log(), targets)

    def _numbers(self, output: Tensor, targets: Tensor) -> Tensor:
        if not self.form:
            binary = bool(((targets == 0.0) | (targets == 1.0)).all())
            inside = bool(((output >= 0.0) & (output <= 1.0)).all())
            self.form = "numbers" if not binary else "probabilities" if inside else "logits"
        if self.form == "numbers":
            return F.mse_loss(output, targets)
        if self.form == "logits":
            return F.binary_cross_entropy_with_logits(output, targets)
        p = output.clamp(LEAST, 1.0 - torch.finfo(output.dtype).eps)
        return -(targets * p.log() + (1.0 - targets) * (-p).log1p()).mean()
