"""Evidence: what the rules may ask for, by name; what was not measured is `Missing`, with the reason."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from photic.diagnosis.graph import Graph
from photic.diagnosis.profile import depth_profile
from photic.records.predictions import Prediction
from photic.records.profiles import Profile
from photic.records.runs import Run

MOST = 5  # losses at each end that stand for it


@dataclass(frozen=True)
class Missing:
    """Evidence that was not measured."""

    why: str


@dataclass(frozen=True)
class Training:
    """What training steps showed.

    Attributes:
        losses: of the steps that were read, in order; of every step where photic trained.
        first: loss of the beginning: of the untrained weights on the batches of `last` where that was tried, else the median of
            as many steps.
        last: mean loss of the last steps, up to five; nan if one is.
        steps: number of steps from the first to the last that was read.
        chance: loss of one who knows nothing, ln C of a cross-entropy over C classes; None for other losses.
    """

    losses: tuple[float, ...]
    first: float
    last: float
    steps: int
    chance: float | None = None


@dataclass(frozen=True)
class Case:
    """All that is known when the rules are asked; `state` is the index of the step that is judged."""

    run: Run
    prediction: Prediction | None
    state: int = 0


Provider = Callable[[Case], Any]
_PROVIDERS: dict[str, Provider] = {}


def evidence(function: Provider) -> Provider:
    """Register a function as the provider of the evidence that bears its name."""
    _PROVIDERS[function.__name__] = function
    return function


def provide(name: str, case: Case) -> Any:
    """Return the evidence of that name, or `Missing`."""
    if name not in _PROVIDERS:
        return Missing(f"nothing provides the evidence `{name}`")
    return _PROVIDERS[name](case)


@evidence
def graph(case: Case) -> Graph | Missing:
    """The network at the step that is judged."""
    return Graph.of(case.run, case.state) if case.run.steps else Missing("no step was read")


@evidence
def profile(case: Case) -> Profile | Missing:
    """The depth profile of the step that is judged."""
    if not case.run.steps or case.run.steps[case.state].loss is None:
        return Missing("no backward pass was made")
    found = depth_profile(case.run, case.prediction, step=case.state)
    return Missing("the network has no trained layer") if found is None else found


@evidence
def training(case: Case) -> Training | None:
    """Losses of the training steps; None when there was no training: rules may judge without it."""
    losses = case.run.losses
    if len(losses) < 2:
        return None
    count = ends(len(losses))
    first = statistics.median(losses[:count]) if case.run.untrained is None else case.run.untrained
    last = sum(losses[-count:]) / count
    readings = case.run.steps
    steps = max(len(losses), readings[-1].step - readings[0].step + 1 if readings else 0)
    return Training(losses, first, last, steps, chance(case.run))


def ends(steps: int) -> int:
    """Return how many losses at each end of a training stand for it."""
    return max(1, min(MOST, steps // 4))


def chance(run: Run) -> float | None:
    """Return ln C of the first cross-entropy over C classes; None without one."""
    feeders = {edge.target: edge.source for edge in run.edges if edge.source >= 0}
    for site in run.sites:
        if site.phase == "loss" and site.operation in ("cross_entropy", "log_softmax", "nll_loss"):
            shape = run.sites[feeders[site.order]].shape if site.order in feeders else ()
            if len(shape) > 1 and shape[1] > 1:
                return math.log(shape[1])
    return None
