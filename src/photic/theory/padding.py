"""Zero padding: a convolution near the border sums over fewer inputs, and what that costs over many layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Shape = tuple[Array, ...]  # one profile per spatial dimension, each of mean 1; () where nothing varies in space


class Taps(NamedTuple):
    """A convolution along one spatial dimension."""

    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


def box(taps: Taps) -> Array:
    """Return the matrix [outputs, inputs] that is 1 / kernel where an output sums over an input.

    Applied to the mean squares along the dimension it gives those of the output, relative to an inner position; its
    transpose, times the stride's share of outputs, gives those of the gradient.

    Raises:
        ValueError: if the kernel does not fit into the padded input.
    """
    reach = taps.dilation * (taps.kernel - 1) + 1
    outputs = (taps.size + 2 * taps.padding - reach) // taps.stride + 1
    if outputs < 1:
        raise ValueError(f"a kernel that reaches over {reach} does not fit into {taps.size} + 2 x {taps.padding}")
    found = np.zeros((outputs, taps.size))
    for output in range(outputs):
        for tap in range(taps.kernel):
            position = output * taps.stride - taps.padding + tap * taps.dilation
            if 0 <= position < taps.size:
                found[output, position] += 1.0 / taps.kernel
    return found


def forward(shape: Shape, dimensions: Sequence[Taps]) -> tuple[float, Shape]:
    """Return the factor on the mean square that the borders cost, and the profile behind the convolution."""
    factor, after = 1.0, []
    for index, taps in enumerate(dimensions):
        before = shape[index] if index < len(shape) else np.ones(taps.size)
        moved = box(taps) @ before
        level = float(moved.mean())
        factor *= level / float(before.mean())
        after.append(moved / level if level > 0.0 else moved)
    return factor, tuple(after)


def backward(shape: Shape, dimensions: Sequence[Taps]) -> tuple[float, Shape]:
    """Return the factor on the squared norm of the gradient that the borders cost, and the profile in front of it.

    Contributions that would go to padded positions are lost.
    """
    factor, before = 1.0, []
    for index, taps in enumerate(dimensions):
        matrix = box(taps)
        after = shape[index] if index < len(shape) else np.ones(matrix.shape[0])
        moved = matrix.T @ after
        factor *= float(moved.sum()) / float(after.sum())
        level = float(moved.mean())
        before.append(moved / level if level > 0.0 else moved)
    return factor, tuple(before)


def over_depth(taps: Taps, *, depth: int, dimensions: int = 2) -> float:
    """Return the factor on the mean square after `depth` equal convolutions of stride 1 along each of `dimensions`.

    For kernel 3 and padding 1 it tends to ((1 + 2 cos(pi / (size + 1))) / 3)^dimensions per layer, the largest
    eigenvalue of the tridiagonal matrix of thirds; circular padding costs nothing.
    """
    profile = np.ones(taps.size)
    matrix = box(taps)
    for _ in range(depth):
        profile = matrix @ profile
    return float(profile.mean()) ** dimensions


def taps_of(settings: Mapping[str, float | int | str], shape: Sequence[int]) -> list[Taps] | None:
    """Return the convolution that a site's settings describe, for an input of shape [B, C, *spatial].

    None when they do not say enough. `padding="same"` pads both sides by half of the kernel's reach.
    """
    sizes = list(shape[2:])
    listed = {name: _each(settings.get(name, other), len(sizes)) for name, other in _DEFAULTS.items()}
    if not sizes or any(item is None for item in listed.values()):
        return None
    found: list[Taps] = []
    for index, size in enumerate(sizes):
        kernel, stride, dilation = (int((listed[name] or [])[index]) for name in ("kernel", "stride", "dilation"))
        given = (listed["padding"] or [])[index]
        padding = dilation * (kernel - 1) // 2 if given == "same" else 0 if given == "valid" else int(given)
        if kernel < 1 or size + 2 * padding < dilation * (kernel - 1) + 1:
            return None
        found.append(Taps(size, kernel, stride, padding, dilation))
    return found


_DEFAULTS: dict[str, int] = {"kernel": 0, "stride": 1, "padding": 0, "dilation": 1}


def _each(value: float | int | str, count: int) -> list[int | str] | None:
    if isinstance(value, str) and value not in ("same", "valid"):
        parts = value.split("x")
        return [int(part) for part in parts] if len(parts) == count else None
    return [value if isinstance(value, str) else int(value)] * count
