"""Facts of a weight matrix as theory needs them, whatever the operation that holds it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call
from photic.probes.shards import local
from photic.records.runs import WeightFacts

_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
_TRANSPOSED = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
_PRODUCTS = {"matmul", "mm", "bmm"}


def weight_facts(
    call: Call, settings: Mapping[str, float | int | str], is_weight: Callable[[Tensor], bool]
) -> WeightFacts | None:
    """Return the facts of the weight that the call uses; None where it has no single matrix (LSTM), or one that is not told (einsum of three).

    Of a weight that is cut over ranks (tensor parallelism) this rank's part is read, and nobody asked for the others: its rows
    are taken as a sample of all rows, its columns as one of all columns. The mean over the ranks is nearly that of the whole.
    """
    found = _matrix(call, is_weight)
    if found is None:
        return None
    matrix, bias, receptive, stride_volume = found
    if matrix.is_complex():
        matrix = _as_real(matrix)
    if matrix.numel() == 0 or not matrix.is_floating_point():
        return None
    fan_out, fan_in = matrix.shape
    wide = local(matrix.detach()).to(torch.float64)
    row_sum = wide.sum(1)
    flat = wide.reshape(-1)
    mean = float(flat.sum()) / flat.numel()
    mean_square = float(flat.dot(flat)) / flat.numel()
    offset = None if bias is None else local(bias.detach()).to(torch.float64).reshape(-1)
    along = 0.0
    if offset is not None and offset.numel() in (1, row_sum.numel()):
        along = float((row_sum * offset).mean())
    sums = float(row_sum.square().mean())
    if fan_in != wide.shape[1]:  # each row is cut: its sum is that of so many independent parts
        parts, common = fan_in / wide.shape[1], (mean * wide.shape[1]) ** 2
        sums, along = parts * (sums - common) + parts * parts * common, parts * along
    return WeightFacts(
        fan_in=fan_in,
        fan_out=_groups_fan_out(fan_out, settings) * receptive / stride_volume,
        mean=mean,
        variance=max(mean_square - mean * mean, 0.0),
        row_square_sum=mean_square * fan_in,
        row_sum_square=sums,
        row_sum_bias=along,
        bias_square=0.0 if offset is None else float(offset.square().mean()),
        distinct=_distinct(wide),
    )


def _as_real(matrix: Tensor) -> Tensor:
    """Return what a complex matrix does to real and imaginary parts, twice as many rows and columns."""
    real, imaginary = matrix.detach().real, matrix.detach().imag
    return torch.cat([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)], 0)


def _distinct(wide: Tensor) -> float:
    """Return |W - mean row|^2 / |W|^2, on numbers scaled to at most 1; 1 for a single row and for zeros."""
    largest = wide.abs().max()
    if wide.shape[0] < 2 or float(largest) == 0.0 or not bool(torch.isfinite(largest)):
        return 1.0
    unit = wide / largest
    return float((unit - unit.mean(0)).square().sum() / unit.square().sum())


def _groups_fan_out(fan_out: int, settings: Mapping[str, float | int | str]) -> float:
    groups = settings.get("groups", 1)
    return fan_out / groups if isinstance(groups, int) and groups > 0 else fan_out


def _matrix(call: Call, is_weight: Callable[[Tensor], bool]) -> tuple[Tensor, Tensor | None, int, float] | None:
    """Return weight [fan_out, fan_in], bias, kernel volume and volume of the stride."""
    args = [*call.args, *call.kwargs.values()]
    weight = call.kwargs.get("weight", call.args[1] if len(call.args) > 1 else None)
    bias = call.kwargs.get("bias", call.args[2] if len(call.args) > 2 else None)
    bias = bias if isinstance(bias, Tensor) and bias.is_floating_point() else None
    if call.operation == "linear" and isinstance(weight, Tensor) and weight.ndim == 2:
        return weight, bias, 1, 1.0
    if call.operation in _CONVOLUTIONS and isinstance(weight, Tensor):
        volume = math.prod(weight.shape[2:])
        return weight.reshape(weight.shape[0], -1), bias, volume, _stride_volume(call, weight.ndim - 2)
    if call.operation in _TRANSPOSED and isinstance(weight, Tensor):
        return weight.transpose(0, 1).reshape(weight.shape[1], -1), bias, 1, 1.0
    if call.operation in _PRODUCTS and len(args) > 1:
        left, right = args[0], args[1]
        if isinstance(right, Tensor) and right.ndim == 2 and is_weight(right):
            return right.transpose(0, 1), None, 1, 1.0
        if isinstance(left, Tensor) and left.ndim == 2 and is_weight(left):
            return left, None, 1, 1.0
        if isinstance(right, Tensor) and right.ndim > 2 and is_weight(right):  # a stack of matrices, side by side
            return right.transpose(-1, -2).reshape(-1, right.shape[-2]), None, 1, float(right.shape[:-2].numel())
    if call.operation == "einsum":
        return _einsum(args, is_weight)
    if call.operation == "addmm" and len(args) > 2 and isinstance(args[2], Tensor) and is_weight(args[2]):
        return args[2].transpose(0, 1), args[0] if isinstance(args[0], Tensor) else None, 1, 1.0
    if call.operation == "embedding":
        table = next((item for item in args if isinstance(item, Tensor) and item.is_floating_point()), None)
        if table is not None and table.ndim == 2:
            return table.transpose(0, 1), None, 1, 1.0
    return None


def _einsum(
    args: Sequence[Any], is_weight: Callable[[Tensor], bool]
) -> tuple[Tensor, Tensor | None, int, float] | None:
    """Return the same of an einsum of a signal and a weight: rows for what is new in the result, columns for what is summed over.

    Axes that signal, weight and result have in common count so many matrices.
    """
    terms = args[0].replace(" ", "") if args and isinstance(args[0], str) else ""
    given = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]  # pyright: ignore
    if "->" not in terms or "." in terms or len(given) != 2 or not all(isinstance(one, Tensor) for one in given):
        return None
    places = [place for place, one in enumerate(given) if is_weight(one)]
    entering, result = terms.split("->")[0].split(","), terms.split("->")[1]
    if len(places) != 1 or len(entering) != 2:
        return None
    own, other, weight = entering[places[0]], entering[1 - places[0]], given[places[0]]
    summed = [axis for axis in own if axis not in result]
    new = [axis for axis in own if axis in result and axis not in other]
    stacked = [axis for axis in own if axis in result and axis in other]
    if not summed or len(set(own)) < len(own) or not set(summed) <= set(other):
        return None
    columns = math.prod(weight.shape[own.index(axis)] for axis in summed)
    matrix = weight.permute([own.index(axis) for axis in (*stacked, *new, *summed)]).reshape(-1, columns)
    return matrix, None, 1, float(math.prod(weight.shape[own.index(axis)] for axis in stacked))


def _stride_volume(call: Call, dimensions: int) -> float:
    stride = call.kwargs.get("stride", call.args[3] if len(call.args) > 3 else 1)
    if isinstance(stride, int):
        return float(stride**dimensions)
    return float(math.prod(stride)) if len(stride) == dimensions else float(stride[0] ** dimensions)
