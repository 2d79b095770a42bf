"""Experiments: audit and train the network that the knobs describe."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from photic.checkups.watch import watch
from photic.diagnosis.diagnose import diagnose
from photic.diagnosis.units_on_curves import units_on_curves
from photic.lab.lessons.knobs import Knobs, batches, built
from photic.lab.lessons.turns import turn
from photic.probes.audit import measure
from photic.probes.generators import seeded
from photic.records.findings import Checkup
from photic.reports.view import view_of
from photic.theory.network import predict_run


def audited(knobs: Knobs) -> dict[str, Any]:
    """Return what the page shows of the untrained network, with the time that building and auditing took in milliseconds."""
    began = time.perf_counter()
    network, batch = built(knobs)
    with seeded(knobs.seed):
        run = measure(network, batch, F.cross_entropy)
    prediction = predict_run(run)
    checkup = Checkup(run, prediction, diagnose(run, prediction))
    milliseconds = 1000.0 * (time.perf_counter() - began)
    view = view_of(checkup, title="network", curves=[units_on_curves(run)])["runs"][0]
    kept = {name: view[name] for name in ("title", "verdict", "healthy", "loss", "profile", "findings", "curves")}
    if kept["profile"] is not None:
        kept["profile"] = {**kept["profile"], "blocks": []}
    return {**kept, "milliseconds": round(milliseconds, 1)}


def trained(knobs: Knobs, record: Path, *, stopped: Callable[[], bool]) -> None:
    """Train the network under a watch that reads every layer at every step, into a store, until done or stopped."""
    with turn():
        network, _ = built(knobs)
    optimizer = torch.optim.SGD(network.parameters(), lr=knobs.learning_rate)
    stream = batches(knobs)
    with watch(network, optimizer, record=record, every=1) as watching:
        for step in range(knobs.steps):
            if stopped():
                return
            inputs, labels = next(stream)
            with turn(patient=True):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(inputs), labels)
                loss.backward()
                optimizer.step()
            watching._recording.loss(step, float(loss.detach()))
