"""Every version of the moments equals the reference, on numbers of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from photic.kernels.moments import moments, torch_passes
from photic.kernels.moments.reference import moments as reference
from photic.records.moments import Moments, combined

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
