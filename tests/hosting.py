"""What must hold of every host: same numbers, same hooks, same errors, with photic and without."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

import photic
from tests.hosts import Host

STEPS = 4


def hooks(model: nn.Module) -> dict[str, int]:
    """Return how many hooks each module and parameter has."""
    found = {
        f"{path}.{name}": len(held)
        for path, module in model.named_modules()
        for name, held in vars(module).items()
        if name.endswith("_hooks")
    }
    return found | {name: len(p._backward_hooks or ()) for name, p in model.named_parameters()}


def trained(host: Host, watched: bool) -> tuple[list[Tensor], str, dict[str, int], list[str]]:
    """Train a host and return all its numbers, its error, its hooks and photic's faults."""
    model, optimizer = host.build()
    torch.manual_seed(1)
    numbers: list[Tensor] = []
    error = ""
    watch: Any = photic.watch(model, optimizer, budget=1.0) if watched else None
    try:
        for _ in range(STEPS):
            optimizer.zero_grad()
            value = host.loss(model(host.batch[0]), host.batch[1])
            if value.requires_grad:
                value.backward()
            numbers += [p.grad.clone() for p in model.parameters() if p.grad is not None]
            optimizer.step()
            numbers.append(value.detach().clone())
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    finally:
        if watch is not None:
            watch.close()
    numbers += [v.detach().clone() for v in model.state_dict().values()] + [torch.get_rng_state()]
    faults = [] if watch is None else [*watch.faults, *(n.missing for n in _unasked(watch) if "failed" in n.missing)]
    return numbers, error, hooks(model), faults


def _unasked(watch: Any) -> tuple[Any, ...]:
    checkup = watch.checkup
    return () if checkup is None else checkup.not_asked


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal bit for bit, nan for nan."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and bool(torch.equal(a.view(-1).contiguous().view(torch.uint8), b.view(-1).contiguous().view(torch.uint8)))
    )


def wrong(host: Host) -> list[str]:
    """Return what does not hold of a host; nothing, if all is well."""
    warnings.simplefilter("ignore")
    found: list[str] = []
    plain, seen = trained(host, False), trained(host, True)
    if len(plain[0]) != len(seen[0]) or not all(same(a, b) for a, b in zip(plain[0], seen[0])):
        found.append("the watch changed the numbers")
    if plain[1] != seen[1]:
        found.append(f"the watch changed the error: {plain[1]!r} became {seen[1]!r}")
    if plain[2] != seen[2]:
        found.append(f"the watch left hooks: {sorted(set(seen[2].items()) ^ set(plain[2].items()))[:3]}")
    found += [f"the watch failed: {fault}" for fault in seen[3]]
    return found + checked(host, plain[1])


def checked(host: Host, error: str) -> list[str]:
    """Return what `photic.check` did wrong."""
    model, optimizer = host.build()
    before = [v.clone() for v in model.state_dict().values()]
    had, state = hooks(model), torch.get_rng_state()
    found: list[str] = []
    try:
        checkup = photic.check(model, [host.batch], host.loss, optimizer, steps=3)
        found += [f"a rule failed: {n.missing}" for n in checkup.not_asked if "failed" in n.missing]
    except Exception as problem:
        if f"{type(problem).__name__}: {problem}" != error:
            found.append(f"check raised {type(problem).__name__}: {problem}")
    if not all(same(a, b) for a, b in zip(before, model.state_dict().values(), strict=True)):
        found.append("check changed the network")
    if hooks(model) != had:
        found.append("check left hooks")
    if not torch.equal(state, torch.get_rng_state()):
        found.append("check moved the random numbers")
    return found
