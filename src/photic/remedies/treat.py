"""Treat: check, prescribe from what was found, try each remedy against the untreated control, keep what cured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from photic.checkups.check import check
from photic.checkups.setup import LossFunction, Setup
from photic.diagnosis.graph import Graph
from photic.records.findings import Checkup
from photic.records.treatments import Outcome, TreatmentRecord, Trial
from photic.remedies.material import Material
from photic.remedies.patch import write_patch
from photic.remedies.prescription import Prescription
from photic.remedies.range_test import with_rate
from photic.remedies.registry import Remedy, remedies_for
from photic.remedies.trials import Arm, Score, alarms, judge, run_arm, treated_setup

Progress = Callable[[str, float], None]
_SMALLER = {"training": 0, "weights": 1, "function": 2, "": 3}
AS_GOOD = 0.25  # a smaller change is preferred while its held-back loss is within this share of the best improvement


class Treatment:
    """What was found, tried and accepted, with the treated set-up at hand.

    Attributes:
        record: all of it as plain data; can be saved and read without torch.
    """

    def __init__(self, record: TreatmentRecord, material: Material, prescriptions: dict[str, Prescription]) -> None:
        self.record = record
        self._material = material
        self._prescriptions = prescriptions

    def _repr_html_(self) -> str:
        return self.record._repr_html_()

    @property
    def accepted(self) -> bool:
        """True when a remedy cured."""
        return self.record.accepted

    @property
    def remedy(self) -> str:
        """Name of the accepted remedy, '' when none."""
        return self.record.remedy

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The control and every trial."""
        return self.record.trials

    @property
    def patch(self) -> str:
        """Unified diff of the user's source, '' when there is none."""
        return self.record.patch

    @property
    def paste(self) -> str:
        """Lines to paste where no source line is known."""
        return self.record.paste

    def report(self) -> str:
        """Return the treatment as plain text."""
        from photic.reports.plain import plain

        return plain(self.record)

    def setup(self, remedy: str | None = None, *, seed: int = 0) -> Setup:
        """Return a fresh, untrained set-up with the accepted remedy (or the named one) carried out.

        It trains in any plain loop: zero_grad, model, loss, backward, step. Without an accepted remedy it is the
        untreated set-up.

        Raises:
            KeyError: if `remedy` was not tried.
        """
        name = self.remedy if remedy is None else remedy
        if not name or name == "untreated":
            return treated_setup(self._material, None, seed=seed)
        if name not in self._prescriptions:
            raise KeyError(f"the remedy {name!r} was not tried; tried were {', '.join(self._prescriptions) or 'none'}")
        return treated_setup(self._material, self._prescriptions[name], seed=seed)

    def __repr__(self) -> str:
        tried = sum(trial.outcome != "control" for trial in self.trials)
        return f"Treatment(remedy={self.remedy!r}, accepted={self.accepted}, tried={tried})"


