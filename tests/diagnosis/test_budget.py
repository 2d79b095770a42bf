"""The gradient budget adds up: along the path, at every join, and over blocks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import photic
from photic.diagnosis.profile import depth_profile
from photic.records.profiles import Profile
from photic.reports.blocks import unfolded
from tests.zoo import seeded


def transformer(*, norm_first: bool) -> Profile:
    def build() -> nn.Module:
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=norm_first, dropout=0.0)
        return nn.Sequential(
            nn.Linear(8, 32), nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Linear(32, 4)
        )

    batch = seeded(lambda: (torch.randn(4, 6, 8), torch.randn(4, 6, 4)))
    profile = depth_profile(photic.measure(seeded(build), batch, F.mse_loss))
    assert profile is not None
    return profile


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_product_of_the_gains_is_the_transport(norm_first: bool) -> None:
    profile = transformer(norm_first=norm_first)
    assert profile.transport is not None
    assert math.prod(line.gain for line in profile.budget) == pytest.approx(profile.transport, rel=1e-9)
    assert sum(line.share for line in profile.budget) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_parts_of_a_join_add_up_to_the_whole(norm_first: bool) -> None:
    joins = [line for line in transformer(norm_first=norm_first).budget if line.parts]
    assert len(joins) >= 6
    for line in joins:
        assert sum(part.share or 0.0 for part in line.parts) == pytest.approx(1.0, abs=1e-5)
        assert sum(part.on_path for part in line.parts) == 1


def test_a_joins_gain_follows_from_norms_and_cosine() -> None:
    for line in transformer(norm_first=True).budget:
        if len(line.parts) == 2:
            skip = next(part for part in line.parts if part.on_path)
            assert line.gain == pytest.approx(1.0 / skip.norm, rel=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_blocks_one_beside_the_other_hold_the_whole_budget(norm_first: bool) -> None:
    profile = transformer(norm_first=norm_first)
    shown = [block for block in unfolded(profile.blocks) if block.gain is not None]
    inside = tuple(f"{block.path}." for block in shown)
    whole = math.prod(block.gain for block in shown if block.gain is not None)
    between = math.prod(line.gain for line in profile.budget if not f"{line.module}.".startswith(inside))
    assert len(shown) >= 4
    assert whole * between == pytest.approx(profile.transport, rel=1e-9)
    assert profile.blocks[0].gain == pytest.approx(profile.transport, rel=1e-9)


def test_a_deep_transformer_is_read_block_by_block() -> None:
    assert [block.path for block in unfolded(transformer(norm_first=True).blocks)] == [
        "0", "1.layers.0", "1.layers.1", "1.layers.2", "2",
    ]  # fmt: skip


class Scaled(nn.Module):
    """Residual blocks whose sum, skip and all, is multiplied by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.below = nn.Linear(8, 32)
        self.branches = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 32)) for _ in range(16))
        self.above = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.below(x)
        for branch in self.branches:
            x = self.factor * (x + branch(x))
        return self.above(x)


def test_where_everything_fades_the_main_path_still_takes_the_skips() -> None:
    batch = seeded(lambda: (torch.randn(32, 8), torch.randn(32, 4)))
    profile = depth_profile(photic.measure(seeded(lambda: Scaled(0.5)), batch, F.mse_loss))
    assert profile is not None
    assert not [line.site for line in profile.budget if line.kind == "activation"]
    assert math.prod(line.gain for line in profile.budget if line.operation == "mul") == pytest.approx(0.5**16)


@pytest.mark.parametrize(("factor", "sick"), [(0.5, True), (1.0, False)])
def test_a_factor_on_the_skips_is_named_and_not_the_branches(factor: float, sick: bool) -> None:
    batch = seeded(lambda: (torch.randn(32, 8), torch.randn(32, 4)))
    findings = photic.check(seeded(lambda: Scaled(factor)), [batch], F.mse_loss).findings
    assert bool(findings) == sick
    if sick:
        assert findings[0].problem == "vanishing-gradient"
        assert findings[0].sites == tuple(f"/mul#{block}" for block in range(1, 17))
        assert "16 factors of 0.5" in findings[0].reason and "c * f(x)" in findings[0].advice
        assert {"below", "branches.0.0", "branches.0.2"} <= set(findings[0].victims)  # branches starve with their path
