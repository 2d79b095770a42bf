"""photic tells how deep the error gradient reaches in a neural network, why it fades, and what cures it.

    run        = photic.measure(model, batch, loss)
    prediction = photic.predict(model, batch)
    diagnosis  = photic.diagnose(run, prediction)
    checkup    = photic.check(model, batches, loss, optimizer)
    treatment  = photic.treat(build, batches, loss, optimizer=make_optimizer)

Names are imported when they are first used: reading a saved record needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from photic.checkups.check import check
    from photic.checkups.predict import predict
    from photic.checkups.stopping import TrainingStopped
    from photic.checkups.watch import watch
    from photic.diagnosis.diagnose import diagnose
    from photic.initialisers.initialise import initialise
    from photic.probes.audit import measure
    from photic.probes.dissection import dissect
    from photic.records.documents import read, write
    from photic.records.findings import Checkup, Diagnosis, Finding
    from photic.records.predictions import Prediction
    from photic.records.runs import Run
    from photic.remedies.treat import Treatment, treat

_HOMES = {
    "Checkup": "photic.records.findings",
    "Diagnosis": "photic.records.findings",
    "Finding": "photic.records.findings",
    "Prediction": "photic.records.predictions",
    "Run": "photic.records.runs",
    "TrainingStopped": "photic.checkups.stopping",
    "Treatment": "photic.remedies.treat",
    "check": "photic.checkups.check",
    "diagnose": "photic.diagnosis.diagnose",
    "dissect": "photic.probes.dissection",
    "initialise": "photic.initialisers.initialise",
    "measure": "photic.probes.audit",
    "predict": "photic.checkups.predict",
    "read": "photic.records.documents",
    "treat": "photic.remedies.treat",
    "watch": "photic.checkups.watch",
    "write": "photic.records.documents",
}

__all__ = [
    "Checkup",
    "Diagnosis",
    "Finding",
    "Prediction",
    "Run",
    "TrainingStopped",
    "Treatment",
    "check",
    "diagnose",
    "dissect",
    "initialise",
    "measure",
    "predict",
    "read",
    "treat",
    "watch",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("records", "theory", "activations", "testing", "initialisers", "integrations"):
        return importlib.import_module(f"photic.{name}")
    raise AttributeError(f"module 'photic' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def load_ipython_extension(shell: Any) -> None:
    """Make `%%photic` known to a notebook: what `%load_ext photic` calls."""
    from photic.integrations.jupyter import register

    register(shell)
