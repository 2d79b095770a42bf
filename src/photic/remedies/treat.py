"""Treat: check, prescribe from what was found, try each remedy against the untreated control, keep what cured."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from photic.checkups.check import check, stuck
from photic.checkups.setup import LossFunction, Setup, endless
from photic.checkups.training import train
from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.probes.generators import seeded
from photic.records.findings import Checkup
from photic.records.treatments import TreatmentRecord, Trial
from photic.remedies.arms import Score
from photic.remedies.choosing import behind, of_others, of_the_operation, prescribe
from photic.remedies.course import Course, alarms
from photic.remedies.crew import Crew, Order, at_once
from photic.remedies.late_break import LateBreak, late_break
from photic.remedies.material import Material
from photic.remedies.mending import mend
from photic.remedies.patch import pasted, write_patch
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy
from photic.remedies.search import Search, rungs_of
from photic.remedies.shelf import Shelf
from photic.remedies.steadiness import UNSTEADY, wild
from photic.remedies.treated import treated_setup
from photic.remedies.trials import OF_THE_DATA

Progress = Callable[[str, float], None]

TIMED = 3  # steps that say how long an arm will train
ENOUGH = 100  # steps in which a healthy network lowers its loss; with fewer one in which nothing is found is left alone
SURE = 0.8  # confidence of such a finding; of layers that were probably frozen on purpose it is less
WORTH_A_TRY = {
    "idle-layer",
    "loss-saturation",
    "severed-gradient",
    "weights-too-large",
    "frozen-layers",
    "shattered-gradient",
    "mixed-examples",
}  # a network that learns in spite of these may learn far better
HEALTHY = "the network is healthy: nothing was tried and nothing changed"
LEARNS = "the network learns as it is, if little, and nothing that was tried lets it learn far better: nothing changed"


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
    def mends(self) -> bool:
        """True when the accepted remedy mends the loss itself, by which it is then judged."""
        return self.accepted and self._prescriptions[self.remedy].mends

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
    thorough: bool = False,
    ignore: Sequence[str] = (),
    workers: int | None = None,
    keep: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Treatment:
    """Find what is wrong with a network, try what may cure it, and keep what is proven to.

    Every remedy is tried on a fresh copy, with the same seeds and batches as the untreated control, cause first. What takes the
    cause itself away is trained for an eighth of the steps, then the next few, then the rest; what leaves no more than half of the
    loss by then is proven before what comes later is begun, and ends the search where it leaves a quarter. Else the best two go on
    to a third, and the best to the end.
    What seems to cure at the end is repeated with every seed before it is accepted (to the end where it lost on its way what it had
    gained), and begun with three more where the untreated training breaks off or the first eighth showed that it cures.
    Where nothing cures by itself, what helped is tried in pairs, what took the cause away and does not train at another learning rate, and
    at last what treats other problems: the cause may be another. That is done too where no rule says why the loss does not fall, in the
    first steps or, with 100 or more, in all of them, or falls by less than a third; then only what trains far better is accepted.
    What puts the loss itself right is tried before all else, and both networks are judged by the mended loss.
    Nothing of the user's is changed.

    Args:
        build: zero-argument callable that returns the module, or a module (which is copied).
        batches: an iterable of batches, or a zero-argument callable that returns an iterator. Up to 8 are held back.
        loss: `loss(output, targets) -> scalar`; None uses the output's own `.loss`.
        optimizer: callable `model -> optimizer`, or a live optimizer of the module given; None is SGD(lr=0.1).
        steps: training steps of one trial.
        score: `score(model) -> float`, more is better; shown beside the loss.
        seeds: each accepted remedy cures with all of them.
        minutes: stop trying when they are over; what was proven by then counts.
        thorough: train every remedy that applies to the end, to compare them; several may be accepted then.
        ignore: problems that are not to be treated, as for `check`.
        workers: trials that train at the same time, each in a forked process with one thread; None is one per core, but
            1 where that is not possible or does not pay (less than half a second of training, a GPU in use, 20 million
            parameters or more).
        keep: folder in which what was trained is kept; the same call goes on from there after an interruption.
        progress: told what is being done and the share done.

    Raises:
        TypeError, ValueError: if the set-up has no usable form; the message says what was expected.
    """
    began = time.perf_counter()
    tell: Progress = progress or (lambda _, __: None)
    material = Material.collect(build, batches, loss, optimizer, steps=steps)
    tell("check the untreated network", 0.0)
    untreated = material.fresh(seeds[0])
    before = check(untreated.model, list(material.training), untreated.loss, untreated.optimizer, ignore=ignore)
    problems = alarms(before.diagnosis)
    if "sorted-batches" in problems:
        material = material.of_each
    notes = list(before.notes)
    if material.shared:
        notes.append("there is one batch, and the model takes no piece of it: the loss is judged on what is trained on")

    def nothing(note: str, trials: Sequence[Trial] = ()) -> Treatment:
        record = TreatmentRecord(before, None, tuple(trials), "", "", "", (*notes, note))
        return Treatment(record, material, {})

    if before.run.stopped:
        return nothing(f"the network could not be run, so nothing was tried: {before.run.stopped}")
    silent = not problems and not stuck(before)
    sure = {f.problem for f in before.findings if f.confidence >= SURE}
    hinted = sure & WORTH_A_TRY if not problems else set[str]()
    if silent and not hinted and steps < ENOUGH:
        return nothing(HEALTHY)
    if problems and problems <= OF_THE_DATA and _enters_alike(before):
        return nothing("what is wrong lies in the data, which no remedy changes: nothing was tried")
    treated = [f.problem for f in before.findings if f.problem in problems | hinted]
    chosen, unfit = prescribe(Graph.of(before.run), treated)
    others = of_others(Graph.of(before.run), {remedy.name for remedy, _ in chosen} | {trial.remedy for trial in unfit})
    if not chosen and not others:
        return nothing(f"nothing in the catalogue treats {', '.join(sorted(problems)) or 'it'}", unfit)
    work = steps * (3.5 + len(chosen) * (1.0 if thorough else 0.2))

    def say(names: str) -> None:
        tell(f"train {names}", min(crew.trained / work, 0.98))

    def over() -> bool:
        late = minutes is not None and time.perf_counter() - began > 60.0 * minutes
        return late and search.control(seeds[0]).course is not None  # the untreated network is trained in any case

    rungs = rungs_of(steps)
    shelf = None if keep is None else Shelf(keep, material, rungs)
    with Crew(
        material,
        rungs,
        score,
        at_once=at_once(untreated.model, workers, lambda: _seconds(material, steps)),
        shelf=shelf,
        told=say,
        over=over,
    ) as crew:

        def unsteady(prescription: Prescription) -> str:
            losses = _on_own_batches(material, prescription, max(seeds) + 1, steps)
            crew.apart += len(losses)
            if not math.isfinite(losses[-1]):
                return f"{UNSTEADY}: on batches that are drawn anew the training broke off at step {len(losses)}"
            return wild(losses, losses[0])

        def hidden(prescription: Prescription, others: Sequence[str]) -> list[tuple[Remedy, Prescription]]:
            return behind(material, prescription, others, seed=seeds[0])

        search = Search(crew, problems, seeds, thorough, unsteady, hidden)

        def told(broke: LateBreak) -> None:
            crew.apart += broke.step + 1
            notes.append(f"the untreated training breaks off in step {broke.step}: {broke.finding.reason}")
            problems.add(broke.finding.problem)  # the search's as well: they are one set

        mend(search, [pair for pair in chosen if pair[1].mends])
        mending = [pair for pair in others if pair[1].mends]
        chosen, others = ([pair for pair in part if not pair[1].mends] for part in (chosen, others))
        asked = not search.cured and (not problems or _later(before))
        broke = _broke_late(search) if asked else None
        if broke is not None:
            chosen, others, unfit = of_the_operation(broke.graph, chosen, others, unfit, alone=not problems)
            told(broke)
        if not search.cured or thorough:
            search.run(chosen, others)
        mend(search, mending)
        if not asked and not search.cured and not over() and (broke := _broke_late(search)) is not None:
            tried = {trial.remedy for trial in search.trials}
            own, _, unfit = of_the_operation(broke.graph, [], [], unfit, alone=False)
            told(broke)
            search.run([pair for pair in own if pair[0].name not in tried])
    trials = (
        _control_trial([arm.seen for arm in search.controls.values() if arm.course is not None]),
        *unfit,
        *search.trials,
    )
    runs = crew.trained / steps
    best = search.best
    if not problems and search.learns and best is None:
        late = "" if silent else f"; its loss only falls after more than {len(before.run.losses)} steps"
        if not search.trials:
            return nothing(f"{HEALTHY}{late}")
        notes.append(f"{LEARNS}{late}; {crew.trained} training steps in all, {runs:.1f} runs of {steps}")
        return Treatment(TreatmentRecord(before, None, trials, "", "", "", tuple(notes), runs), material, {})
    if not problems and search.learns:
        how = f"in spite of {', '.join(sorted(hinted))}" if hinted else f"if little in {steps} steps"
        notes.append(f"the network learns as it is, {how}; it learns far better when treated")
    elif silent and broke is None:
        notes.append(f"nothing was found in {len(before.run.losses)} steps, but in {steps} the loss does not fall")
    notes.append(f"{crew.trained} training steps in all, {runs:.1f} runs of {steps}")
    if best is None:
        notes.append(_nearest(search.trials, minutes if over() else None))
        record = TreatmentRecord(before, None, trials, "", "", "", tuple(notes), runs)
        return Treatment(record, material, search.prescriptions)
    tell(f"check the network with {best.name}", 0.99)
    prescription = search.prescriptions[best.name]
    if prescription.mends:
        notes.append(
            "it mends the loss: its losses are by the mended one, by which the untreated network was judged as well"
        )
    cured = treated_setup(material, prescription, seed=seeds[0])
    after: Checkup = check(
        cured.model, list(material.under(prescription).training), cured.loss, cured.optimizer, ignore=ignore
    )
    try:
        patch, paste = write_patch(prescription, before.run, build, cured.model, optimizer)
    except Exception as error:  # what was proven is not lost by source code that cannot be edited
        patch, paste = "", pasted(prescription, before.run)
        notes.append(f"no patch could be written ({type(error).__name__}: {error}); the lines to paste say the same")
    notes.append(
        f"seeds {', '.join(map(str, seeds))} vary the order of batches, the remedy's draws, and the weights unless `build` seeds itself"
    )
    record = TreatmentRecord(before, after, trials, best.name, patch, paste, tuple(notes), runs)
    tell("done", 1.0)
    return Treatment(record, material, search.prescriptions)


def _broke_late(search: Search) -> LateBreak | None:
    """Train the untreated network to the end, and return what broke it off; None where it did not break off, or nothing says why."""
    control = search.control(search.seeds[0])
    search.crew.work(Order(control, search.rungs[-1], judged=True))
    if control.course is None or control.course.whole:
        return None
    return late_break(search.crew.material, control.course, seed=control.seed)


def _later(before: Checkup) -> bool:
    """Whether it was found that numbers are not finite after some steps, though the untrained network makes none on these batches."""
    found = next((f for f in before.findings if f.problem == "non-finite" and f.severity != "info"), None)
    return found is not None and (before.run.broke_trained or not found.sites)


def _enters_alike(before: Checkup) -> bool:
    """Whether all examples are one before the network has done anything to them: a layer is named, and no operation below it."""
    critical = [finding for finding in before.findings if finding.severity == "critical"]
    kinds = {before.run.site(name).kind for finding in critical for name in finding.sites[:1]}
    return kinds == {"weight"} and not before.run.whole_differ and one_for_all(Graph.of(before.run)) is None


def _on_own_batches(material: Material, prescription: Prescription, seed: int, steps: int) -> list[float]:
    """Train with a prescription on the user's own batches, as they come, and return the losses."""
    setup = treated_setup(material, prescription, seed=seed)
    with seeded(seed):
        return train(setup, endless(setup.batches), steps)


