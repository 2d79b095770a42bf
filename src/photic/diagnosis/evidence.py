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
        chance: loss of one who knows nothing, ln C of a cross-entropy over C classes; None for most other losses.
        constant: loss of one who answers the mean of the targets to everything, in a regression; None where it is not known.
        prior: loss of one who answers how often the classes come to everything, of a cross-entropy; None where it is not known.
    """

    losses: tuple[float, ...]
    first: float
    last: float
    steps: int
    chance: float | None = None
    constant: float | None = None
    prior: float | None = None

    @property
    def ignorant(self) -> tuple[float, ...]:
        """The losses that are known of those who learn nothing of the inputs."""
        return tuple(known for known in (self.chance, self.constant, self.prior) if known is not None)


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
def depth(case: Case) -> Profile | None:
    """The depth profile of the step that is judged; None without a trained layer or a backward pass: rules may judge without it."""
    found = profile(case)
    return None if isinstance(found, Missing) else found


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
    constant = spread_of_targets(case.run) if case.run.constant is None else case.run.constant
    prior = case.run.prior if asks_for_classes(case.run) else None
    return Training(losses, first, last, steps, chance(case.run), constant, prior if prior and prior > 0.0 else None)


def ends(steps: int) -> int:
    """Return how many losses at each end of a training stand for it."""
    return max(1, min(MOST, steps // 4))


def spread_of_targets(run: Run) -> float | None:
    """Return the mean squared error of one who answers the mean of all targets, as far as the steps that were read show them.

    None without one mean squared error that is the loss itself, up to a factor. Where the targets have several columns, of
    which each has a mean of its own, it is more than such an answer costs: nobody is accused for that.
    """
    errors = [site for site in run.sites if site.phase == "loss" and site.operation == "mse_loss"]
    if len(errors) != 1 or errors[0].settings.get("reduction", "mean") != "mean":
        return None
    given = [step.sites[errors[0].order].given for step in run.steps]
    spreads = [target.deviation**2 for target in given if target is not None and not target.nonfinite]
    if not spreads or min(spreads) == 0.0:
        return None
    return _multiple(run, errors[0].order, 1.0) * sum(spreads) / len(spreads)


def chance(run: Run) -> float | None:
    """Return the loss of one who gives all C classes the same probability or score; None without a cross-entropy or margin of classes.

    That is ln C, or (C - 1) / C of a margin of 1, times what the loss is multiplied by and, where it is summed, times the number of
    examples. Where the loss of outputs that are all 0 was asked for, it is that.
    """
    feeders = {edge.target: edge.source for edge in run.edges if edge.source >= 0}
    for site in run.sites:
        if site.phase == "loss" and site.operation in ("cross_entropy", "log_softmax", "nll_loss", "multi_margin_loss"):
            shape = run.sites[feeders[site.order]].shape if site.order in feeders else ()
            if len(shape) > 1 and shape[1] > 1:
                if run.neutral_loss is not None and run.neutral_loss > 0.0:
                    return run.neutral_loss
                ignorant = 1.0 - 1.0 / shape[1] if site.operation == "multi_margin_loss" else math.log(shape[1])
                return ignorant * _multiple(run, site.order, math.prod(shape) / shape[1])
    return None


def asks_for_classes(run: Run) -> bool:
    """Whether the loss is a cross-entropy of scores, of several classes or of one."""
    asked = ("cross_entropy", "log_softmax", "nll_loss", "binary_cross_entropy_with_logits")
    return any(site.phase == "loss" and site.operation in asked for site in run.sites)


def _multiple(run: Run, index: int, examples: float) -> float:
    """Return what the mean over the examples is multiplied by, as far as one way of plain factors leads up from a site."""
    factor = 1.0
    while True:
        if "sum" in (run.sites[index].operation, run.sites[index].settings.get("reduction")):
            factor *= examples
        above = [edge.target for edge in run.edges if edge.source == index]
        if len(above) != 1 or sum(edge.target == above[0] for edge in run.edges) != 1:
            return factor
        index = above[0]
        kind, other = run.sites[index].operation, run.sites[index].settings.get("other")
        if kind in ("mul", "div"):
            if not isinstance(other, (int, float)) or other <= 0:
                return factor
            factor *= other if kind == "mul" else 1.0 / other
        elif kind not in ("nll_loss", "mean", "sum"):
            return factor
