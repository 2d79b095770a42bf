"""Generators: the states of Python's, NumPy's and torch's random numbers, remembered, put back and seeded."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Generators:
    """States as they were; None of what is not loaded, and of GPUs that are not in use."""

    python: Any
    numpy: Any
    cpu: Tensor
    cuda: list[Tensor] | None


def states() -> Generators:
    """Return the states of all generators that are in use."""
    numpy: Any = sys.modules.get("numpy")
    return Generators(
        random.getstate(),
        None if numpy is None else numpy.random.get_state(),
        torch.get_rng_state(),
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None,
    )


def restore(before: Generators) -> None:
    """Put the generators back to what `states` returned."""
    random.setstate(before.python)
    torch.set_rng_state(before.cpu)
    if before.numpy is not None:
        sys.modules["numpy"].random.set_state(before.numpy)
    if before.cuda is not None:
        torch.cuda.set_rng_state_all(before.cuda)


@contextmanager
def kept() -> Iterator[None]:
    """Put all generators back after the block."""
    before = states()
    try:
        yield
    finally:
        restore(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's generators inside the block and put them back afterwards."""
    with kept():
        random.seed(seed)
        seed_torch(seed)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(seed % 2**32)
        yield


def seed_torch(seed: int) -> None:
    """Seed torch's generators of all devices.

    Without an accelerator `torch.manual_seed` would remember the call, with the text of the stack, for every kind of one: that takes
    longer than a step of a small network.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
