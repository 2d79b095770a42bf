"""Shapeset-3x2: images of one or two shapes out of three kinds, generated without end (glorot2010, section 2.1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SIDE = 32
KINDS = ("triangle", "parallelogram", "ellipse")
CLASSES = ("T", "P", "E", "T+P", "P+E", "T+E", "T+T", "P+P", "E+E")
_LABELS: dict[tuple[int, ...], int] = {
    (0,): 0,
    (1,): 1,
    (2,): 2,
    (0, 1): 3,
    (1, 2): 4,
    (0, 2): 5,
    (0, 0): 6,
    (1, 1): 7,
    (2, 2): 8,
}
_CORNERS = (3, 4, 20)  # an ellipse is a polygon of 20 corners
_ANGLES = 255
_MOST_HIDDEN = 0.5

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

# One or two objects, each kind drawn by itself: pairs of one kind are rarer than mixed ones.
PROBABILITIES = (*[1 / 6] * 3, *[1 / 9] * 3, *[1 / 18] * 3)
CHANCE_ERROR = 1.0 - max(PROBABILITIES)  # 83.3 %: always naming one single shape


def shapeset(count: int, *, seed: int = 0, low: float = -1.0, high: float = 1.0) -> tuple[Images, Labels]:
    """Return images [count, 1024] with pixels from `low` to `high`, and labels [count] into CLASSES.

    One or two objects, each a general triangle, parallelogram or ellipse: axes from 0.2 to 0.8 of the side, any
    rotation, any place inside the frame; grey on grey with a contrast of at least a tenth. The second object hides at
    most half of the first. The classes are not balanced: always answering a single shape errs in 83.3 %.

    Raises:
        ValueError: if `count` is negative.
    """
    if count < 0:
        raise ValueError(f"expected a number of images of at least 0, got {count}")
    generator = np.random.default_rng(seed)
    images = np.empty((count, SIDE * SIDE), np.float32)
    labels = np.empty(count, np.int64)
    for index in range(count):
        image, kinds = _image(generator)
        images[index] = image.ravel()
        labels[index] = _LABELS[tuple(sorted(kinds))]
    return low + images * np.float32(high - low), labels


_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)


def _image(generator: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    kinds = [int(kind) for kind in generator.integers(0, 3, size=generator.integers(1, 3))]
    masks = [_mask(kinds[0], generator)]
    while len(masks) < len(kinds):
        mask = _mask(kinds[1], generator)
        if (mask & masks[0]).sum() <= _MOST_HIDDEN * masks[0].sum():
            masks.append(mask)
    dark, bright = (0.0, 0.45), (0.55, 1.0)
    behind, front = (dark, bright) if generator.random() < 0.5 else (bright, dark)
    image = np.full((SIDE, SIDE), _grey(behind, generator))
    for mask in masks:
        image[mask] = _grey(front, generator)
    return image, kinds


def _grey(levels: tuple[float, float], generator: np.random.Generator) -> float:
    return float(np.round(generator.uniform(*levels) * 255.0) / 255.0)


def _mask(kind: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return the pixels of one object, wholly inside a margin of one pixel."""
    while True:
        corners = _polygon(kind, generator)
        size = np.ptp(corners, axis=0)
        room = SIDE - 3 - size
        if (room > 0.0).all():
            corners = corners - corners.min(axis=0) + 1.0 + generator.random(2) * room
            mask = _filled(corners)
            if mask.any():
                return mask


def _polygon(kind: int, generator: np.random.Generator) -> NDArray[np.float64]:
    number = _CORNERS[kind]
    step = 2.0 * math.pi / number
    angles = step * np.arange(number) + generator.uniform(-step / 2.0, step / 2.0)
    corners = np.stack((np.cos(angles), np.sin(angles)), axis=1) / 2.0
    scales = np.sort(generator.uniform(0.2, 0.8, size=2))[::-1] * SIDE
    turn = 2.0 * math.pi * int(generator.integers(_ANGLES)) / _ANGLES
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return (corners * scales) @ rotation.T


def _filled(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the pixels inside a convex polygon whose corners go around anticlockwise."""
    following = np.roll(corners, -1, axis=0)
    inside = np.ones((SIDE, SIDE), bool)
    for (x0, y0), (x1, y1) in zip(corners, following, strict=True):
        inside &= (x1 - x0) * (_ROWS - y0) - (y1 - y0) * (_COLUMNS - x0) >= 0.0
    return inside
