"""Arms: a fresh copy of the set-up, treated or not, in training; it is paused at rungs and goes on where it was."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable

from torch import nn

from photic.checkups.setup import Generators, Setup, generators, restore, seeded
from photic.checkups.training import evaluate, train
from photic.diagnosis.diagnose import diagnose
from photic.probes.audit import measure
from photic.records.findings import Diagnosis
from photic.remedies.carry_out import carry_out, changes_loss, substitute_loss
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.stepping import change_optimizer
from photic.remedies.surgery import compute_in_float32, register_modules
from photic.remedies.units import ScaledBackward, standardise_input, standardise_output
from photic.theory.network import predict_run

Score = Callable[[nn.Module], float]


class Arm:
    """One arm of the experiment, and what was seen of it so far.

    Attributes:
        prescription: what was done to it; None for the control.
        seed: of the order of batches, of what the remedy draws, and of the weights unless the builder seeds itself.
        losses: training loss of every step so far.
        held_back: loss on each held-back batch, by the number of steps after which it was taken; 0 is untrained.
        start: what the rules say of it untrained.
        parameters: numbers in its trainable parameters.
        seconds: wall time so far.
    """

    def __init__(self, material: Material, prescription: Prescription | None, seed: int) -> None:
        began = time.perf_counter()
        self.prescription, self.seed = prescription, seed
        self.losses: list[float] = []
        self.held_back: dict[int, tuple[float, ...]] = {}
        self._paces: list[float] = []
        self._material = material
        self._setup: Setup | None = treated_setup(material, prescription, seed=seed)
        self.parameters = sum(p.numel() for p in self._setup.model.parameters() if p.requires_grad)
        self._stream = material.stream(seed)
        self._random: Generators | None = None
        self._end: tuple[int, Diagnosis] | None = None
        self.start = _diagnosis(self._setup, material)
        self.held_back[0] = self._evaluated(self._setup)
        self.seconds = time.perf_counter() - began

    @property
    def whole(self) -> bool:
        """Whether the training did not break off so far."""
        return not self.losses or math.isfinite(self.losses[-1])

    @property
    def pace(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self._paces) if self._paces else math.nan

    @property
    def end(self) -> Diagnosis | None:
        """What the rules say of it as it now is; None when the training broke off."""
        if self._end is None or self._end[0] != len(self.losses):
            if self._setup is None or not self.whole:
                return None
            self._end = len(self.losses), _diagnosis(self._setup, self._material)
        return self._end[1]

    def mean(self, steps: int | None = None) -> float:
        """Mean loss on the held-back batches after so many steps, or the last; nan where the training broke off."""
        values = self.held_back.get(len(self.losses) if steps is None else steps, ())
        return sum(values) / len(values) if values else math.nan

    def advance(self, steps: int) -> int:
        """Train until `steps` steps are done in all, take the held-back loss there, and return how many were made."""
        done = len(self.losses)
        if self._setup is None:
            raise RuntimeError("this arm was let go; make a new one to train on")
        if not self.whole or steps <= done:
            return 0
        marks = [time.perf_counter()]
        with seeded(self.seed):
            if self._random is not None:
                restore(self._random)
            self.losses += train(
                self._setup, self._stream, steps - done, progress=lambda *_: marks.append(time.perf_counter())
            )
            self._random = generators()
        self._paces += [after - before for before, after in itertools.pairwise(marks)]
        if self.whole:
            self.held_back[len(self.losses)] = self._evaluated(self._setup)
        self.seconds += time.perf_counter() - marks[0]
        return len(self.losses) - done

    def scored(self, score: Score | None) -> float | None:
        """Return the user's score of the model as it now is."""
        return None if score is None or self._setup is None or not self.whole else float(score(self._setup.model))

    def release(self) -> None:
        """Let go of the model; what was seen of it stays."""
        self._setup = None

    @property
    def other_loss(self) -> bool:
        """Whether it is trained on another loss than the user's, so that training losses do not compare."""
        return self.prescription is not None and changes_loss(self.prescription)

    def _evaluated(self, setup: Setup) -> tuple[float, ...]:
        """Return the user's own loss on each held-back batch."""
        loss = self._material.loss if self.other_loss else setup.loss
        return tuple(evaluate(setup.model, loss, [batch]) for batch in self._material.held_back)


def treated_setup(material: Material, prescription: Prescription | None, *, seed: int) -> Setup:
    """Return a fresh set-up with the prescription carried out on it."""
    setup = material.fresh(seed)
    if prescription is None:
        return setup
    if prescription.float32:
        compute_in_float32(setup.model)
    carry_out(prescription, setup.model, seed=seed, batch=material.training[0])
    if prescription.registered:
        register_modules(setup.model)
    loss, unit = substitute_loss(prescription, setup.model, setup.loss), prescription.gradient_unit
    if prescription.standardised_input:
        standardise_input(setup.model, material.training)
    if prescription.standardised_target:
        unit /= standardise_output(setup.model, material.training) ** 2
    if unit * prescription.loss_scale != 1.0 and loss is not None:
        loss = ScaledBackward(loss, unit * prescription.loss_scale)
    change_optimizer(prescription, setup.optimizer, setup.model)
    return Setup(setup.model, setup.batches, loss, setup.optimizer)


def _diagnosis(setup: Setup, material: Material) -> Diagnosis:
    run = measure(setup.model, material.training[0], setup.loss, optimizer=setup.optimizer)
    return diagnose(run, predict_run(run))


def alarms(diagnosis: Diagnosis | None) -> set[str]:
    """Return the problems that are at least a warning."""
    if diagnosis is None:
        return set()
    return {finding.problem for finding in diagnosis.findings if finding.severity != "info"}
