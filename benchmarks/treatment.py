"""Treatment on the clinic: repaired by execution, what it cost, and healthy cases untouched; baselines beside it.

A case counts as repaired when the treated set-up, fresh and with a seed that no trial used, trained by a plain loop
(zero_grad, model, loss, backward, step), ends at least 10 % below the untreated one, or the untreated breaks off and it
does not, and its loss falls. Where the fault lies in the loss itself both are judged by the mended one. Results are kept
in `build/treatment` under a hash of photic's sources, so a run resumes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import random
import statistics
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import photic
from photic.checkups.setup import Setup, endless
from photic.diagnosis.graph import Graph
from photic.lab.clinic.case import Case, cases
from photic.lab.clinic.variants import elsewhere
from photic.probes import batches as batch_forms
from photic.probes.audit import measure
from photic.probes.generators import seeded
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from photic.remedies.treated import treated_setup
from photic.remedies.trials import bottomless

ROOT = Path(__file__).parent.parent
FRESH = 7  # the seed of the verdict
# The list of AUTOTRAINER (Zhang et al., ICSE 2021): activation, initialiser, normalisation, clipping, rate, optimizer's epsilon.
AUTOTRAINER = ("relu-activation", "tanh-activation", "he", "xavier", "layer-normalisation", "clipped-gradient")
AUTOTRAINER += ("lower-learning-rate", "adam-epsilon")


def plain_loop(setup: Setup, steps: int, judged: Any = None) -> list[float]:
    """Return the losses of the plain loop, to the first that is not finite; by the user's own loss where a remedy changed it."""
    model, batches, loss, optimizer = setup
    losses: list[float] = []
    with seeded(FRESH):
        stream = endless(batches)
        for _ in range(steps):
            inputs, targets = batch_forms.split(next(stream))
            optimizer.zero_grad()
            output = batch_forms.call(model, inputs)
            value = batch_forms.scalar_loss(output, targets, loss, 0)
            if value.requires_grad:
                value.backward()
            optimizer.step()
            own = value if judged is None else batch_forms.scalar_loss(output, targets, judged, 0)
            losses.append(float(own.detach()) if math.isfinite(own) else float(value.detach()))
            if not math.isfinite(losses[-1]):
                break
    return losses


