"""A model that is watched can be copied, pickled, saved and scripted at any moment; the copy carries nothing of ours."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

import photic
from tests import zoo
from tests.zoo import seeded


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Sequential(nn.Linear(32, 16), nn.ReLU()), nn.Linear(16, 10))


def saved(model: nn.Module) -> Any:
    held = io.BytesIO()
    torch.save(model, held)
    held.seek(0)
    return torch.load(held, weights_only=False)


WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "save": saved,
    "average": torch.optim.swa_utils.AveragedModel,
    "script": torch.jit.script,
}


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_copy_is_made_at_any_step_and_carries_nothing(way: str, tmp_path: Path) -> None:
    model = seeded(net)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    copies: list[tuple[str, Any]] = []
    with photic.watch(model, optimizer, every=1, record=tmp_path / "run.sqlite") as watch:
        for _ in range(3):
            copies.append((watch._kind, WAYS[way](model)))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert watch.faults == [] and {kind for kind, _ in copies} == {"audit", "glance"}
    for _, made in copies:
        assert way == "script" or hooks(made) == 0
        F.cross_entropy(made(x), y).backward()
    assert not torch_module._global_forward_hooks and not torch_module._global_forward_pre_hooks
    assert _get_current_function_mode_stack() == []


def test_a_copy_made_by_a_running_forward_does_nothing_of_ours() -> None:
    """The first forward of a momentum encoder: it copies the network, itself included, while that runs."""

    class Momentum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.made = net(), list[Any]()

        def forward(self, x: Tensor) -> Tensor:
            if not self.made:
                self.made.append(copy.deepcopy(self))
            return self.encoder(x)

    model = seeded(Momentum)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    (made,) = model.made
    assert watch.faults == [] and watch.run is not None and hooks(model) == 0
    assert b"photic" not in pickle.dumps([*made._forward_hooks.values(), *made._forward_pre_hooks.values()])
    assert torch.equal(made.encoder(x), made(x))


def test_keyword_arguments_recursion_and_failed_passes_leave_no_hook() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 64)

        def forward(self, *, x: Tensor, depth: int = 2) -> Tensor:
            if depth < 0:
                raise ValueError("too deep")
            return (
                self(x=torch.tanh(self.layer(x)), depth=depth - 1)
                if depth
                else checkpoint(self.layer, x, use_reentrant=False)
            )

    model = seeded(Twice)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        output = model(x=x)
        assert hooks(model) == 0
        F.cross_entropy(output, y).backward()
        optimizer.step()
        run = watch.run
        assert run is not None and run.inputs is not None and run.inputs.count == x.numel()
        assert [s.operation for s in run.sites].count("tanh") == 2
        optimizer.zero_grad()
        F.cross_entropy(model(x=x), y).backward()
        optimizer.step()
        assert watch._kind == "audit"
        with pytest.raises(ValueError, match="too deep"):
            model(x=x, depth=-1)
        assert hooks(model) == 0
    assert watch.faults == []
