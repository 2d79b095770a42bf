"""Norms: of the gradients of many parameters, in two operations and with one wait for a GPU."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from photic.probes.shards import local


def gradient_norms(parameters: Iterable[nn.Parameter]) -> dict[int, float]:
    """Return by id of the parameter the norm of its gradient; those without a dense one are left out."""
    dense = {id(p): p.grad for p in parameters if p.grad is not None}
    dense = {key: local(g.detach()) for key, g in dense.items() if g.layout is torch.strided}
    if not dense:
        return {}
    norms = torch._foreach_norm(list(dense.values()))  # pyright: ignore[reportPrivateImportUsage]
    placed: defaultdict[torch.device, dict[int, Tensor]] = defaultdict(dict)
    for key, norm in zip(dense, norms, strict=True):
        placed[norm.device][key] = norm
    return {
        key: float(value)
        for there in placed.values()
        for key, value in zip(there, torch.stack(list(there.values())).tolist(), strict=True)
    }


class ParameterNorms:
    """The gradients of a step's parameters as one row of a record.

    Attributes:
        names: of the model's parameters, in their order.
        row: norm of each parameter's gradient as the optimizer meets it; nan where it has none to step by, inf where
            an element is not finite. Empty before the first reading.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self.names = list(self._parameters)
        self.row: list[float] = []

    def read(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Read those that an optimizer is about to step, or all."""
        owned = None if optimizer is None else {id(p) for group in optimizer.param_groups for p in group["params"]}
        found = gradient_norms(p for p in self._parameters.values() if owned is None or id(p) in owned)
        scale = getattr(optimizer, "grad_scale", None)  # a fused optimizer divides by it in its own step
        by = 1.0 if scale is None else float(scale)
        norms = [found.get(id(p)) for p in self._parameters.values()]
        self.row = [math.nan if n is None else n / by if math.isfinite(n) else math.inf for n in norms]
