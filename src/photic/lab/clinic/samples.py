"""Batches for the cases: small tables and images of scikit-learn, and generated points and sequences."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from sklearn import datasets
from torch import Tensor

from photic.checkups.setup import Batches

KINDS = 4  # what a sequence may begin with, in `recall`


def generator(seed: int) -> torch.Generator:
    """Return torch's generator with a seed of its own."""
    return torch.Generator().manual_seed(seed)


def stream(x: Tensor, y: Any, seed: int, *, size: int = 64) -> Batches:
    """Return batches of (x, y) in an order drawn once; every call begins the same epoch again.

    `y` is a tensor or a tuple of tensors with as many rows as x. The last, smaller batch is left out.
    """
    order = torch.randperm(len(x), generator=generator(seed)).split(size)
    kept: list[tuple[Tensor, Any]] = [
        (x[rows], tuple(part[rows] for part in y) if isinstance(y, tuple) else y[rows])
        for rows in order
        if len(rows) == size
    ]
    return lambda: iter(kept)


def standardised(x: Tensor) -> Tensor:
    """Return x with mean 0 and deviation 1 in each column; constant columns become 0."""
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-8)


@lru_cache
def _table(loader: Any) -> tuple[Tensor, Tensor]:
    x, y = loader(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def digit_table() -> tuple[Tensor, Tensor]:
    """Return 1,797 images [n, 64] with mean 0 and deviation 1 over all pixels, and their labels 0 to 9."""
    x, y = _table(datasets.load_digits)
    return (x - x.mean()) / x.std(), y


def digits(seed: int, *, scale: float = 1.0, shift: float = 0.0, size: int = 64) -> Batches:
    """Return batches of digits as vectors, multiplied by `scale` and moved by `shift`."""
    x, y = digit_table()
    return stream(x * scale + shift, y, seed, size=size)


def digit_pixels(seed: int, *, top: float = 1.0) -> Batches:
    """Return batches of digits as vectors with pixels from 0 to `top`; some pixels are 0 in every image."""
    x, y = _table(datasets.load_digits)
    return stream(x * (top / 16.0), y, seed)


def digit_images(seed: int) -> Batches:
    """Return batches of digits as images [batch, 1, 8, 8]."""
    x, y = digit_table()
    return stream(x.view(-1, 1, 8, 8), y, seed)


def cancer(seed: int, *, raw: bool = False, column: bool = False) -> Batches:
    """Return batches of the breast cancer table: 30 columns, standardised or `raw`, and 0 or 1 as a float."""
    x, y = _table(datasets.load_breast_cancer)
    target = y.float()
    return stream(x if raw else standardised(x), target[:, None] if column else target, seed)


def diabetes(seed: int, *, target_scale: float = 1.0, target_shift: float = 0.0) -> Batches:
    """Return batches of the diabetes table: 10 standardised columns, and a standardised target, scaled and moved."""
    x, y = _table(datasets.load_diabetes)
    target = standardised(y.float()[:, None])
    return stream(standardised(x), target * target_scale + target_shift, seed, size=32)


def circles(seed: int) -> Batches:
    """Return batches of two noisy rings, the inner one 0.5 as wide: 700 points [n, 2] and 0 or 1 as a label."""
    x, y = datasets.make_circles(n_samples=1000, noise=0.1, factor=0.5, random_state=1)
    return stream(torch.tensor(x[:700], dtype=torch.float32), torch.tensor(y[:700]), seed)


def blobs(seed: int) -> Batches:
    """Return batches of three clouds: 700 points [n, 2] and labels 0 to 2."""
    drawn: Any = datasets.make_blobs(n_samples=1000, centers=3, n_features=2, cluster_std=2.0, random_state=2)
    x, y = drawn[0], drawn[1]
    return stream(torch.tensor(x[:700], dtype=torch.float32), torch.tensor(y[:700]), seed)


def curve(seed: int, *, low: float, high: float, power: int, scaled: bool) -> Batches:
    """Return batches of 256 points of y = x^power, x from `low` to `high`; `scaled` standardises x and y."""
    x = torch.linspace(low, high, 256)[:, None]
    y = x**power
    return stream(standardised(x), standardised(y), seed, size=32) if scaled else stream(x, y, seed, size=32)


def recall(seed: int, *, length: int, scale: float = 1.0, rows: int = 640) -> Batches:
    """Return batches of sequences [batch, length, 5] whose label is what the first step shows; the rest is small noise."""
    draw = generator(seed + 1000)
    labels = torch.randint(KINDS, (rows,), generator=draw)
    x = 0.1 * torch.randn(rows, length, KINDS + 1, generator=draw)
    x[torch.arange(rows), 0, labels] += 1.0
    return stream(x * scale, labels, seed, size=32)


def language(seed: int, *, vocabulary: int = 20, length: int = 16, rows: int = 512) -> Batches:
    """Return batches of tokens and the tokens after them; each follows from the one before in nine cases of ten."""
    draw = generator(7)
    successor = torch.randperm(vocabulary, generator=draw)
    text = torch.empty(rows, length + 1, dtype=torch.long)
    text[:, 0] = torch.randint(vocabulary, (rows,), generator=draw)
    for step in range(length):
        wild = torch.rand(rows, generator=draw) < 0.1
        free = torch.randint(vocabulary, (rows,), generator=draw)
        text[:, step + 1] = torch.where(wild, free, successor[text[:, step]])
    return stream(text[:, :-1], text[:, 1:], seed, size=32)


def first_token(seed: int, *, vocabulary: int = 12, length: int = 12, rows: int = 1024) -> Batches:
    """Return batches of tokens whose label is the token that stands after the only 0; it must be looked up."""
    draw = generator(11)
    text = torch.randint(1, vocabulary, (rows, length), generator=draw)
    place = torch.randint(length - 1, (rows,), generator=draw)
    text[torch.arange(rows), place] = 0
    return stream(text, text[torch.arange(rows), place + 1], seed, size=32)
