"""Arms: a fresh copy of the set-up, treated or not, in training; it is paused at rungs and goes on where it was."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from photic.checkups.training import evaluate, train
from photic.diagnosis.diagnose import diagnose
from photic.diagnosis.evidence import asks_for_classes, chance
from photic.probes.audit import measure
from photic.probes.batches import split
from photic.probes.generators import Generators, restore, seeded, states
from photic.records.findings import Diagnosis
from photic.records.runs import Run
from photic.remedies.carry_out import changes_loss, substitute_loss
from photic.remedies.course import Course, HeldBack
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.range_test import with_rate
from photic.remedies.treated import treated_setup
from photic.theory.network import predict_run

Score = Callable[[nn.Module], float]


class Arm:
    """One arm of the experiment, live.

    Args:
        material: what all arms are made from.
        prescription: what is done to it; None for the control. A learning rate that is still to be found is found first.
        seed: of the order of batches, of what the remedy draws, and of the weights unless the builder seeds itself.
        rungs: numbers of steps at which the held-back loss is taken.
    """

    def __init__(self, material: Material, prescription: Prescription | None, seed: int, rungs: Sequence[int]) -> None:
        began = time.perf_counter()
        self._searched, self._rate, self._why = 0, 1.0, ""
        if prescription is not None and prescription.search_rate:
            steps = max(15, rungs[-1] // 20)
            prescription, self._searched = with_rate(prescription, material, seed=seed, steps=steps)
            self._rate, self._why = prescription.rate, prescription.why
        self._seed, self._rungs = seed, tuple(rungs)
        self._material = material = material.under(prescription)
        self._other_loss = prescription is not None and changes_loss(prescription)
        self._setup = treated_setup(material, prescription, seed=seed)
        self._mended = self._error = None
        if prescription is not None and prescription.mends:
            self._mended = substitute_loss(prescription, self._setup.model, material.loss)
            if prescription.balance:
                alone = replace(prescription, balance={name: (s, 0.0) for name, (s, _) in prescription.balance.items()})
                self._error = substitute_loss(alone, self._setup.model, material.loss)
        # To replace calls in a code that is not ours every call is looked at: that takes time which the patch does not.
        self._substituted = self._other_loss or "forward" in vars(self._setup.model)
        self._parameters = sum(p.numel() for p in self._setup.model.parameters() if p.requires_grad)
        self._stream = material.stream(seed)
        self._random: Generators | None = None
        self._losses: list[float] = []
        self._paces: list[float] = []
        self._chance: float | None = None
        self._start = self._diagnosis()
        self._held_back = [HeldBack(0, self._evaluated())]
        self._seconds = time.perf_counter() - began

    def advance(self, steps: int, *, score: Score | None = None, judged: bool = False) -> Course:
        """Train until `steps` steps are done in all and return what was seen; `judged` asks for the end and the score."""
        began = time.perf_counter()
        for rung in sorted({*self._rungs, steps}):
            if self._whole and len(self._losses) < rung <= steps:
                self._train(rung - len(self._losses))
                if self._whole:
                    self._held_back.append(HeldBack(rung, self._evaluated()))
        self._seconds += time.perf_counter() - began
        ended = judged and self._whole
        return Course(
            losses=tuple(self._losses),
            held_back=tuple(self._held_back),
            start=self._start,
            parameters=self._parameters,
            pace=math.nan if self._substituted else _pace(self._paces),
            seconds=self._seconds,
            end=self._diagnosis() if ended else None,
            score=float(score(self._setup.model)) if ended and score is not None else None,
            rate=self._rate,
            why=self._why,
            searched=self._searched,
            chance=self._chance,
            error=self._without_penalty() if ended and self._error is not None else None,
            other_loss=self._other_loss,
        )

    @property
    def _whole(self) -> bool:
        return not self._losses or math.isfinite(self._losses[-1])

    def _train(self, steps: int) -> None:
        clock = _clock(self._setup.model)
        marks = [clock()]
        with seeded(self._seed):
            if self._random is not None:
                restore(self._random)
            self._losses += train(self._setup, self._stream, steps, progress=lambda *_: marks.append(clock()))
            self._random = states()
        self._paces += [after - before for before, after in itertools.pairwise(marks)]

    def _evaluated(self) -> tuple[float, ...]:
        """Return the user's own loss on each held-back batch; the treated one where their own has no finite value, or is what is mended."""
        # A model may draw in its forward: for all arms the same, and not from the user's generator.
        with seeded(self._seed):
            return tuple(map(self._own_loss, self._material.held_back))

    def _without_penalty(self) -> float:
        with seeded(self._seed):
            return statistics.fmean(
                evaluate(self._setup.model, self._error, [batch]) for batch in self._material.held_back
            )

    def _own_loss(self, batch: Any) -> float:
        if self._mended is not None:
            return evaluate(self._setup.model, self._mended, [batch])
        own = evaluate(self._setup.model, self._material.loss, [batch]) if self._other_loss else math.nan
        return own if math.isfinite(own) else evaluate(self._setup.model, self._setup.loss, [batch])

    def _constant(self, run: Run) -> float | None:
        """Return the loss of who answers the mean of the targets, where one number is answered to each of the target's."""
        targets = split(self._material.training[0])[1]
        shapes = {run.sites[index].shape for index in run.outputs}
        return self._material.constant if isinstance(targets, Tensor) and shapes == {tuple(targets.shape)} else None

    def _diagnosis(self) -> Diagnosis:
        setup = self._setup
        run = measure(setup.model, self._material.training[0], setup.loss, optimizer=setup.optimizer)
        known = [chance(run) or self._constant(run), self._material.prior if asks_for_classes(run) else None]
        self._chance = None if self._other_loss else min((loss for loss in known if loss is not None), default=None)
        return diagnose(run, predict_run(run))


def _pace(seconds: Sequence[float]) -> float:
    """Return the median of the fastest tenth of the steps; nan of none.

    All arms see the same batches. Who shares caches and memory with another arm is slower, but not in every step.
    """
    return statistics.median(sorted(seconds)[: -(-len(seconds) // 10)]) if seconds else math.nan


def _clock(model: nn.Module) -> Callable[[], float]:
    """Return what a step is timed with: the processor's time of this process, because arms work beside each other.

    On a GPU the processor only hands over the work; there the arms work in turn, and the clock on the wall is right.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    return time.process_time if on_cpu else time.perf_counter
