"""The material of the trials: the user's set-up, the batches to train on, and those held back."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from photic.checkups.copies import deep_copy
from photic.checkups.setup import (
    Batches,
    LossFunction,
    Setup,
    as_batches,
    build_model,
    default_optimizer,
    make_optimizer,
)
from photic.checkups.training import evaluate
from photic.probes import batches as batch_forms
from photic.probes.calls import tensors_in
from photic.probes.frequencies import Frequencies
from photic.probes.generators import seeded
from photic.remedies.prescription import Prescription
from photic.remedies.rows import Dealt, dealt, joined, pieces, rows

HELD_BACK = 8


@dataclass(frozen=True)
class Material:
    """What every trial is made from; the same batches in the same order for each.

    Attributes:
        build: as the user gave it: a callable or a module.
        batches: the user's own batches, for the treated set-up.
        training: batches to train on, repeated when they end.
        held_back: batches that no trial trains on; where there are few, cut into pieces of at least 4 examples, so that
            the spread of the loss over them is known.
        loss: the user's loss.
        optimizer: callable `model -> optimizer`, a live optimizer of `build`, or None.
        cut: whether the model takes a piece of a batch as well.
    """

    build: Any
    batches: Batches
    training: tuple[Any, ...]
    held_back: tuple[Any, ...]
    loss: LossFunction | None
    optimizer: Any
    cut: bool = False

    @classmethod
    def collect(cls, build: Any, batches: Any, loss: LossFunction | None, optimizer: Any, *, steps: int) -> Material:
        """Take at most `steps` batches to train on and up to 8 to hold back; a fifth where there are few, of one batch a quarter.

        A batch is cut where the model takes a piece of it as well: a graph, all of whose nodes see each other, stays whole; where
        it is the only one, it is trained on and judged by.

        Raises:
            ValueError: if there is no batch, or a single one that cannot be cut along its first axis.
        """
        source = as_batches(batches)
        with seeded(0):
            taken = list(itertools.islice(source(), steps + HELD_BACK))
        whole = cls(build, source, (), (), loss, optimizer)
        cut = bool(taken) and len(parts := pieces(taken[0], 4)) > 1 and whole.takes(taken[0], parts[-1])
        if len(taken) == 1 and len(quarters := pieces(taken[0], 4)) > 1:
            rest = sum(tensors_in(piece)[0].shape[0] for piece in quarters[:-1])
            taken = [rows(taken[0], slice(0, rest)), quarters[-1]] if cut else taken * 2
        if len(taken) < 2:
            raise ValueError(
                f"expected at least two batches, one of which is held back to judge the cure; got {len(taken)}. "
                "Split the batch, or pass a callable that yields more"
            )
        back = min(HELD_BACK, max(1, len(taken) // 5))
        held_back = [
            piece for batch in taken[-back:] for piece in (pieces(batch, HELD_BACK // back) if cut else [batch])
        ]
        return cls(build, source, tuple(taken[:-back]), tuple(held_back), loss, optimizer, cut)

    @property
    def shared(self) -> bool:
        """Whether the only batch is trained on and judged by."""
        return len(self.training) == 1 == len(self.held_back) and self.training[0] is self.held_back[0]

    @cached_property
    def constant(self) -> float | None:
        """Loss on the held-back batches of who answers the mean of the training targets; None unless these are numbers, and asked for."""
        told, asked = ([batch_forms.split(batch)[1] for batch in part] for part in (self.training, self.held_back))
        if self.loss is None or not all(isinstance(y, Tensor) and y.is_floating_point() for y in (*told, *asked)):
            return None
        try:
            mean = torch.cat(told).mean(0, keepdim=True)
            values = [batch_forms.loss_of_mean(mean.expand_as(y), y, self.loss, 0) for y in asked]
        except Exception:  # a loss that takes other answers
            return None
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    @cached_property
    def prior(self) -> float | None:
        """Loss on the held-back batches of who answers how often the classes came in training; None unless the loss takes scores of them."""
        classes, loss = Frequencies(), self.loss
        for batch in self.training:
            classes.saw(batch_forms.split(batch)[1])

        def answered(output: Any, targets: Any) -> Tensor:
            scores = classes.scores(output, targets)
            assert loss is not None and scores is not None
            return loss(scores, targets)

        try:
            with seeded(0):  # a model may draw in its forward
                found = evaluate(self.fresh(0).model, answered, self.held_back)
        except Exception:  # no classes, or a loss that takes other answers
            return None
        return found if found > 0.0 else None

    def fresh(self, seed: int) -> Setup:
        """Return a fresh, untrained set-up. Where `build` seeds itself, `seed` changes nothing in the weights."""
        with seeded(seed):
            model = build_model(self.build)
            original = self.build if isinstance(self.build, nn.Module) else None
            given = default_optimizer if self.optimizer is None else self.optimizer
            optimizer = make_optimizer(given, model, original)
        loss = deep_copy(self.loss) if isinstance(self.loss, nn.Module) else self.loss
        return Setup(model, self.batches, loss, optimizer)

    def takes(self, batch: Any, piece: Any) -> bool:
        """Whether the model, which takes the batch, takes a piece of it too; what it does not take at all is for others to say."""
        setup = self.fresh(0)
        taken: list[Any] = []
        with seeded(0), contextlib.suppress(Exception):
            for part in (batch, piece):
                evaluate(setup.model, setup.loss, [part])
                taken.append(part)
        return len(taken) != 1

    @cached_property
    def shuffled(self) -> Material:
        """The same with the examples of all batches dealt anew; itself where they cannot be, or are already."""
        if not self.cut or isinstance(self.batches, Dealt):
            return self
        again = dealt(self.training)
        return self if again is None else replace(self, batches=Dealt(self.batches), training=again)

    def under(self, prescription: Prescription | None) -> Material:
        """Return what a prescription is tried on: the batches in another order where it says so."""
        return self.shuffled if prescription is not None and prescription.shuffled else self

    @property
    def of_each(self) -> Material:
        """The same with the last rows of each batch held back, an eighth; itself where batches cannot be cut or joined.

        Of batches that are sorted by what is asked for the last ones ask for what never came in the others.
        """
        taken = (*self.training, *self.held_back)
        ends = [
            max(1, len(tensors_in(batch)[0]) * (HELD_BACK - 1) // HELD_BACK) for batch in (taken if self.cut else ())
        ]
        back = joined([rows(batch, slice(end, None)) for batch, end in zip(taken, ends, strict=True)]) if ends else None
        if back is None or not len(tensors_in(back)[0]):
            return self
        training = tuple(rows(batch, slice(0, end)) for batch, end in zip(taken, ends, strict=True))
        return replace(self, training=training, held_back=tuple(pieces(back, HELD_BACK)))

    def stream(self, seed: int) -> Iterator[Any]:
        """Yield the training batches for ever, starting at a place that the seed chooses."""
        start = (seed * len(self.training) // 3) % len(self.training)
        return itertools.islice(itertools.cycle(self.training), start, None)
