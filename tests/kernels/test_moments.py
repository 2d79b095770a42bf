"""Every version of the moments equals the reference, on numbers of every kind."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from photic.kernels.moments import compiled, moments, torch_passes
from photic.kernels.moments.reference import moments as reference
from photic.kernels.moments.rows import BINS, LARGEST, SQUARES, WIDTH
from photic.records.moments import Moments, combined

team: Any = compiled.team  # must be there on Linux, where torch brings libgomp
with_team = pytest.mark.skipif(sys.platform != "linux", reason="torch brings no libgomp here: one thread reads")
FLOATS = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 3.4e38, math.inf, -math.inf, math.nan]),
)


# The compiled pass adds at most 16 squares per lane in float32 before it goes on in float64: 16 x 2^-24 of the sum.
VERSIONS = [pytest.param(moments, 1e-6, id="compiled"), pytest.param(torch_passes.moments, 1e-12, id="torch")]


@pytest.mark.parametrize(("version", "accuracy"), VERSIONS)
@given(st.lists(FLOATS, max_size=40))
def test_every_version_equals_the_reference(
    version: Callable[[Tensor], Moments], accuracy: float, values: list[float]
) -> None:
    array = np.array(values, dtype=np.float32)
    ours, truth = version(torch.from_numpy(array.copy())), reference(array)
    assert (ours.count, ours.zeros, ours.subnormals, ours.nonfinite) == (
        truth.count,
        truth.zeros,
        truth.subnormals,
        truth.nonfinite,
    )
    assert ours.maximum == truth.maximum
    assert ours.rms == pytest.approx(truth.rms, rel=accuracy)
    assert ours.mean == pytest.approx(truth.mean, rel=1e-9, abs=truth.rms * accuracy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(5000,), (3, 70, 41), (2, 3, 9, 11)])
@pytest.mark.parametrize("poison", [0.0, math.nan, math.inf, 1e-42])
def test_large_and_strided_tensors_equal_the_reference(
    dtype: torch.dtype, shape: tuple[int, ...], poison: float
) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    values.view(-1)[::97] = poison
    for view in (
        values,
        values.mT if values.ndim > 1 else values,
        values[..., ::2],
        values.unsqueeze(0).expand(3, *shape),
    ):
        truth = reference(view.double().numpy(), smallest_normal=torch.finfo(dtype).tiny)
        for version in (moments, torch_passes.moments):
            ours = version(view)
            assert (ours.count, ours.zeros, ours.nonfinite) == (truth.count, truth.zeros, truth.nonfinite)
            assert ours.subnormals == truth.subnormals
            assert ours.maximum == truth.maximum
            assert ours.rms == pytest.approx(truth.rms, rel=1e-6)
            assert ours.mean == pytest.approx(truth.mean, abs=truth.rms * 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_are_read_in_their_own_range(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    values = torch.tensor([0.0, 1.0, -2.0, tiny / 2], dtype=dtype)
    read = moments(values)
    assert (read.zeros, read.subnormals, read.maximum) == (1, 1, 2.0)
    assert read.rms == pytest.approx(math.sqrt(5 / 4))


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e200])
def test_norms_of_extreme_numbers_do_not_underflow_or_overflow(size: float) -> None:
    read = moments(torch.full((3, 7), size, dtype=torch.float64))
    assert read.rms == pytest.approx(size, rel=1e-12)
    assert read.norm == pytest.approx(size * math.sqrt(21), rel=1e-12)


def test_strided_and_sparse_and_complex_tensors_are_read_whole() -> None:
    matrix = torch.arange(12.0).reshape(3, 4)
    assert moments(matrix.T[::2]).mean == pytest.approx(float(matrix.T[::2].mean()))
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.tensor([3.0, 4.0]), (5,), check_invariants=True)
    assert (moments(sparse).count, moments(sparse).zeros) == (5, 3)
    assert moments(sparse).norm == pytest.approx(5.0)
    assert moments(torch.tensor([3 + 4j])).norm == pytest.approx(5.0)


def test_an_empty_tensor_has_defined_moments() -> None:
    read = moments(torch.empty(0, 3))
    assert (read.count, read.mean, read.rms, read.zero_fraction, read.deviation) == (0, 0.0, 0.0, 0.0, 0.0)


def test_combined_moments_are_those_of_the_concatenation() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(n, generator=generator) * n for n in (3, 10, 40)]
    whole, joined = moments(torch.cat(parts)), combined([moments(part) for part in parts])
    assert joined is not None
    assert joined.norm == pytest.approx(whole.norm, rel=1e-6)
    assert joined.mean == pytest.approx(whole.mean, abs=1e-6 * whole.rms)
    assert (joined.count, joined.maximum) == (whole.count, whole.maximum)


TEAM_SIZES = (1, 2, 3, 7)


@pytest.fixture(params=TEAM_SIZES)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@with_team
@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 5000, (1 << 16) + 1, 200_003])
@pytest.mark.parametrize("every", [0, 16])
def test_a_team_reads_what_one_thread_reads(threads: int, count: int, every: int) -> None:
    values = torch.randn(count, generator=torch.Generator().manual_seed(count))
    values[::97], values[::531], values[-1] = 0.0, math.nan, 1e-42
    found = np.full((2, WIDTH), 7.0), np.ones((2, BINS), np.int64)
    for way, run in enumerate((compiled.np_pass.pass_float32, team.pass_float32)):
        row, histogram = found[0][way].ctypes.data, found[1][way].ctypes.data
        run(values.data_ptr(), count, 0x00800000, every, row, histogram)
    one, many = found[0][:, :6]
    assert many == pytest.approx(one, rel=1e-12, abs=1e-12 * one[SQUARES])
    assert list(many[LARGEST:]) == list(one[LARGEST:])  # maximum, zeros, subnormals, non-finite
    assert np.array_equal(found[1][0], found[1][1])


@with_team
def test_large_tensors_are_read_by_the_team(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    plain = team.pass_float32
    monkeypatch.setattr(team, "pass_float32", lambda *given: (counts.append(given[1]), plain(*given)))
    large = torch.randn(team.FEW)
    assert moments(large).rms == pytest.approx(float(large.double().square().mean().sqrt()), rel=1e-6)
    assert moments(large[:-1]).count == team.FEW - 1
    assert counts == [team.FEW]
