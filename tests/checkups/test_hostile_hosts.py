"""Drawn networks are left as they are, and the harness would notice if they were not. `dev.py bench fuzz` draws thousands."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from photic.checkups.watching import Watch
from tests.hosting import same, wrong
from tests.hosts import draw

# Some once broke something: 133 to 979 predictions of what is not finite, 3660 a float64 whose sign is kept apart from its numbers,
# 2146 a layer that its second call in one forward puts a hook on.
SEEDS = [*range(24), 133, 229, 364, 979, *range(1000, 1016), 2146, 3660]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore")
def test_nothing_of_a_host_changes(seed: int) -> None:
    host = draw(seed)
    assert wrong(host) == [], host.words


@given(st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_nothing_of_a_host_that_hypothesis_draws_changes(chance: random.Random) -> None:
    host = draw(chance)
    assert wrong(host) == [], host.words


def test_the_harness_sees_a_changed_bit_and_nan_is_nan() -> None:
    x = torch.tensor([1.0, float("nan")])
    assert same(x, x.clone()) and not same(x, torch.tensor([1.0 + 2**-23, float("nan")]))


@pytest.mark.filterwarnings("ignore")
def test_the_harness_sees_a_watch_that_meddles(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = Watch._stepped

    def meddling(self: Watch, optimizer: torch.optim.Optimizer, *given: Any) -> None:
        stepped(self, optimizer, *given)
        torch.rand(1)

    monkeypatch.setattr(Watch, "_stepped", meddling)
    assert "the watch changed the numbers" in wrong(draw(0))


@pytest.mark.filterwarnings("ignore")
def test_the_harness_sees_a_watch_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(Watch, "_judge", failing)
    assert any("the watch failed: KeyError" in fault for fault in wrong(draw(0)))
