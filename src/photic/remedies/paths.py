"""Paths: values that stay, with the gradient of what they are made of: draws from a normal, and ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call


def pathwise(call: Call) -> Any:
    """What the call draws from a normal, as location + scale * noise."""
    with torch.no_grad():
        value: Tensor = call.run()
    location, scale = (call.args[place] if len(call.args) > place else call.kwargs[name] for place, name in _NORMAL)
    with torch.enable_grad():
        noise = (value - location) / scale
        noise = torch.nan_to_num(noise.detach() if isinstance(noise, Tensor) else noise, 0.0, 0.0, 0.0)
        return location + scale * noise


_NORMAL = ((0, "mean"), (1, "std"))


class Ranks:
    """One call sorts, another makes numbers of the ranks: these stay, and what was sorted gets the gradient of soft ranks.

    The soft rank of a number is the sum, over the others, of the sigmoid of how far it lies above them, in deviations.
    """

    def __init__(self) -> None:
        self.scores: Tensor | None = None
        self.axis, self.sign = -1, 1.0

    def enter(self, call: Call) -> Any:
        """Keep what is sorted."""
        self.scores = call.args[0]
        self.axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else -1)
        self.sign = -1.0 if call.kwargs.get("descending", len(call.args) > 2 and call.args[2]) else 1.0
        return call.run()

    def leave(self, call: Call) -> Any:
        """Return the ranks, with the gradient."""
        value: Tensor = call.run()
        scores, self.scores = self.scores, None
        if scores is None or scores.shape != value.shape or not value.is_floating_point():
            return value
        along = scores.movedim(self.axis, -1)
        unit = along.detach().std(-1, keepdim=True).clamp_min(torch.finfo(along.dtype).tiny)[..., None]
        soft = torch.sigmoid(self.sign * (along[..., :, None] - along[..., None, :]) / unit).sum(-1) - 0.5
        soft = soft.movedim(-1, self.axis)
        return value + (soft - soft.detach()).to(value.dtype)