def treat(
    build: Any,
    batches: Any,
    loss: LossFunction | None = None,
    *,
    optimizer: Any = None,
    steps: int = 200,
    score: Score | None = None,
    seeds: Sequence[int] = (0, 1),
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Treatment:
    """Find what is wrong with a network, try what may cure it, and keep what is proven to.

    Every remedy is tried on a fresh copy, with the same seeds, batches and number of steps as the untreated control.
    Those that look no better than the control after a quarter of the steps are stopped; the rest is trained in full, and
    what seems to cure is repeated with every seed before it is accepted. Nothing of the user's is changed.

    Args:
        build: zero-argument callable that returns the module, or a module (which is copied).
        batches: an iterable of batches, or a zero-argument callable that returns an iterator. Up to 8 are held back.
        loss: `loss(output, targets) -> scalar`; None uses the output's own `.loss`.
        optimizer: callable `model -> optimizer`, or a live optimizer of the module given; None is SGD(lr=0.1).
        steps: training steps of one trial.
        score: `score(model) -> float`, more is better; shown beside the loss.
        seeds: each accepted remedy cures with all of them.
        minutes: stop trying when they are over; what was proven by then counts.
        progress: told what is being done and the share done.

    Raises:
        TypeError, ValueError: if the set-up has no usable form; the message says what was expected.
    """
    began = time.perf_counter()
    tell: Progress = progress or (lambda _, __: None)
    material = Material.collect(build, batches, loss, optimizer, steps=steps)
    tell("check the untreated network", 0.0)
    untreated = material.fresh(seeds[0])
    before = check(untreated.model, list(material.training), untreated.loss, untreated.optimizer)
    problems = alarms(before.diagnosis)
    notes = list(before.notes)
    if before.run.stopped:
        notes.append(f"the network could not be run, so nothing was tried: {before.run.stopped}")
        return Treatment(TreatmentRecord(before, None, (), "", "", "", tuple(notes)), material, {})
    if not problems:
        notes.append("the network is healthy: nothing was tried and nothing changed")
        return Treatment(TreatmentRecord(before, None, (), "", "", "", tuple(notes)), material, {})
    graph = Graph.of(before.run)
    chosen, trials = _prescribe(graph, problems)
    if not chosen:
        notes.append(f"nothing in the catalogue treats {', '.join(sorted(problems))}")
        return Treatment(TreatmentRecord(before, None, tuple(trials), "", "", "", tuple(notes)), material, {})

    def out_of_time() -> bool:
        return minutes is not None and time.perf_counter() - began > 60.0 * minutes

    quarter = max(10, steps // 4)
    work = quarter * (len(chosen) + 1) + 2 * steps * (len(chosen) + 1)
    spent = [0]

    def arm(prescription: Prescription | None, title: str, count: int, seed: int) -> Arm:
        tell(title, min(spent[0] / work, 0.99))
        result = run_arm(material, prescription, steps=count, seed=seed, score=score)
        spent[0] += count
        return result

    controls = {seed: arm(None, f"train untreated, seed {seed}", steps, seed) for seed in seeds}
    prescriptions: dict[str, Prescription] = {}
    for remedy, prescription in chosen:
        if out_of_time():
            trials.append(_closed(remedy, "stopped", f"the {minutes:g} minutes were over"))
            continue
        try:
            if prescription.search_rate:
                tell(f"range test of {remedy.name}", min(spent[0] / work, 0.99))
                prescription = with_rate(prescription, material, seed=seeds[0])
            prescriptions[remedy.name] = prescription
            trials.append(_try(remedy, prescription, controls, problems, seeds, steps, quarter, arm))
        except Exception as error:
            trials.append(_closed(remedy, "failed", f"{type(error).__name__}: {error}"))
    trials = [_control_trial(controls[seeds[0]]), *trials]
    best = _best(trials, controls[seeds[0]])
    if best is None:
        nearest = min(
            (t for t in trials if t.held_back_loss is not None and t.outcome == "refused"),
            key=lambda t: t.held_back_loss or math.inf,
            default=None,
        )
        notes.append(f"nothing in the catalogue cured it; nearest: {nearest.remedy if nearest else 'none'}")
        return Treatment(
            TreatmentRecord(before, None, tuple(trials), "", "", "", tuple(notes)), material, prescriptions
        )
    tell(f"check the network with {best}", 0.99)
    cured = treated_setup(material, prescriptions[best], seed=seeds[0])
    after: Checkup = check(cured.model, list(material.training), cured.loss, cured.optimizer)
    patch, paste = write_patch(prescriptions[best], before.run, build, cured.model)
    notes.append(
        f"seeds {', '.join(map(str, seeds))} vary the order of batches, the remedy's draws, and the weights unless `build` seeds itself"
    )
    record = TreatmentRecord(before, after, tuple(trials), best, patch, paste, tuple(notes))
    tell("done", 1.0)
    return Treatment(record, material, prescriptions)


def _prescribe(graph: Graph, problems: set[str]) -> tuple[list[tuple[Remedy, Prescription]], list[Trial]]:
    chosen: list[tuple[Remedy, Prescription]] = []
    trials: list[Trial] = []
    for remedy in remedies_for(problems):
        prescription = remedy.prescribe(graph)
        if isinstance(prescription, str):
            trials.append(_closed(remedy, "not-applicable", prescription))
        else:
            chosen.append((remedy, prescription))
    return chosen, trials


def _try(
    remedy: Remedy,
    prescription: Prescription,
    controls: dict[int, Arm],
    problems: set[str],
    seeds: Sequence[int],
    steps: int,
    quarter: int,
    arm: Callable[[Prescription | None, str, int, int], Arm],
) -> Trial:
    first = seeds[0]
    if steps > quarter:
        short = arm(prescription, f"try {remedy.name}", quarter, first)
        still = alarms(short.start) & problems
        if still and short.held_back and short.losses[-1] > 0.98 * controls[first].losses[min(quarter, steps) - 1]:
            # The mechanism is still there and the loss does not move: no need for the rest.
            return judge(remedy, problems, [(controls[first], short)])
    pairs = [(controls[first], arm(prescription, f"train with {remedy.name}", steps, first))]
    verdict = judge(remedy, problems, pairs)
    if verdict.outcome != "accepted":
        return verdict
    for seed in seeds[1:]:
        pairs.append((controls[seed], arm(prescription, f"train with {remedy.name}, seed {seed}", steps, seed)))
    return judge(remedy, problems, pairs)


def _closed(remedy: Remedy, outcome: Outcome, reason: str) -> Trial:
    return Trial(remedy.name, remedy.title, remedy.changes, outcome, reason)


def _control_trial(control: Arm) -> Trial:
    profile = control.start.profile
    return Trial(
        remedy="untreated",
        title="as it was given",
        changes="",
        outcome="control",
        reason=profile.reach if profile is not None else "",
        losses=control.losses,
        held_back_loss=control.mean_held_back if control.held_back else None,
        score=control.score,
        reached=None if profile is None else profile.reached,
        layers=None if profile is None else len(profile.layers),
        seconds=control.seconds,
        profile=profile,
    )


def _best(trials: Sequence[Trial], control: Arm) -> str | None:
    """Return the smallest change among the accepted that keeps most of the best improvement; of several the first tried.

    The most specific remedies are tried first, so a cure of the cause stands before one that covers it.
    """
    accepted = [trial for trial in trials if trial.outcome == "accepted" and trial.held_back_loss is not None]
    if not accepted:
        return None
    best = min(trial.held_back_loss or 0.0 for trial in accepted)
    start = control.losses[0] if control.losses and math.isfinite(control.losses[0]) else best
    reference = control.mean_held_back if control.held_back else start  # broken off: what it began with
    bar = best + AS_GOOD * max(reference - best, 0.0)
    good = [trial for trial in accepted if (trial.held_back_loss or 0.0) <= bar]
    return min(good, key=lambda trial: _SMALLER[trial.changes]).remedy
