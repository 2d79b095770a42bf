"""Changes of the optimizer: what it holds, how far it steps, and what happens to the gradients around a step."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from photic.probes.clipping import clipping
from photic.probes.replaced import replaced
from photic.remedies.prescription import Prescription


def change_optimizer(
    prescription: Prescription, optimizer: torch.optim.Optimizer, model: nn.Module
) -> torch.optim.Optimizer:
    """Carry out what a prescription says of the optimizer, and return it, or the Adam that takes its place.

    The order is unscale, clip, warm up, step, clear.
    """
    if prescription.thawed:
        _thaw(prescription.thawed, optimizer, model)
    p = prescription
    if p.unheld:
        _let_go({id(model.get_parameter(name)) for name in p.unheld}, optimizer)
    if p.owned or p.registered or p.adopted or p.gated or p.answers or p.widened or p.unshared:
        _own(optimizer, model)
    if prescription.adam:
        held = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        optimizer = torch.optim.Adam(held)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * prescription.rate
        group.update({name: value for name, value in prescription.settings.items() if name in group})
    optimizer.defaults.update(
        {name: value for name, value in prescription.settings.items() if name in optimizer.defaults}
    )
    if prescription.loss_scale != 1.0:
        optimizer.register_step_pre_hook(_Unscale(prescription.loss_scale))
    if prescription.clip is not None:
        optimizer.register_step_pre_hook(_Clip(prescription.clip))
    if prescription.clip_limit is not None:
        optimizer.__dict__["step"] = _OtherLimit(optimizer, prescription.clip_limit)
    if prescription.warmup > 1:
        optimizer.register_step_pre_hook(_WarmUp(prescription.warmup))
    if prescription.zeroed:
        optimizer.register_step_post_hook(_clear)
    return optimizer


def _thaw(names: Sequence[str], optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Move the parameters into the group with the largest rate."""
    parameters = [model.get_parameter(name) for name in names]
    known = set(map(id, parameters))
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in known]
    max(optimizer.param_groups, key=lambda group: float(group["lr"]))["params"] += parameters


def _let_go(known: Container[int], optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in known]


def _own(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    own = [parameter for parameter in model.parameters() if parameter.requires_grad]
    known = {id(parameter) for parameter in own}
    held: set[int] = set()
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) in known]
        held.update(map(id, group["params"]))
    optimizer.param_groups[0]["params"] += [parameter for parameter in own if id(parameter) not in held]


def _held(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


class _Unscale:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for parameter in _held(optimizer):
            if parameter.grad is not None:
                parameter.grad.div_(self.scale)


class _Clip:
    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        nn.utils.clip_grad_norm_(_held(optimizer), self.limit)


class _OtherLimit:
    """The optimizer's own step, in which gradients are clipped to another limit.

    Where a class of the user's clips by itself before torch's step, that step gets the gradients which came, clipped to the limit.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, limit: float) -> None:
        self.optimizer, self.limit = optimizer, limit

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = type(self.optimizer)
        base: Any = next((kind for kind in own.__mro__ if kind.__module__.startswith("torch.optim")), own)
        came = [] if base is own else [(p, p.grad.clone()) for p in _held(self.optimizer) if p.grad is not None]
        clipped: list[bool] = []

        def restored(original: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if optimizer is self.optimizer and came and not clipped:
                for parameter, gradient in came:
                    if parameter.grad is not None:
                        parameter.grad.copy_(gradient)
                nn.utils.clip_grad_norm_([parameter for parameter, _ in came], self.limit)
            return original(optimizer, *args, **kwargs)

        with clipping(lambda *_: clipped.append(True), limit=self.limit), ExitStack() as stack:
            if came:
                stack.enter_context(replaced(base, "step", restored))
            return own.step(self.optimizer, *args, **kwargs)


class _WarmUp:
    """Raises the learning rate in equal steps; the count travels in the groups, so a copy counts for itself."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            done = group.setdefault("warmup_done", 0)
            peak = group.setdefault("warmup_peak", group["lr"])
            if done < self.steps:
                group["lr"] = peak * (done + 1) / self.steps
                group["warmup_done"] = done + 1


def _clear(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for parameter in _held(optimizer):
        parameter.grad = None
