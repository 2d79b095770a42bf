"""The true update of every parameter: weight after minus weight before."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from photic.probes.shards import local


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters by name."""
    return {name: local(parameter.detach()).clone() for name, parameter in model.named_parameters()}


def updates(before: dict[str, Tensor], model: nn.Module) -> dict[str, tuple[float, float]]:
    """Return, by parameter, |after - before| / |before| and the share of elements left bit-identical.

    The ratio is infinite where a parameter that was 0 moved, and 0 where nothing moved.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, parameter in model.named_parameters():
        if name not in before or parameter.numel() == 0:
            continue
        old, new = before[name], local(parameter.detach())
        moved = torch.linalg.vector_norm((new - old).flatten(), dtype=torch.float64)
        size = torch.linalg.vector_norm(old.flatten(), dtype=torch.float64)
        ratio = float(moved / size) if float(size) > 0.0 else (math.inf if float(moved) > 0.0 else 0.0)
        found[name] = ratio, int((new == old).sum()) / max(new.numel(), 1)
    return found


def against_gradient(before: dict[str, Tensor], model: nn.Module) -> dict[str, float]:
    """Return, by parameter, the cosine between its update and the gradient it has: -1 straight down, 1 uphill.

    Left out: parameters without a gradient, or that did not move.
    """
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if name not in before or parameter.grad is None or parameter.grad.layout is not torch.strided:
            continue
        step = (parameter.detach() - before[name]).to(torch.float64).flatten()
        slope = parameter.grad.detach().to(torch.float64).flatten()
        sizes = step.abs().max() * slope.abs().max() if step.numel() else step.sum()
        if not bool(torch.isfinite(sizes)) or float(sizes) == 0.0:
            continue
        step, slope = step / step.abs().max(), slope / slope.abs().max()
        found[name] = float(step @ slope / (torch.linalg.vector_norm(step) * torch.linalg.vector_norm(slope)))
    return found


def epsilon_shares(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, float]:
    """Return, by parameter, the share of elements of which Adam's epsilon takes at least half of the step.

    An element steps by m / (sqrt(v) + eps): half of it is lost where sqrt(v), corrected for its start at 0, is no larger
    than eps. Elements that never had a gradient do not count. Empty for optimizers without `exp_avg_sq`.
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        group, state = groups.get(id(parameter)), optimizer.state.get(parameter, {})
        if group is None or "exp_avg_sq" not in state or "eps" not in group or "betas" not in group:
            continue
        steps = float(state.get("step", 1.0))
        second = local(state["exp_avg_sq"].detach()).to(torch.float64) / max(
            1.0 - float(group["betas"][1]) ** steps, 1e-300
        )
        alive = second > 0.0
        number = int(alive.sum())
        if number:
            found[name] = int((second[alive].sqrt() <= float(group["eps"])).sum()) / number
    return found
