"""Shapeset-3x2: images of one or two shapes out of three kinds, generated without end (glorot2010, section 2.1)."""

# numba is typed in part.
# pyright: reportUntypedFunctionDecorator=false
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit  # pyright: ignore
from numpy.typing import NDArray

SIDE = 32
KINDS = ("triangle", "parallelogram", "ellipse")
CLASSES = ("T", "P", "E", "T+P", "P+E", "T+E", "T+T", "P+P", "E+E")
# Label of a single kind, and of a pair of kinds.
_SINGLE = np.array([0, 1, 2])
_PAIR = np.array([[6, 3, 5], [3, 7, 4], [5, 4, 8]])
_CORNERS = np.array([3, 4, 20])  # an ellipse is a polygon of 20 corners
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
    images, labels, _ = shapeset_parts(count, seed=seed)
    return low + images * np.float32(high - low), labels


def shapeset_parts(count: int, *, seed: int = 0) -> tuple[Images, Labels, NDArray[np.float64]]:
    """Return images [count, 1024] in [0, 1], labels, and which share of the first object the second one hides.

    Raises:
        ValueError: if `count` is negative.
    """
    if count < 0:
        raise ValueError(f"expected a number of images of at least 0, got {count}")
    images = np.empty((count, SIDE, SIDE), np.float32)
    labels = np.empty(count, np.int64)
    hidden = np.zeros(count)
    _generate(np.random.default_rng(seed), images, labels, hidden)
    return images.reshape(count, SIDE * SIDE), labels, hidden


@njit(cache=True, nogil=True)
def _generate(generator: Any, images: Any, labels: Any, hidden: Any) -> None:
    rows = np.empty((2, SIDE, 2), np.int64)  # of both objects, in each row: first pixel, and the one after the last
    for index in range(images.shape[0]):
        pair = generator.random() < 0.5
        first = int(generator.random() * 3)
        area = _place(first, generator, rows[0])
        label = _SINGLE[first]
        if pair:
            second = int(generator.random() * 3)
            label = _PAIR[first, second]
            while True:
                _place(second, generator, rows[1])
                covered = 0
                for y in range(SIDE):
                    covered += max(0, min(rows[0, y, 1], rows[1, y, 1]) - max(rows[0, y, 0], rows[1, y, 0]))
                if covered <= _MOST_HIDDEN * area:
                    break
            hidden[index] = covered / area
        labels[index] = label
        bright = generator.random() < 0.5  # objects brighter than what is behind them
        images[index] = _grey(not bright, generator)
        for number in range(2 if pair else 1):
            level = _grey(bright, generator)
            for y in range(SIDE):
                images[index, y, rows[number, y, 0] : rows[number, y, 1]] = level


@njit(cache=True, nogil=True)
def _grey(bright: bool, generator: Any) -> float:
    return round((0.45 * generator.random() + (0.55 if bright else 0.0)) * 255.0) / 255.0


@njit(cache=True, nogil=True)
def _place(kind: int, generator: Any, rows: Any) -> int:
    """Put an object wholly inside a margin of one pixel: write the pixels of each row, return how many there are."""
    number = _CORNERS[kind]
    x, y = np.empty(number), np.empty(number)
    while True:
        step = 2.0 * math.pi / number
        start = (generator.random() - 0.5) * step
        one, other = 0.2 + 0.6 * generator.random(), 0.2 + 0.6 * generator.random()
        wide, narrow = SIDE * max(one, other) / 2.0, SIDE * min(one, other) / 2.0
        turn = 2.0 * math.pi * int(generator.random() * _ANGLES) / _ANGLES
        for i in range(number):
            along, across = wide * math.cos(start + step * i), narrow * math.sin(start + step * i)
            x[i] = math.cos(turn) * along - math.sin(turn) * across
            y[i] = math.sin(turn) * along + math.cos(turn) * across
        room_x, room_y = SIDE - 3 - (x.max() - x.min()), SIDE - 3 - (y.max() - y.min())
        if room_x <= 0.0 or room_y <= 0.0:
            continue
        x += 1.0 + generator.random() * room_x - x.min()
        y += 1.0 + generator.random() * room_y - y.min()
        area = 0
        for row in range(SIDE):
            low, high = math.inf, -math.inf
            for i in range(number):  # a convex polygon cuts a row in one interval
                k = (i + 1) % number
                if (y[i] <= row) != (y[k] <= row):
                    crossing = x[i] + (row - y[i]) / (y[k] - y[i]) * (x[k] - x[i])
                    low, high = min(low, crossing), max(high, crossing)
            rows[row, 0] = math.ceil(low) if high >= low else 0
            rows[row, 1] = max(rows[row, 0], math.floor(high) + 1) if high >= low else 0
            area += rows[row, 1] - rows[row, 0]
        if area > 0:
            return area
