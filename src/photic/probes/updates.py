"""The true update of every parameter: weight after minus weight before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
        old, new = as_real(before[name]), as_real(local(parameter.detach()))
        moved = torch.linalg.vector_norm((new - old).flatten(), dtype=torch.float64)
        size = torch.linalg.vector_norm(old.flatten(), dtype=torch.float64)
        ratio = float(moved / size) if float(size) > 0.0 else (math.inf if float(moved) > 0.0 else 0.0)
        found[name] = ratio, int((new == old).sum()) / max(new.numel(), 1)
    return found


def as_real(values: Tensor) -> Tensor:
    """Return complex numbers as twice as many real ones; others as they are."""
    return torch.view_as_real(values.resolve_conj()) if values.is_complex() else values


def against_gradient(before: dict[str, Tensor], model: nn.Module) -> dict[str, float]:
    """Return, by parameter, the cosine between its update and the gradient it has: -1 straight down, 1 uphill.

    Left out: parameters without a gradient, or that did not move.
    """
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if name not in before or parameter.grad is None or parameter.grad.layout is not torch.strided:
            continue
        step = as_real(parameter.detach() - before[name]).to(torch.float64).flatten()
        slope = as_real(parameter.grad.detach()).to(torch.float64).flatten()
        sizes = step.abs().max() * slope.abs().max() if step.numel() else step.sum()
        if not bool(torch.isfinite(sizes)) or float(sizes) == 0.0:
            continue
        step, slope = step / step.abs().max(), slope / slope.abs().max()
        found[name] = float(step @ slope / (torch.linalg.vector_norm(step) * torch.linalg.vector_norm(slope)))
    return found


def taken_back(start: Mapping[str, Tensor], before: Mapping[str, Tensor], model: nn.Module) -> dict[str, float]:
    """Return, by parameter that something else than the optimizer changed since `before`, what share of its way from `start` was undone.

    -<change, way> / |way|^2, with the way from start to before; above 0 it was moved back, 1 is all of it.
    """
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        now = local(parameter.detach())
        if name not in before or name not in start or start[name].shape != now.shape or torch.equal(before[name], now):
            continue
        way, change = (
            as_real(a - b).to(torch.float64)
            for a, b in ((before[name], local(start[name].detach())), (now, before[name]))
        )
        square = float(way.square().sum())
        if 0.0 < square < math.inf:
            found[name] = -float((change * way).sum()) / square
    return found


def written(start: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters that differ from what they were at `start`."""
    now = {name: local(parameter.detach()) for name, parameter in model.named_parameters() if name in start}
    return {
        name: value.clone()
        for name, value in now.items()
        if start[name].shape != value.shape or not torch.equal(local(start[name].detach()), value)
    }


def epsilon_shares(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, float]:
    """Return, by parameter, the share of elements of which the optimizer's epsilon takes at least half of the step.

    An element steps by g / (sqrt(v) + eps): half of it is lost where sqrt(v) is no larger than eps. v is Adam's second moment,
    corrected for its start at 0, RMSprop's mean square or Adagrad's sum. Elements that never had a gradient do not count.
    Empty for optimizers that keep none of these.
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        group, state = groups.get(id(parameter)), optimizer.state.get(parameter, {})
        squares = None if group is None or "eps" not in group else _squares(group, state)
        if group is None or squares is None:
            continue
        alive = squares > 0.0
        number = int(alive.sum())
        if number:
            found[name] = int((squares[alive].sqrt() <= float(group["eps"])).sum()) / number
    return found


def _squares(group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor | None:
    """Return what an optimizer divides by the root of, in float64; None where it keeps nothing of the kind."""
    key = next((each for each in ("exp_avg_sq", "square_avg", "sum") if isinstance(state.get(each), Tensor)), None)
    if (
        key is None or (key == "exp_avg_sq" and "betas" not in group) or "rho" in group
    ):  # Adadelta adds eps inside its roots
        return None
    squares = as_real(local(state[key].detach())).to(torch.float64)
    if key != "exp_avg_sq":
        return squares
    return squares / max(1.0 - float(group["betas"][1]) ** float(state.get("step", 1.0)), 1e-300)
