"""The profile: budgets multiply to the measured transport, skips are followed, the reach is counted."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from photic.diagnosis.profile import REACHED, depth_profile
from photic.probes.audit import look, measure
from tests import zoo


@pytest.mark.parametrize("name", zoo.HEALTHY)
def test_the_budget_multiplies_to_the_measured_transport(name: str) -> None:
    build, batch, loss = zoo.HEALTHY[name]
    profile = depth_profile(measure(zoo.seeded(build), batch, loss))
    assert profile is not None
    if profile.transport:
        product = math.prod(line.gain for line in profile.budget)
        assert product == pytest.approx(profile.transport, rel=1e-6)
    if profile.budget and profile.transport and abs(math.log(profile.transport)) > 1e-3:
        assert sum(line.share for line in profile.budget) == pytest.approx(1.0, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(depth=st.integers(1, 12), width=st.integers(4, 40), variance=st.floats(0.05, 20.0), seed=st.integers(0, 99))
def test_on_any_chain_transport_is_the_ratio_of_the_gradient_norms(
    depth: int, width: int, variance: float, seed: int
) -> None:
    run = measure(zoo.seeded(lambda: zoo.Mlp(torch.tanh, depth, width, variance), seed), zoo.vectors(), F.cross_entropy)
    profile = depth_profile(run)
    first, top = run.reading("layers.0").gradient, run.reading("head").gradient
    assert profile is not None and first is not None and top is not None
    assert profile.transport == pytest.approx(first.norm / top.norm, rel=1e-9)
    assert profile.layers[0].transport == pytest.approx(profile.transport, rel=1e-9)
    assert math.prod(line.gain for line in profile.budget) == pytest.approx(profile.transport, rel=1e-6)


def test_the_sigmoid_network_is_reached_in_two_of_eleven_layers() -> None:
    profile = depth_profile(measure(zoo.seeded(zoo.Mlp), zoo.vectors(), F.cross_entropy))
    assert profile is not None
    assert profile.reach == "the gradient reaches 2 of 11 layers"
    assert [line.reached for line in profile.layers] == [False] * 9 + [True] * 2
    assert pytest.approx(math.exp(-3)) == REACHED


def test_a_branch_that_starts_at_zero_is_reached_through_its_skip() -> None:
    build, batch, loss = zoo.HEALTHY["zero-branches"]
    profile = depth_profile(measure(zoo.seeded(build), batch, loss))
    assert profile is not None and profile.reached >= len(profile.layers) - 12
    stem = next(line for line in profile.layers if line.site == "stem")
    assert stem.reached


def test_without_a_backward_pass_nothing_is_reached_and_nothing_is_invented() -> None:
    profile = depth_profile(look(zoo.seeded(zoo.Mlp), zoo.vectors()[0]))
    assert profile is not None
    assert profile.reached == 0 and profile.transport is None and profile.budget == ()
