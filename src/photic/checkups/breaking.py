"""Breaking: the batch at which a loss stopped being finite, tried on the weights as they were at the start, and right before."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from photic.checkups.setup import LossFunction, Setup, copy_together
from photic.checkups.training import train
from photic.probes.audit import measure
from photic.probes.generators import Generators, kept, restore, states
from photic.records.runs import Run, Step

_EVERY = 8  # steps: a copy takes as long as a step of a small network


@dataclass(frozen=True)
class Before:
    """The set-up as it was before a step, and the states of the random numbers."""

    model: nn.Module
    loss: LossFunction | None
    optimizer: Optimizer
    random: Generators
    step: int


class Lately:
    """The set-up as it was before every eighth step, with the batches since: from there the last two steps are trained again.

    Nothing is kept of one that cannot be copied, or has more than `most` parameters.
    """

    def __init__(self, setup: Setup, *, most: int) -> None:
        self._setup = setup
        self._able = sum(p.numel() for p in setup.model.parameters()) <= most
        self._kept: deque[Before] = deque(maxlen=2)
        self._batches: dict[int, Any] = {}

    def before(self, step: int) -> None:
        """Copy the set-up before that step, where it is time to."""
        if not self._able or (self._kept and step < self._kept[-1].step + _EVERY):
            return
        model, _, loss, optimizer = self._setup
        try:
            model, loss, optimizer = copy_together(model, loss, optimizer)
        except Exception:  # it holds what the last step made
            self._able = False
            self._kept.clear()
            self._batches.clear()
            return
        assert optimizer is not None
        self._kept.append(Before(model, loss, optimizer, states(), step))
        self._batches = {at: batch for at, batch in self._batches.items() if at >= self._kept[0].step}

    def after(self, step: int, batch: Any) -> None:
        """Keep the batch of the step."""
        if self._able:
            self._batches[step] = batch

    def read(self, run: Run) -> Run:
        """Return the run with what the network shows before the last of the steps, or the one before, if it breaks on that batch."""
        if not self._batches:
            return run
        last = max(self._batches)
        begun = next((one for one in reversed(self._kept) if one.step < last), self._kept[0])
        again = Setup(begun.model, lambda: iter(()), begun.loss, begun.optimizer)
        try:
            with kept():
                restore(begun.random)
                for step in range(begun.step, last + 1):
                    batch = self._batches[step]
                    if step >= last - 1:
                        with kept():
                            seen = measure(again.model, batch, again.loss)
                        if same_sites(run, seen) and _breaks(seen.steps[0]) and not _spoilt(seen.steps[0]):
                            broke = dataclasses.replace(seen.steps[0], step=step)
                            return dataclasses.replace(run, broke=broke, broke_inputs=seen.inputs, broke_trained=True)
                    train(again, iter((batch,)), 1)
        except Exception:  # a batch that does not bear it: then nothing is said
            return run
        return run


def read_break(run: Run, model: nn.Module, loss: LossFunction | None, batches: Sequence[Any]) -> Run:
    """Return the run with what the untrained network shows on the first of these batches that breaks it.

    A singular point in a formula is met by certain examples, whatever the weights are; where only the weights of later steps
    break, no batch does that here, and nothing is added.
    """
    step = next(
        (index for index, value in enumerate(run.losses) if not math.isfinite(value)),
        len(run.losses) + len(batches) - 1,
    )
    for place, batch in enumerate(batches):
        try:
            twin, twin_loss, _ = copy_together(model, loss, None)
            seen = measure(twin, batch, twin_loss)
        except Exception:  # a batch that does not bear it: then nothing is said
            return run
        reading = seen.steps[0]
        if same_sites(run, seen) and _breaks(reading):
            broke = dataclasses.replace(reading, step=step - len(batches) + 1 + place)
            return dataclasses.replace(run, broke=broke, broke_inputs=seen.inputs)
    return run


def hides(start: Run, end: Run) -> bool:
    """Whether weights that were finite are not finite any more while the loss is: what they make is replaced on the way."""
    before, after = ([p.weight.nonfinite for p in run.steps[0].parameters] for run in (start, end))
    return any(after) and not any(before) and end.loss is not None and math.isfinite(end.loss)


def same_sites(first: Run, second: Run) -> bool:
    """Whether two runs made the same operations on the same parameters."""
    names = [site.name for site in first.sites] == [site.name for site in second.sites]
    return (
        names
        and first.edges == second.edges
        and [p.name for p in first.parameters] == [p.name for p in second.parameters]
    )


def _breaks(reading: Step) -> bool:
    bad = any(p.gradient is not None and p.gradient.nonfinite for p in reading.parameters)
    return bad or (reading.loss is not None and not math.isfinite(reading.loss))


def _spoilt(reading: Step) -> bool:
    return any(p.weight.nonfinite for p in reading.parameters)
