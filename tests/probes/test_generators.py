"""Generators: seeded within a block as torch seeds them, put back after it, and nothing remembered for devices that are not there."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from photic.probes.generators import kept, restore, seed_torch, seeded, states


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_a_block_draws_as_its_seed_says_and_leaves_no_trace() -> None:
    before = states()
    expected = drawn()
    restore(before)
    with seeded(3):
        first = drawn()
    with pytest.raises(ZeroDivisionError), seeded(3):
        assert drawn() == first
        raise ZeroDivisionError
    with kept():
        drawn()
    assert drawn() == expected
    torch.manual_seed(3)
    assert float(torch.rand(())) == first[2]


@pytest.mark.skipif(torch.accelerator.is_available(), reason="an accelerator is seeded too")
def test_nothing_is_remembered_for_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch.cuda.random, "_lazy_call", lambda call, **_: asked.append(call))
    seed_torch(0)
    assert not asked
    torch.manual_seed(0)
    assert asked  # what torch's own function does


def test_gpus_in_use_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    put_back: list[list[str]] = []
    for name, answer in (("is_available", True), ("is_initialized", True), ("get_rng_state_all", ["of one GPU"])):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", put_back.append)
    monkeypatch.setattr(torch, "manual_seed", torch.default_generator.manual_seed)
    with seeded(0):
        assert not put_back
    assert put_back == [["of one GPU"]]