def repaired(treated: list[float], control: list[float], steps: int) -> bool:
    """Whether the treated loop trained, and clearly better than the untreated."""
    part = max(1, steps // 10)
    if len(treated) < steps or not math.isfinite(treated[-1]):
        return False
    end, start = statistics.fmean(treated[-part:]), statistics.fmean(treated[:part])
    if len(control) < steps or not math.isfinite(control[-1]) or bottomless(control[0], control[-1]):
        return end < start
    other = statistics.fmean(control[-part:])
    return end < start and end < other - 0.1 * abs(other)


class Given:
    """A case as `photic.treat` takes it: a builder, and an optimizer made together with the model."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.made: Any = None

    def build(self) -> torch.nn.Module:
        """Return the model; torch's own seed chooses the case's."""
        setup = self.case.build(torch.initial_seed() % 2**31)
        self.made = setup.optimizer
        return setup.model

    def optimizer(self, _: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of the model built last."""
        return self.made


def judge(case: Case, steps: int | None) -> dict[str, Any]:
    """Treat one case with photic and the baselines, and train what came out."""
    count = min(case.steps, steps or case.steps)
    given, setup = Given(case), case.build(0)
    material = Material.collect(given.build, setup.batches, setup.loss, given.optimizer, steps=count)
    began = time.perf_counter()
    control = plain_loop(material.fresh(FRESH), count)
    once = time.perf_counter() - began
    row: dict[str, Any] = {"name": case.name, "label": case.label, "part": case.part}
    began = time.perf_counter()
    treatment = photic.treat(given.build, setup.batches, setup.loss, optimizer=given.optimizer, steps=count)
    row |= {
        "remedy": treatment.remedy,
        "cost": (time.perf_counter() - began) / once,
        "runs": treatment.record.runs,
        "tried": len(treatment.trials) - 1,
    }
    row["found"] = [f.problem for f in treatment.record.before.findings if f.severity != "info"]
    if treatment.accepted:
        # A loss that has no lower bound says nothing of what is put in its place, and one that is wrong itself nothing of its cure.
        judged = None if bottomless(control[0], min(control)) else material.loss
        treated, beside = treatment.setup(seed=FRESH), control
        if treatment.mends:
            judged = treated.loss
            beside = plain_loop(material.fresh(FRESH), count, judged)
        row["repaired"] = repaired(plain_loop(treated, count, judged), beside, count)
    if not case.sick:
        return row
    run = measure(setup.model, next(iter(material.training)), setup.loss, optimizer=setup.optimizer)
    chosen: dict[str, Prescription] = {}
    for remedy in remedies():
        with contextlib.suppress(Exception):
            prescription = remedy.prescribe(Graph.of(run))
            if isinstance(prescription, Prescription):
                search = prescription.search_rate
                chosen[remedy.name] = replace(prescription, rate=0.1, search_rate=False) if search else prescription
    drawn = random.Random(case.name)
    budget = max(1, row["tried"])
    listed = [name for name in AUTOTRAINER if name in chosen][:budget]
    at_random = drawn.sample(sorted(chosen), min(budget, len(chosen)))
    for baseline, names in (("autotrainer", listed), ("random", at_random)):
        row[baseline] = any(_cures(material, chosen[name], control, count) for name in names)
    return row


def _cures(material: Material, prescription: Prescription, control: list[float], steps: int) -> bool:
    try:
        return repaired(
            plain_loop(treated_setup(material, prescription, seed=FRESH), steps, material.loss), control, steps
        )
    except Exception:
        return False


def _sources() -> bytes:
    files = sorted((ROOT / "src" / "photic").rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*files, Path(__file__)])).digest()


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the shares on tuning and held-out."""
    said: dict[str, Any] = {}
    for part in ("tuning", "held-out"):
        sick = [row for row in rows if row["part"] == part and row["label"] and "error" not in row]
        healthy = [row for row in rows if row["part"] == part and not row["label"] and "error" not in row]
        said[part] = {
            "sick": len(sick),
            "failed to run": sum("error" in row for row in rows if row["part"] == part),
            "repaired": sum(row.get("repaired", False) for row in sick),
            "accepted but not repaired": sum(row.get("repaired") is False for row in sick),
            "found": sum(bool(row["found"]) for row in sick),
            "autotrainer": sum(row["autotrainer"] for row in sick),
            "random": sum(row["random"] for row in sick),
            "median runs": round(statistics.median(row["runs"] for row in sick), 1) if sick else None,
            "median cost": round(statistics.median(row["cost"] for row in sick), 1) if sick else None,
            "healthy": len(healthy),
            "healthy untouched": sum(not row["remedy"] for row in healthy),
        }
    return said


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names contain one of these")
    parser.add_argument("--part", choices=("tuning", "held-out"))
    parser.add_argument("--steps", type=int, help="at most so many steps a trial")
    parser.add_argument(
        "--accelerator", action="store_true", help="train there; cases that cannot be moved are left out"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many; the next run resumes")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kept = ROOT / "build" / "treatment"
    kept.mkdir(parents=True, exist_ok=True)
    began, version = time.perf_counter(), _sources()
    chosen = [case for case in cases() if not options.only or any(word in case.name for word in options.only)]
    chosen = [case for case in chosen if options.part in (None, case.part)]
    # In the order of a hash: what a run stopped early has done is a sample of all.
    chosen.sort(key=lambda case: hashlib.sha256(case.name.encode()).digest())
    if options.accelerator:
        chosen = [
            replace(case, build=lambda seed, own=case.build: elsewhere(own(seed)))  # pyright: ignore
            for case in chosen
            if elsewhere(case.build(0)) is not None
        ]
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(chosen):
        asked = f"{case.name} {options.steps} {options.accelerator}"
        path = kept / f"{hashlib.sha256(version + asked.encode()).hexdigest()[:24]}.json"
        if not path.exists():
            if time.perf_counter() - began > 60.0 * options.minutes:
                break
            try:
                row = judge(case, options.steps)
            except Exception as error:
                row = {
                    "name": case.name,
                    "label": case.label,
                    "part": case.part,
                    "error": f"{type(error).__name__}: {error}",
                }
            path.write_text(json.dumps(row))
        rows.append(json.loads(path.read_text()))
        print(f"{number + 1}/{len(chosen)} {rows[-1]}", file=sys.stderr, flush=True)
    print(json.dumps({"summary": summary(rows), "rows": rows} if options.json else summary(rows), indent=1))


if __name__ == "__main__":
    main()
