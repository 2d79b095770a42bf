"""Function modes of the user's, around a forward alone, leave torch's stack as they came; ours never leaves in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

import photic
from tests import zoo
from tests.zoo import seeded


class Mode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def default() -> Iterator[None]:
    """The default device, set and reset within a step."""
    torch.set_default_device("cpu")
    try:
        yield
    finally:
        torch.set_default_device(None)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "own": Mode,
    "device": lambda: torch.device("cpu"),
    "default device": default,
}


@pytest.mark.parametrize("around", ["forward", "model and loss", "training"])
@pytest.mark.parametrize("kind", MODES)
def test_a_mode_leaves_as_it_came(kind: str, around: str) -> None:
    model = seeded(lambda: zoo.Mlp(torch.relu, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()

    def step() -> None:
        optimizer.zero_grad()
        if around == "forward":
            with MODES[kind]():
                output = model(x)
            loss = F.cross_entropy(output, y)
        else:
            with MODES[kind]():
                loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    watch = photic.watch(model, optimizer)
    for _ in range(4):
        if around == "training":
            with MODES[kind]():
                step()
        else:
            step()
        assert _get_current_function_mode_stack() == []
    watch.close()
    assert watch.faults == [] and watch.run is not None
    assert [site.operation for site in watch.run.sites].count("linear") == 4


def test_a_default_device_outlives_the_watch() -> None:
    torch.set_default_device("cpu")
    try:
        model = seeded(lambda: zoo.Mlp(torch.relu, 3))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        x, y = zoo.vectors()
        with photic.watch(model, optimizer) as watch:
            output = model(x)
            torch.set_default_device("meta")
            torch.set_default_device("cpu")
            F.cross_entropy(output, y).backward()
            optimizer.step()
        assert watch.faults == [] and len(_get_current_function_mode_stack()) == 1
    finally:
        torch.set_default_device(None)
    assert _get_current_function_mode_stack() == []
