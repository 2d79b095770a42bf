"""Limits: a value whose gradient is scaled down where its norm is above a limit; the value stays."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from photic.probes.calls import Call, tensors_in


class LimitedGradient:
    """Calls the site, and scales what comes back to its results down to a norm."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, call: Call) -> Any:
        """Return what the call gives."""
        value = call.run()
        for result in tensors_in(value):
            if result.requires_grad:
                result.register_hook(self._scaled)
        return value

    def _scaled(self, gradient: Tensor) -> Tensor:
        size = gradient.norm().clamp_min(1e-30)
        return gradient * (self.limit / size).clamp(max=1.0)
