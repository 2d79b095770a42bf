"""Every version of the moments equals the reference, on numbers of every kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photic.kernels.moments import moments
from photic.kernels.moments.reference import moments as reference
from photic.records.moments import combined

FLOATS = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 3.4e38, math.inf, -math.inf, math.nan]),
)


@given(st.lists(FLOATS, max_size=40))
def test_torch_passes_equal_the_reference(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    ours, truth = moments(torch.from_numpy(array.copy())), reference(array)
    assert (ours.count, ours.zeros, ours.subnormals, ours.nonfinite) == (
        truth.count,
        truth.zeros,
        truth.subnormals,
        truth.nonfinite,
    )
    assert ours.maximum == truth.maximum
    assert ours.rms == pytest.approx(truth.rms, rel=1e-12)
    assert ours.mean == pytest.approx(truth.mean, rel=1e-9, abs=truth.maximum * 1e-14)


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
    assert joined.norm == pytest.approx(whole.norm, rel=1e-12)
    assert joined.mean == pytest.approx(whole.mean, rel=1e-9)
    assert (joined.count, joined.maximum) == (whole.count, whole.maximum)
