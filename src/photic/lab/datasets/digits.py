"""The digits of scikit-learn as ten classes: 64 standardised inputs of mean square 1, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

INPUTS, CLASSES = 64, 10
_HELD_BACK = 297

Batch = tuple[Tensor, Tensor]


@lru_cache(maxsize=1)
def digits() -> tuple[Batch, Batch]:
    """Return (training images [1500, 64], labels) and (held-back images [297, 64], labels); float32.

    Each image has mean 0 and mean square 1, so all networks start from a signal of length 1.
    """
    from sklearn.datasets import load_digits  # pyright: ignore[reportUnknownVariableType]

    images, labels = load_digits(return_X_y=True)  # pyright: ignore
    order = np.random.default_rng(0).permutation(len(labels))
    x = np.asarray(images, np.float64)[order]
    x = x - x.mean(1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(1, keepdims=True))
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(np.asarray(labels)[order], dtype=torch.int64)
    return (inputs[_HELD_BACK:], targets[_HELD_BACK:]), (inputs[:_HELD_BACK], targets[:_HELD_BACK])


def batches(steps: int, *, size: int = 64, seed: int = 0) -> Iterator[Batch]:
    """Yield `steps` random batches of training images, the same for the same seed."""
    (inputs, targets), _ = digits()
    generator = torch.Generator()
    generator.manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(targets), (size,), generator=generator)
        yield inputs[chosen], targets[chosen]