def _seconds(material: Material, steps: int) -> float:
    """Return about how long an arm trains, from a few steps of a fresh copy; infinite where these fail."""
    try:
        setup, stream = material.fresh(0), material.stream(0)
        with seeded(0):
            train(setup, stream, 1)
            began = time.perf_counter()
            train(setup, stream, TIMED)
    except Exception:
        return math.inf
    return steps * (time.perf_counter() - began) / TIMED


def _nearest(trials: Sequence[Trial], over: float | None) -> str:
    """Say that nothing cured, and what came nearest and why it was refused; or that the minutes were over before that."""
    tried = [t for t in trials if t.outcome == "refused" and t.held_back_loss is not None]
    if not tried and over is not None:
        return (
            f"the {over:g} minutes were over before a remedy was judged: this says nothing of the remedies; give more"
        )
    if not tried:
        return "nothing in the catalogue cured it; nearest: none"
    # One that takes the finding away and brings no other is nearer than one that only lowers the loss.
    nearest = min(
        tried,
        key=lambda t: (bool(t.remaining or t.brought), math.inf if t.held_back_loss is None else t.held_back_loss),
    )
    what = (
        "nothing in the catalogue cured it" if over is None else f"nothing had cured it when {over:g} minutes were over"
    )
    return f"{what}; nearest: {nearest.remedy} ({nearest.reason})"


def _control_trial(controls: Sequence[Course]) -> Trial:
    control, *others = controls
    profile = control.start.profile
    return Trial(
        remedy="untreated",
        title="as it was given",
        changes="",
        outcome="control",
        reason=profile.reach if profile is not None else "",
        losses=control.losses,
        held_back_loss=control.mean() if control.whole else None,
        score=control.score,
        reached=None if profile is None else profile.reached,
        layers=None if profile is None else len(profile.layers),
        seconds=sum(course.seconds for course in controls),
        profile=profile,
        seeds=len(controls),
        seed_losses=tuple(course.losses for course in others),
    )
