"""Mending: a fault inside the loss cannot be proven by that loss, so the untreated and the treated are judged by the mended one.

The untreated is trained on the user's loss as ever; of both it is asked what the mended loss is on the held-back batches. Who is trained on
a loss is ahead by it, whatever it is: where a penalty is weighed anew, the error without it has to be lower, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from photic.records.treatments import Trial
from photic.remedies.candidate import Candidate
from photic.remedies.crew import Order
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy
from photic.remedies.search import Search
from photic.remedies.trials import CLEARLY, Pair, closed, judge


def mend(search: Search, chosen: Sequence[tuple[Remedy, Prescription]]) -> None:
    """Try what mends the loss, in order, until one cures with every seed; what was seen is in the search's trials."""
    for remedy, prescription in chosen:
        if search.cured or search.crew.over():
            return
        search.crew.work(Order(search.control(search.seeds[0]), search.rungs[-1], judged=True))
        search.prescriptions[remedy.name] = prescription
        trial, candidate = _tried(search, remedy, prescription)
        search.trials.append(trial)
        if trial.outcome == "accepted":
            search.cured.append(candidate)


def _tried(search: Search, remedy: Remedy, prescription: Prescription) -> tuple[Trial, Candidate]:
    last, pairs, trial = search.rungs[-1], list[Pair](), closed(remedy, "stopped", "the time was over")
    as_it_was = replace(prescription, only_judged=True)
    first = search.crew.enlist(remedy.name, prescription, search.seeds[0])
    candidate = Candidate(remedy, search.enlisted, first)
    search.enlisted += 1
    for seed in search.seeds:
        control = search.crew.enlist(f"untreated beside {remedy.name} (seed {seed})", as_it_was, seed)
        arm = (
            first if seed == search.seeds[0] else search.crew.enlist(f"{remedy.name} (seed {seed})", prescription, seed)
        )
        search.crew.work(Order(control, last, judged=True), Order(arm, last, judged=True))
        search.crew.release(control, arm)
        failure = control.failure or arm.failure
        if failure or control.course is None or arm.course is None or (arm.course.end is None and arm.course.whole):
            return closed(remedy, "failed" if failure else "stopped", failure or "the time was over"), candidate
        pairs.append((control.course, arm.course, last))
        trial = judge(remedy, search.problems, pairs)
        if trial.outcome != "accepted":
            break
    trial = replace(trial, reason=f"by the mended loss: {trial.reason}")
    errors = [(c.error, a.error) for c, a, _ in pairs]
    if trial.outcome == "accepted" and any(
        c is not None and a is not None and a > (1.0 - CLEARLY) * c for c, a in errors
    ):
        said = f"without the penalty the loss is no lower than untreated; {trial.reason}"
        return replace(trial, outcome="refused", reason=said, effects=()), candidate
    return trial, candidate
