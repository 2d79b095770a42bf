"""The demonstration: the deep sigmoid network on real digits, measured, explained, treated and verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from photic.checkups.setup import Setup, endless
from photic.checkups.training import train
from photic.diagnosis.units_on_curves import units_on_curves
from photic.lab.examples import deep_sigmoid
from photic.probes.generators import seeded
from photic.records import documents
from photic.records.treatments import TreatmentRecord
from photic.remedies.treat import Treatment, treat
from photic.reports.curve import Curve
from photic.reports.figure import draw
from photic.reports.page import page
from photic.reports.view import view_of

TRIAL_STEPS = 300
FULL_STEPS = 1120
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Trained:
    """A network after its full training: what was done to it, and how it does on images it never saw."""

    remedy: str
    test_accuracy: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Demonstration:
    """Everything that the demonstration found.

    Attributes:
        record: the treatment, with the checkup of the untreated network in it.
        untreated: the network as it is.
        treated: with the remedy that was accepted.
        others: with each further accepted remedy.
        curve: the sigmoid with the network's own units on it.
        files: what was written.
        seconds: wall time.
    """

    record: TreatmentRecord
    untreated: Trained
    treated: Trained
    others: tuple[Trained, ...]
    curve: Curve
    files: tuple[Path, ...]
    seconds: float


def demonstrate(folder: Path, progress: Progress) -> Demonstration:
    """Run the whole chain and write the record, a figure and a report into `folder`.

    With one thread: networks this small train no slower, and the numbers do not depend on how many cores there are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _demonstrated(folder, progress)
    finally:
        torch.set_num_threads(threads)


def _demonstrated(folder: Path, progress: Progress) -> Demonstration:
    began = time.perf_counter()

    def stream() -> Iterator[Any]:
        return endless(deep_sigmoid.batches)

    treatment = treat(
        deep_sigmoid.build,
        stream,
        F.cross_entropy,
        optimizer=deep_sigmoid.optimizer,
        steps=TRIAL_STEPS,
        thorough=True,
        progress=lambda stage, share: progress(stage, 0.5 * min(share, 0.99)),
    )
    accepted = [trial.remedy for trial in treatment.trials if trial.outcome == "accepted"]
    names = ["untreated", *accepted]
    trained: dict[str, Trained] = {}
    for number, name in enumerate(names):
        progress(f"full training, {FULL_STEPS} steps: {name}", 0.5 + 0.45 * number / len(names))
        trained[name] = _trained(treatment, name)
    networks = [c for c in (treatment.record.before, treatment.record.after) if c is not None]
    curves = [units_on_curves(checkup.run) for checkup in networks]
    curve = curves[0][0]
    progress("write the record, the figure and the report", 0.97)
    files = (
        documents.write(treatment.record, folder / "demo.json"),
        draw(treatment.record, folder / "demo.png", curve=curve),
        draw(treatment.record, folder / "demo.svg", curve=curve),
        _write(folder / "demo.html", page(view_of(treatment.record, curves=curves, with_patch=True))),
    )
    progress("done", 1.0)
    return Demonstration(
        record=treatment.record,
        untreated=trained["untreated"],
        treated=trained[treatment.remedy] if treatment.remedy else trained["untreated"],
        others=tuple(trained[name] for name in accepted if name != treatment.remedy),
        curve=curve,
        files=files,
        seconds=time.perf_counter() - began,
    )


def _trained(treatment: Treatment, name: str) -> Trained:
    setup: Setup = treatment.setup(name)
    with seeded(0):
        losses = train(setup, endless(deep_sigmoid.batches), FULL_STEPS)
    return Trained(name, accuracy(setup.model), tuple(losses))


def accuracy(model: nn.Module) -> float:
    """Return the share of test images that the model names rightly."""
    _, _, images, labels = deep_sigmoid.digits()
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).double().mean())


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
