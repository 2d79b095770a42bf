"""Drawn numbers have the variance, the orthogonality and the isometry that is asked for."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from photic.initialisers.drawing import (
    TRUNCATED_DEVIATION,
    fans,
    fill_delta_orthogonal,
    fill_normal,
    fill_orthogonal,
    fill_truncated,
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("fill", [fill_normal, fill_truncated])
def test_the_variance_is_the_one_asked_for(fill: type) -> None:
    weight = fill(torch.empty(1000, 1000), variance=0.3, generator=generator())
    assert float(weight.double().var()) == pytest.approx(0.3, rel=4 * math.sqrt(2 / 1e6))  # four standard errors
    assert float(weight.double().mean()) == pytest.approx(0.0, abs=4 * math.sqrt(0.3 / 1e6))


def test_cutting_is_exact_and_torchs_own_is_narrower() -> None:
    weight = fill_truncated(torch.empty(1000, 1000), variance=1.0, generator=generator())
    assert float(weight.abs().max()) <= 2.0 / TRUNCATED_DEVIATION + 1e-6
    torchs = torch.nn.init.trunc_normal_(torch.empty(1000, 1000), std=1.0, a=-2.0, b=2.0, generator=generator())
    assert float(torchs.std()) == pytest.approx(TRUNCATED_DEVIATION, rel=0.005)


@pytest.mark.parametrize("shape", [(20, 20), (30, 20), (20, 30), (16, 3, 3, 3)])
def test_rows_or_columns_are_orthogonal(shape: tuple[int, ...]) -> None:
    flat = fill_orthogonal(torch.empty(shape, dtype=torch.float64), gain=2.0, generator=generator()).reshape(
        shape[0], -1
    )
    small = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    torch.testing.assert_close(small, 4.0 * torch.eye(len(small), dtype=torch.float64))


def test_orthogonal_matrices_are_uniform_over_the_group() -> None:
    """Without the sign fix the diagonal of a QR factor is biased; its mean over 400 draws has deviation 0.05 / sqrt(10)."""
    g = generator()
    diagonals = [fill_orthogonal(torch.empty(10, 10), generator=g).diagonal() for _ in range(400)]
    assert abs(float(torch.stack(diagonals).mean())) < 4 * math.sqrt(1 / 10 / 4000)


def test_a_delta_orthogonal_convolution_keeps_every_norm() -> None:
    weight = fill_delta_orthogonal(torch.empty(24, 16, 3, 3), generator=generator())
    x = torch.randn(2, 16, 9, 9, generator=generator())
    made = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight)
    torch.testing.assert_close(made.square().sum(1), x.square().sum(1))


def test_impossible_shapes_are_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="odd sizes"):
        fill_delta_orthogonal(torch.empty(8, 8, 2, 2))
    with pytest.raises(ValueError, match="at least as many outputs"):
        fill_delta_orthogonal(torch.empty(4, 8, 3, 3))
    with pytest.raises(ValueError, match="two dimensions"):
        fans(torch.empty(3))
    with pytest.raises(ValueError, match="at least 0"):
        fill_truncated(torch.empty(2, 2), variance=-1.0)
