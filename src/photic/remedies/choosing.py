"""Choosing: what applies to a network of what is in the catalogue, in the order in which it is tried."""

from __future__ import annotations

from collections.abc import Sequence

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.records.treatments import Trial
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy, remedies, remedies_for
from photic.remedies.treated import treated_setup
from photic.remedies.trials import closed

Prescribed = list[tuple[Remedy, Prescription]]


def prescribe(graph: Graph, problems: Sequence[str]) -> tuple[Prescribed, list[Trial]]:
    """Return what applies, remedies of the first finding first, and what does not with the reason."""

    def cause(remedy: Remedy) -> int:
        return min(place for place, problem in enumerate(problems) if problem in remedy.treats)

    chosen: list[tuple[Remedy, Prescription]] = []
    trials: list[Trial] = []
    for remedy in sorted(remedies_for(set(problems)), key=cause):
        prescription = remedy.prescribe(graph)
        if isinstance(prescription, str):
            trials.append(closed(remedy, "not-applicable", prescription))
        else:
            chosen.append((remedy, prescription))
    return chosen, trials


def of_others(graph: Graph, known: set[str]) -> Prescribed:
    """Return what applies among the remedies of problems that were not found, smaller changes first."""
    found = [(remedy, remedy.prescribe(graph)) for remedy in remedies() if remedy.name not in known]
    return [(remedy, prescription) for remedy, prescription in found if not isinstance(prescription, str)]


def behind(material: Material, prescription: Prescription, problems: Sequence[str], *, seed: int) -> Prescribed:
    """Return what applies to the network that a prescription makes, of what treats problems that were hidden without it."""
    setup = treated_setup(material, prescription, seed=seed)
    run = measure(setup.model, material.training[0], setup.loss, optimizer=setup.optimizer)
    return [] if run.stopped else prescribe(Graph.of(run), problems)[0]


def of_the_operation(
    graph: Graph, chosen: Prescribed, others: Prescribed, unfit: list[Trial], *, alone: bool
) -> tuple[Prescribed, Prescribed, list[Trial]]:
    """Return what treats the operation that made the first number which is not finite, then all else.

    With `alone` nothing else was found: what treats numbers that are not finite comes next, what was chosen last, as all others.
    """
    found, closed_now = prescribe(graph, ["non-finite"])
    own = [(remedy, prescription) for remedy, prescription in found if remedy.treats == ("non-finite",)]
    names = {remedy.name for remedy, _ in own}
    chosen, others = ([pair for pair in part if pair[0].name not in names] for part in (chosen, others))
    fresh = [
        trial for trial in closed_now if trial.remedy not in {one.remedy for one in unfit} | _names(chosen, others)
    ]
    unfit = [*(trial for trial in unfit if trial.remedy not in names), *fresh]
    if not alone:
        return [*own, *chosen], others, unfit
    also = [pair for pair in others if "non-finite" in pair[0].treats]
    return [*own, *also], [*chosen, *(pair for pair in others if pair not in also)], unfit


def _names(*parts: Prescribed) -> set[str]:
    return {remedy.name for part in parts for remedy, _ in part}
