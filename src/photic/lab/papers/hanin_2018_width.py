"""Hanin 2018: the sum of the reciprocal widths governs how much gradients fluctuate in a ReLU network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from photic.lab.claims import Claim, Figure, Numbers, Size, around
from photic.lab.drawings import curves_over_layers

KEY = "hanin2018"
TITLE = "Which neural net architectures give rise to exploding and vanishing gradients?"
FULL = "the quick size is the only one: 1,500 networks of up to 28 layers. The theorems are about any width and depth."
_NETWORKS = 1500


def _squared_gradients(widths: Sequence[int], seed: int) -> torch.Tensor:
    """Return, for many ReLU networks with n Var[w] = 2, |d output / d input|^2 of one output, times what makes its mean 1."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    found: list[float] = []
    for _ in range(_NETWORKS):
        x = torch.randn(widths[0], generator=generator, dtype=torch.float64)
        weights, open_units = list[torch.Tensor](), list[torch.Tensor]()
        for fan_in, fan_out in itertools.pairwise(widths):
            w = torch.randn(fan_out, fan_in, generator=generator).double() * math.sqrt(2.0 / fan_in)
            z = w @ x
            x = z.clamp_min(0.0)
            weights.append(w)
            open_units.append((z > 0).double())
        g = torch.randn(widths[-1], generator=generator, dtype=torch.float64)
        scale = float(g.square().sum())
        for w, gate in zip(reversed(weights), reversed(open_units), strict=True):
            g = w.T @ (g * gate)
        found.append(float(g.square().sum()) / scale * widths[-1] / widths[0])
    return torch.tensor(found, dtype=torch.float64)


def _numbers(widths: Sequence[int], seed: int) -> Numbers:
    squares = _squared_gradients(widths, seed)
    beta = sum(5.0 / width for width in widths[1:])
    logs = squares.log()
    heights, edges = np.histogram(logs.numpy(), bins=40, density=True)
    centres = (edges[:-1] + edges[1:]) / 2.0
    normal = np.exp(-np.square(centres + beta / 2.0) / (2.0 * beta)) / math.sqrt(2.0 * math.pi * beta)
    return {
        "x": centres.tolist(),
        "density": heights.tolist(),
        "theory": normal.tolist(),
        "variance over beta": float(logs.var()) / beta,
        "variance": float(logs.var()),
        "shift over beta": float(logs.mean()) / beta,
        "mean": float(squares.mean()),
    }


def equal(seed: int, size: Size) -> Numbers:
    """1,500 networks of 20 layers of 100 units."""
    return _numbers([100] * 21, seed)


def twice(seed: int, size: Size) -> Numbers:
    """1,500 networks of 28 layers of 140 units: the same sum of reciprocal widths."""
    return _numbers([140] * 29, seed)


def shallow(seed: int, size: Size) -> Numbers:
    """1,500 networks of 5 layers of 100 units: a quarter of that sum."""
    return _numbers([100] * 6, seed)


def bottlenecks(seed: int, size: Size) -> Numbers:
    """1,500 networks whose layers alternate between 40 and 200 units, with that sum again: 0.2 over 13 layers."""
    return _numbers([100, *[40, 200] * 6, 40], seed)


# The variance of a variance over 1,500 networks: sqrt(2 / 1500) = 3.7 % if the logs were normal, 5 % as they are; and
# kappa / n is the first order: at beta = 1 the second adds up to 15 %.
_FIRST = "first order in 1 / n: kappa = 3 E phi'^4 / (E phi'^2)^2 - 1 = 5 for ReLU; 15 % for the next order, 5 % for 1,500 networks"
_OF = partial(Claim, seeds=3)

CLAIMS = (
    _OF(text="The log of the squared gradient has a variance of 5 times the sum of the reciprocal widths.", place="theorem 1 and 2",
         experiment=equal, number="variance over beta", low=0.8, high=1.2, tolerance=_FIRST, theirs="exponential in the sum of 1 / n"),
    _OF(text="Only that sum counts: deeper and wider networks with the same sum fluctuate alike.", place="theorem 1",
         experiment=twice, number="variance over beta", low=0.8, high=1.2, tolerance=_FIRST),
    _OF(text="A quarter of the sum gives a quarter of the variance.", place="theorem 1", experiment=shallow,
         number="variance over beta", low=0.8, high=1.2, tolerance=_FIRST),
    _OF(text="Narrow layers weigh as their reciprocals do: alternating widths fluctuate as their sum says.", place="section 1",
         experiment=bottlenecks, number="variance over beta", low=0.8, high=1.3, tolerance=_FIRST),
    _OF(text="A typical network's gradient is smaller than the mean: the mean of the log lies half the variance below 0.",
         place="theorem 2, with the lognormal", experiment=equal, number="shift over beta", tolerance=_FIRST,
         **dict(zip(("low", "high"), around(-0.5, relative=0.25), strict=True))),
    _OF(text="The mean squared gradient is exactly kept at every depth with n Var[w] = 2.", place="theorem 1, second moment",
         experiment=shallow, number="mean", low=0.88, high=1.12,
         tolerance="a lognormal's mean over 1,500 networks: deviation sqrt((e^0.25 - 1) / 1500) = 1.4 %, heavy tails; six of them"),
)  # fmt: skip


def _draw(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw both distributions with the lognormal of theory over each."""
    together: Numbers = {}
    for name, part in zip(("deep", "shallow"), parts, strict=True):
        for kind in ("density", "theory"):
            together[f"{name} {kind}"], together[f"{name} {kind} x"] = part[kind], part["x"]
    return curves_over_layers(
        [together], path, log=False, title="1,500 ReLU networks of width 100 each", x="ln |d output / d input|^2, mean square 1",
        y="density",
        lines=(("deep density", "20 layers, sum 5 / n = 1"), ("shallow density", "5 layers, sum 5 / n = 1/4"),
               ("deep theory", "theory: normal, mean -1/2 the variance"), ("shallow theory", "_theory: normal, mean -1/2 the variance")),
    )  # fmt: skip


FIGURES = {"1": Figure(title="how the squared gradient is distributed", experiments=(equal, shallow), draw=_draw)}
