"""The material of the trials: the user's set-up, the batches to train on, and those held back."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from photic.checkups.setup import (
    Batches,
    LossFunction,
    Setup,
    as_batches,
    build_model,
    default_optimizer,
    make_optimizer,
    seeded,
)

HELD_BACK = 8


@dataclass(frozen=True)
class Material:
    """What every trial is made from; the same batches in the same order for each.

    Attributes:
        build: as the user gave it: a callable or a module.
        batches: the user's own batches, for the treated set-up.
        training: batches to train on, repeated when they end.
        held_back: batches that no trial trains on.
        loss: the user's loss.
        optimizer: callable `model -> optimizer`, a live optimizer of `build`, or None.
    """

    build: Any
    batches: Batches
    training: tuple[Any, ...]
    held_back: tuple[Any, ...]
    loss: LossFunction | None
    optimizer: Any

    @classmethod
    def collect(cls, build: Any, batches: Any, loss: LossFunction | None, optimizer: Any, *, steps: int) -> Material:
        """Take at most `steps` batches to train on and up to 8 to hold back; a fifth where there are few.

        Raises:
            ValueError: if there are fewer than two batches.
        """
        source = as_batches(batches)
        with seeded(0):
            taken = list(itertools.islice(source(), steps + HELD_BACK))
        if len(taken) < 2:
            raise ValueError(
                f"expected at least two batches, one of which is held back to judge the cure; got {len(taken)}. "
                "Split the batch, or pass a callable that yields more"
            )
        back = min(HELD_BACK, max(1, len(taken) // 5))
        return cls(build, source, tuple(taken[:-back]), tuple(taken[-back:]), loss, optimizer)

    def fresh(self, seed: int) -> Setup:
        """Return a fresh, untrained set-up. Where `build` seeds itself, `seed` changes nothing in the weights."""
        with seeded(seed):
            model = build_model(self.build)
            original = self.build if isinstance(self.build, nn.Module) else None
            given = default_optimizer if self.optimizer is None else self.optimizer
            optimizer = make_optimizer(given, model, original)
        loss = copy.deepcopy(self.loss) if isinstance(self.loss, nn.Module) else self.loss
        return Setup(model, self.batches, loss, optimizer)

    def stream(self, seed: int) -> Iterator[Any]:
        """Yield the training batches for ever, starting at a place that the seed chooses."""
        start = (seed * len(self.training) // 3) % len(self.training)
        return itertools.islice(itertools.cycle(self.training), start, None)
