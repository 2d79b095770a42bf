"""Remedies for ways that are cut without a word, and what each must refuse."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from tests.diagnosis import test_mended_wires as sick
from tests.remedies.test_structure import CATALOGUE, cured, digits, prescribed


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def refused(name: str, model: nn.Module, loss: Any = F.cross_entropy, batch: Any = None) -> str:
    said = CATALOGUE[name].prescribe(Graph.of(measure(model, batch or digits()[0], loss)))
    assert isinstance(said, str) and said
    return said


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("straight-through", lambda: sick.Weighted(sick.SIGNED["sign"])),
        ("plain-function", lambda: sick.Functional(sick.Doubled)),
        ("soft-choice", lambda: sick.Spoken(values=False)),
    ],
)
def test_what_was_cut_is_joined_again(name: str, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cured(name, monkeypatch, build, digits(), F.cross_entropy, optimizer=adam, steps=150)


@pytest.mark.parametrize("name", ["straight-through", "plain-function", "soft-choice"])
def test_nothing_is_prescribed_where_nothing_is_cut(name: str) -> None:
    refused(name, plain())


def test_a_plain_function_keeps_the_value_and_has_the_gradient_of_a_whole_backward() -> None:
    torch.manual_seed(0)
    model, batch = sick.Functional(sick.Doubled), digits()[0]
    given = prescribed("plain-function", model, batch, F.cross_entropy)
    whole = copy.deepcopy(model)
    whole.function = sick.DoubledWhole
    carry_out(given, model, seed=0)
    assert torch.equal(model(batch[0]), whole(batch[0]))
    for one in (pickle.loads(pickle.dumps(model)), whole):
        F.cross_entropy(one(batch[0]), batch[1]).backward()
        assert one.below.weight.grad is not None
        model.below.weight.grad = one.below.weight.grad if model.below.weight.grad is None else model.below.weight.grad
        assert torch.allclose(model.below.weight.grad, one.below.weight.grad, rtol=1e-4, atol=1e-7)
    assert "apply" not in vars(torch.autograd.Function.__mro__[1])


def test_a_plain_function_is_not_prescribed_where_the_backward_is_whole() -> None:
    refused("plain-function", sick.Functional(sick.DoubledWhole))
