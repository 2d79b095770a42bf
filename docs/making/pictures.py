"""The pictures of the pages, from real runs: `python docs/making/pictures.py` draws them into docs/pictures/ (two minutes).

The network is the demonstration's: ten hidden layers with the logistic sigmoid on scikit-learn's digits, one thread, seed 0.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from photic.activations import find
from photic.checkups.check import check
from photic.checkups.setup import endless
from photic.lab.examples import deep_sigmoid
from photic.records.findings import Checkup
from photic.remedies.treat import treat
from photic.reports.figure import draw
from photic.reports.plots import draw_atlas, draw_phase
from photic.theory.atlas import activation_atlas, phase_diagram

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
SHOWN = ("untreated", "xavier", "layer-normalisation", "tanh-activation", "centred-logistic")


def curves() -> Path:
    """Sigmoid, tanh and ReLU: value, slope, and what a signal of each size gains."""
    atlases = []
    for name in ("sigmoid", "tanh", "relu"):
        activation = find(name)
        assert activation is not None
        atlases.append(activation_atlas(activation))
    return draw_atlas(tuple(atlases), PICTURES / "curves.png")


def phase() -> Path:
    """Where deep tanh networks vanish and explode."""
    tanh = find("tanh")
    assert tanh is not None
    record = phase_diagram(tanh, weight_variances=np.linspace(0.04, 4.0, 100), bias_variances=np.linspace(0.0, 1.0, 61))
    return draw_phase(record, PICTURES / "phase-tanh.png")


def sick() -> Path:
    """The gradient along the layers of the untreated network, measured and predicted."""
    return draw(checked("sigmoid"), PICTURES / "profile-sick.png")


def xavier() -> Path:
    """The same with Xavier weights: better, and not enough."""
    return draw(checked("xavier"), PICTURES / "profile-xavier.png")


def chain() -> Path:
    """Before and after, and the losses of some of the trials."""
    treatment = treat(
        deep_sigmoid.build,
        lambda: endless(deep_sigmoid.batches),
        F.cross_entropy,
        optimizer=deep_sigmoid.optimizer,
        steps=300,
        thorough=True,
    )
    shown = tuple(trial for trial in treatment.trials if trial.remedy in SHOWN)
    return draw(dataclasses.replace(treatment.record, trials=shown), PICTURES / "chain.png")


def checked(weights: str) -> Checkup:
    """Check the demonstration's network with torch's default weights or Xavier's."""
    torch.manual_seed(0)
    model = deep_sigmoid.build()
    if weights == "xavier":
        for layer in (*model.hidden, model.head):
            torch.nn.init.xavier_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    return check(model, deep_sigmoid.batches, F.cross_entropy, deep_sigmoid.optimizer(model))


def smaller(path: Path) -> None:
    """Keep a picture at 1,100 pixels of width and 256 colours: what the pages show of it."""
    picture = Image.open(path).convert("RGB")
    if picture.width > 1100:
        picture = picture.resize((1100, round(picture.height * 1100 / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(256).save(path, optimize=True)


def main() -> None:
    """Draw all."""
    torch.set_num_threads(1)
    for picture in (curves, phase, sick, xavier, chain):
        path = picture()
        smaller(path)
        print(f"{path.name}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
