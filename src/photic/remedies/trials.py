"""Trials: train the control and each remedy on the same seeds and batches, measure again, and judge."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from photic.checkups.setup import Setup, seeded
from photic.checkups.training import evaluate, train
from photic.diagnosis.diagnose import diagnose
from photic.probes.audit import measure
from photic.records.findings import Diagnosis
from photic.records.treatments import Outcome, Trial
from photic.remedies.carry_out import carry_out
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy
from photic.remedies.stepping import change_optimizer
from photic.remedies.surgery import compute_in_float32, register_modules
from photic.remedies.units import ScaledBackward, standardise_input, standardise_output
from photic.theory.network import predict_run

CLEARLY = 0.05  # the treated loss on held-back batches lies at least this share below the control's
SURELY = 3.0  # and at least this many standard errors of the paired differences

Score = Callable[[nn.Module], float]


@dataclass(frozen=True)
class Arm:
    """One arm of the experiment after its training: what was seen of it.

    Attributes:
        losses: training loss of every step.
        held_back: loss on each held-back batch.
        start, end: what the rules say of it before and after the training.
        score: of the trained model.
        seconds: wall time.
    """

    losses: tuple[float, ...]
    held_back: tuple[float, ...]
    start: Diagnosis
    end: Diagnosis | None
    score: float | None
    seconds: float

    @property
    def mean_held_back(self) -> float:
        """Mean loss on the held-back batches; nan when the training broke off."""
        return sum(self.held_back) / len(self.held_back) if self.held_back else math.nan


def run_arm(
    material: Material, prescription: Prescription | None, *, steps: int, seed: int, score: Score | None = None
) -> Arm:
    """Build, treat (or not), audit, train, evaluate and audit again."""
    began = time.perf_counter()
    setup = treated_setup(material, prescription, seed=seed)
    start = _diagnosis(setup, material.training[0])
    with seeded(seed):
        losses = train(setup, material.stream(seed), steps)
    whole = len(losses) == steps and math.isfinite(losses[-1])
    held_back: tuple[float, ...] = ()
    end: Diagnosis | None = None
    value: float | None = None
    if whole:
        held_back = tuple(evaluate(setup.model, setup.loss, [batch]) for batch in material.held_back)
        end = _diagnosis(setup, material.training[0])
        value = None if score is None else float(score(setup.model))
    return Arm(tuple(losses), held_back, start, end, value, time.perf_counter() - began)


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
    loss, unit = setup.loss, prescription.gradient_unit
    if prescription.standardised_input:
        standardise_input(setup.model, material.training)
    if prescription.standardised_target:
        unit /= standardise_output(setup.model, material.training) ** 2
    if unit * prescription.loss_scale != 1.0 and loss is not None:
        loss = ScaledBackward(loss, unit * prescription.loss_scale)
    change_optimizer(prescription, setup.optimizer, setup.model)
    return Setup(setup.model, setup.batches, loss, setup.optimizer)


def _diagnosis(setup: Setup, batch: Any) -> Diagnosis:
    run = measure(setup.model, batch, setup.loss, optimizer=setup.optimizer)
    return diagnose(run, predict_run(run))


def alarms(diagnosis: Diagnosis | None) -> set[str]:
    """Return the problems that are at least a warning."""
    if diagnosis is None:
        return set()
    return {finding.problem for finding in diagnosis.findings if finding.severity != "info"}


def judge(remedy: Remedy, treated: set[str], pairs: Sequence[tuple[Arm, Arm]]) -> Trial:
    """Return the verdict on a remedy from pairs (control, remedy), one pair per seed.

    Cured means: the treated findings are gone before and after training, no other came, and the held-back loss
    lies clearly (5 %) and surely (3 standard errors of the paired differences) below the control's.
    """
    control, arm = pairs[0]
    known = set.union(*(alarms(c.start) | alarms(c.end) for c, _ in pairs))
    seen = set.union(*(alarms(a.start) | alarms(a.end) for _, a in pairs))
    remaining, brought = tuple(sorted(seen & treated)), tuple(sorted(seen - known))
    profile = arm.start.profile
    trial = Trial(
        remedy=remedy.name,
        title=remedy.title,
        changes=remedy.changes,
        outcome="refused",
        reason="",
        losses=arm.losses,
        held_back_loss=None if math.isnan(arm.mean_held_back) else arm.mean_held_back,
        score=arm.score,
        reached=None if profile is None else profile.reached,
        layers=None if profile is None else len(profile.layers),
        remaining=remaining,
        brought=brought,
        seconds=sum(a.seconds for _, a in pairs),
        profile=profile,
        seeds=len(pairs),
    )
    outcome, reason = _verdict(control, arm, pairs, remaining, brought)
    return replace(trial, outcome=outcome, reason=reason)


def _verdict(
    control: Arm, arm: Arm, pairs: Sequence[tuple[Arm, Arm]], remaining: Sequence[str], brought: Sequence[str]
) -> tuple[Outcome, str]:
    if any(not a.held_back for _, a in pairs):
        return "refused", f"training broke off at step {len(arm.losses)} with loss {arm.losses[-1]:.3g}"
    sign, size = (
        "loss on held-back batches",
        f"{arm.mean_held_back:.3g} against {control.mean_held_back:.3g} untreated",
    )
    if len(arm.losses) < len(control.losses):
        size += f" (tried for {len(arm.losses)} of {len(control.losses)} steps)"
    if remaining:
        reach = arm.start.profile.reach if arm.start.profile is not None else "the network"
        return "refused", f"{', '.join(remaining)} remains: {reach}; {sign} {size}"
    if brought:
        return "refused", f"it brought {', '.join(brought)}; {sign} {size}"
    if any(not c.held_back for c, _ in pairs):
        if not all(_trains(a.losses) for _, a in pairs):
            return "refused", f"the untreated training broke off, and this loss does not fall: {arm.mean_held_back:.3g}"
        return "accepted", f"the untreated training broke off; {sign} {arm.mean_held_back:.3g}"
    gains = [c - a for con, a_ in pairs for c, a in zip(con.held_back, a_.held_back, strict=True)]
    mean = sum(gains) / len(gains)
    if mean < CLEARLY * abs(control.mean_held_back):
        return "refused", f"no clear improvement: {sign} {size}"
    error = _standard_error(gains)
    if error > 0.0 and not _sure(pairs, gains):
        return "refused", f"not sure enough: {sign} {size}, improvement {mean:.2g} +- {error:.2g}"
    return "accepted", f"{sign} {size}" + (f", improvement {mean:.2g} +- {error:.1g}" if error > 0.0 else "")


def _trains(losses: Sequence[float]) -> bool:
    """Whether the last fifth of the losses lies below the first fifth, by means."""
    part = max(1, len(losses) // 5)
    return sum(losses[-part:]) < sum(losses[:part])


def _sure(pairs: Sequence[tuple[Arm, Arm]], gains: Sequence[float]) -> bool:
    """Whether the paired gains lie `SURELY` standard errors above 0 in logarithms where every loss is positive, or all have one sign.

    A few batches on which the untreated network is far off rule the spread of the differences, not that of the ratios.
    """
    both = [(c, a) for control, arm in pairs for c, a in zip(control.held_back, arm.held_back, strict=True)]
    if all(0.0 < c < math.inf and 0.0 < a < math.inf for c, a in both):
        gains = [math.log(c / a) for c, a in both]
    if sum(gains) / len(gains) >= SURELY * _standard_error(gains):
        return True
    # Exact sign test at the same level: effects of one sign but unlike size are sure, though their mean is not.
    positive = sum(gain > 0.0 for gain in gains)
    chance = sum(math.comb(len(gains), k) for k in range(positive, len(gains) + 1)) / 2.0 ** len(gains)
    return chance < 0.5 * math.erfc(SURELY / math.sqrt(2.0))


def _standard_error(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
