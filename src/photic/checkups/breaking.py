"""Breaking: the batch at which a loss stopped being finite, tried on the weights as they were at the start, and right before."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from photic.checkups.setup import LossFunction, copy_together
from photic.probes.audit import measure
from photic.probes.generators import Generators, kept, restore, states
from photic.records.runs import Run, Step


@dataclass(frozen=True)
class Before:
    """The network as it was before a step, with that step's batch."""

    model: nn.Module
    loss: LossFunction | None
    random: Generators
    step: int
    batch: Any = None


class Lately:
    """The network as it was before each of the last two steps; nothing of one that cannot be copied, or has more than `most` parameters."""

    def __init__(self, model: nn.Module, loss: LossFunction | None, *, most: int) -> None:
        self._model, self._loss = model, loss
        self._able = sum(p.numel() for p in model.parameters()) <= most
        self._kept: deque[Before] = deque(maxlen=2)

    def before(self, step: int) -> None:
        """Copy the network before that step."""
        if not self._able:
            return
        try:
            model, loss, _ = copy_together(self._model, self._loss, None)
        except Exception:  # it holds what the last step made
            self._able = False
            self._kept.clear()
            return
        self._kept.append(Before(model, loss, states(), step))

    def after(self, batch: Any) -> None:
        """Put the batch of the step to the copy that was made before it."""
        if self._able:
            self._kept.append(dataclasses.replace(self._kept.pop(), batch=batch))

    def read(self, run: Run) -> Run:
        """Return the run with what the first of the kept networks shows that breaks on its batch."""
        for one in self._kept:
            try:
                with kept():
                    restore(one.random)
                    seen = measure(one.model, one.batch, one.loss)
            except Exception:  # a batch that does not bear it: then nothing is said
                return run
            if same_sites(run, seen) and _breaks(seen.steps[0]) and not _spoilt(seen.steps[0]):
                broke = dataclasses.replace(seen.steps[0], step=one.step)
                return dataclasses.replace(run, broke=broke, broke_inputs=seen.inputs, broke_trained=True)
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
