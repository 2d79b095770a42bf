"""Verification: train a case and see whether it is as sick, or as healthy, as it says."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from photic.checkups.setup import Setup, endless
from photic.checkups.training import train
from photic.lab.clinic.case import CURED, Case
from photic.probes import batches as forms

SEEDS = (0, 1, 2)
VERIFIED = Path(__file__).with_name("verified.json")


@dataclass(frozen=True)
class Outcome:
    """What became of a case, one number a seed.

    Attributes:
        score: how well the outputs tell the targets after training, 0: not at all, 1: fully. For class numbers the accuracy
            above chance, for numbers the squared correlation, else the relative fall of the loss.
        fell: relative fall of the loss, (first - last) / |first|; -1 where it is not finite.
        holds: whether it is as sick or healthy as it says, by `holds`.
    """

    score: tuple[float, ...]
    fell: tuple[float, ...]
    holds: bool = False


def trained(case: Case, seed: int) -> tuple[float, float]:
    """Train a case for its steps in a plain loop and return score and fall."""
    setup = case.build(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        losses = train(setup, endless(setup.batches), case.steps)
        count = min(5, len(losses))
        first, last = sum(losses[:count]) / count, sum(losses[-count:]) / count
        if not math.isfinite(last) or len(losses) < case.steps:
            return 0.0, -1.0
        fell = (losses[0] - last) / max(abs(losses[0]), 1e-30) if math.isfinite(first) else -1.0
        return _score(setup, fell), fell


def _score(setup: Setup, fell: float) -> float:
    outputs: list[Tensor] = []
    wanted: list[Any] = []
    setup.model.eval()
    with torch.no_grad():
        for batch, _ in zip(setup.batches(), range(16), strict=False):
            inputs, targets = forms.split(batch)
            outputs.append(forms.call(setup.model, inputs))
            wanted.append(targets)
    if not all(isinstance(part, Tensor) for part in (*outputs, *wanted)):
        return max(fell, 0.0)
    given, target = torch.cat(outputs).float(), torch.cat(wanted)
    if not bool(torch.isfinite(given).all()):
        return 0.0
    if not target.is_floating_point() and given.ndim == target.ndim + 1 and given.shape[-1] > 1:
        right = float((given.argmax(-1) == target).float().mean())
        chance = float(torch.bincount(target.flatten()).max()) / target.numel()
        return max(0.0, (right - chance) / max(1.0 - chance, 1e-9))
    if given.shape == target.shape and float(target.float().std()) > 0.0:
        x, y = given.flatten() - given.mean(), target.flatten().float() - target.float().mean()
        size = float(x.norm() * y.norm())
        return float(x @ y / size) ** 2 if size > 0.0 else 0.0
    return max(fell, 0.0)


def holds(case: Case, own: Outcome, twin: Outcome | None) -> bool:
    """Whether the outcome is as the case says, on every seed.

    A healthy case scores 0.2 or lowers its loss by a tenth. A sick one stays below 0.7 of its cured twin's score, or, without
    a twin, below 0.2.
    """
    if not case.sick:
        return all(score >= 0.2 or fell >= 0.1 for score, fell in zip(own.score, own.fell, strict=True))
    against = twin.score if twin is not None else tuple(0.3 for _ in own.score)
    return all(mine < 0.7 * theirs for mine, theirs in zip(own.score, against, strict=True))


def judged(cases: tuple[Case, ...], outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Return the outcomes with `holds` filled in."""
    return {
        case.name: Outcome(own.score, own.fell, holds(case, own, outcomes.get(case.name + CURED)))
        for case in cases
        for own in [outcomes[case.name]]
    }


def stored() -> dict[str, Outcome]:
    """Return the verification that lies in the package; empty without one."""
    if not VERIFIED.exists():
        return {}
    plain: dict[str, dict[str, Any]] = json.loads(VERIFIED.read_text(encoding="utf-8"))
    return {name: Outcome(tuple(o["score"]), tuple(o["fell"]), bool(o["holds"])) for name, o in plain.items()}


def store(outcomes: dict[str, Outcome]) -> None:
    """Write the verification into the package."""
    plain = {name: asdict(outcome) for name, outcome in sorted(outcomes.items())}
    VERIFIED.write_text(json.dumps(plain, indent=0) + "\n", encoding="utf-8")
