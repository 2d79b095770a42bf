"""Pascanu, Mikolov & Bengio 2013: when gradients through time vanish or explode."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import torch

from photic.initialisers.drawing import fill_orthogonal
from photic.lab.claims import Claim, Figure, Numbers, Size, around
from photic.lab.drawings import curves_over_layers
from photic.theory.memory import uniform_spectral_radius

KEY = "pascanu2013"
TITLE = "On the difficulty of training recurrent neural networks"
FULL = (
    "the quick size is the only one: its claims are about matrices and one wall. The paper's trainings on data "
    "are not run: their data are not here."
)
_HIDDEN, _STEPS = 128, 100


def _through_time(w: torch.Tensor, activation: str, seed: int, *, steps: int = _STEPS) -> list[float]:
    """Return |dL/dh_t| / |dL/dh_T| for t = 1 ... T of h_t = phi(W h_(t-1) + x_t), in float64."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    w = w.double()
    h = torch.zeros(16, w.shape[0], dtype=torch.float64)
    kept: list[torch.Tensor] = []
    for _ in range(steps):
        x = 0.5 * torch.randn(h.shape, generator=generator, dtype=torch.float64)
        z = h @ w.T + x
        h = (z if activation == "linear" else getattr(torch, activation)(z)).requires_grad_()
        kept.append(h)
    g = torch.randn(h.shape, generator=generator, dtype=torch.float64)
    return [float(part.norm() / g.norm()) for part in torch.autograd.grad(h, kept, g)]


def matrices(seed: int, size: Size) -> Numbers:
    """Recurrent matrices of 128 units: torch's default, bounded ones, orthogonal ones."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    bound = 1.0 / math.sqrt(_HIDDEN)
    default = (torch.rand(_HIDDEN, _HIDDEN, generator=generator) * 2 - 1) * bound
    orthogonal = fill_orthogonal(torch.empty(_HIDDEN, _HIDDEN), generator=generator)
    largest = float(torch.linalg.matrix_norm(default, 2))
    bounded = default * (0.95 / largest)
    four = default * (3.8 / largest)
    normal = orthogonal * 1.1
    courses = {
        "default course": _through_time(default, "tanh", seed),
        "orthogonal course": _through_time(orthogonal, "linear", seed),
        "exploding course": _through_time(normal, "linear", seed),
    }
    radius = uniform_spectral_radius(_HIDDEN)
    return {
        **courses,
        **{f"{name} x": list(range(_STEPS - 1, -1, -1)) for name in (*courses, "default theory", "exploding theory")},
        "default theory": [radius**back for back in range(_STEPS - 1, -1, -1)],
        "exploding theory": [1.1**back for back in range(_STEPS - 1, -1, -1)],
        "radius over theory": float(torch.linalg.eigvals(default).abs().max()) / uniform_spectral_radius(_HIDDEN),
        "default log10": math.log10(courses["default course"][0]),
        "bounded steps": _largest_step(_through_time(bounded, "tanh", seed)),
        "sigmoid steps": _largest_step(_through_time(four, "sigmoid", seed)),
        "orthogonal": courses["orthogonal course"][0],
        "exploding over theory": math.log(courses["exploding course"][0]) / (99 * math.log(1.1)),
        "linear rate": math.exp((math.log(_through_time(default, "linear", seed)[0])) / 99)
        / float(torch.linalg.eigvals(default).abs().max()),
    }


def _largest_step(norms: list[float]) -> float:
    """Return the largest factor by which one step back in time multiplied the gradient."""
    return max(before / after for before, after in itertools.pairwise(norms))


def clipping(seed: int, size: Size) -> Numbers:
    """Learning to hold the first of 40 inputs with weights beyond the wall: the largest step with and without clipping."""
    found: Numbers = {}
    for name, limit in (("plain", math.inf), ("clipped", 1.0)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer, head = torch.nn.RNN(4, 32, batch_first=True), torch.nn.Linear(32, 1)
            with torch.no_grad():
                recurrent: Any = layer.weight_hh_l0
                recurrent.copy_(fill_orthogonal(torch.empty(32, 32)) * 1.8)
            parameters = [*layer.parameters(), *head.parameters()]
            optimizer = torch.optim.SGD(parameters, 0.05)
            largest, losses = 0.0, list[float]()
            for _ in range(150):
                x = torch.randn(32, 40, 4)
                optimizer.zero_grad()
                loss = (head(layer(x)[0][:, -1]) - x[:, -5, :1]).square().mean()
                loss.backward()
                norm = float(torch.nn.utils.clip_grad_norm_(parameters, limit))
                largest = max(largest, 0.05 * min(norm, limit))
                optimizer.step()
                losses.append(float(loss.detach()))
        found[f"{name} step"] = largest
        found[f"{name} loss"] = sum(losses[-20:]) / 20
    found["relief"] = found["plain step"] / found["clipped step"]
    return found


CLAIMS = (
    Claim(text="Singular values below 1 over the largest slope shrink gradients at every step.",
          place="section 2.1", experiment=matrices, number="bounded steps", high=0.95 + 1e-9, theirs="< 1", tolerance="0.95 as bound; rounding"),
    Claim(text="For the sigmoid gamma is 1/4: singular values up to 4 still vanish.", place="section 2.1", experiment=matrices,
          number="sigmoid steps", high=0.95 + 1e-9, theirs="< 1", tolerance="3.8 / 4 exactly as bound; rounding"),
    Claim(text="Beyond 1 gradients can explode: 1.1 times an orthogonal matrix does, by 1.1 per step.",
          place="section 2.1", experiment=matrices, number="exploding over theory", low=1 - 1e-6, high=1 + 1e-6, tolerance="exact; float64"),
    Claim(text="An orthogonal linear recurrence passes the gradient on whole.", place="section 2.1", experiment=matrices, number="orthogonal",
          low=1 - 1e-6, high=1 + 1e-6, tolerance="exact; a float32 matrix over 99 steps"),
    Claim(text="In the long run the spectral radius is the rate of a linear network.", place="section 2.1, power iteration", experiment=matrices,
          number="linear rate", low=0.97, high=1.06, tolerance="over 99 steps a non-normal matrix's transient is sqrt(H)^(1 / 99) = 2.5 %"),
    Claim(text="The default of today's libraries has a spectral radius of 1 / sqrt(3).", place="section 2.1 (not in the paper)", experiment=matrices,
          number="radius over theory", seeds=8, tolerance="circular law; the largest of 128 eigenvalues deviates by about 4 %",
          **dict(zip(("low", "high"), around(1.0, relative=0.12), strict=True))),
    Claim(text="So it forgets: over 100 steps of tanh the gradient vanishes.", place="section 2", experiment=matrices, number="default log10",
          high=-20.0, theirs="vanishes", tolerance="radius^99 = 10^-23.6 for linear units; slopes below 1 take more"),
    Claim(text="Clipping the norm bounds the steps that cliffs cause.", place="section 3.2, algorithm 1", experiment=clipping, number="relief",
          low=10.0, tolerance="the largest step without clipping is at least ten times that with it"),
)  # fmt: skip

FIGURES = {
    "2": Figure(
        title="the gradient on its way back through time", experiments=(matrices,), seeds=3,
        draw=partial(curves_over_layers, title="recurrent networks of 128 units", x="steps back in time",
                     y="|gradient| / |gradient at the last step|",
                     lines=(("exploding course", "linear, 1.1 x orthogonal"), ("orthogonal course", "linear, orthogonal"),
                            ("default course", "tanh, torch's default"), ("exploding theory", "theory: 1.1 a step"),
                            ("default theory", "theory: spectral radius 0.58 a step"))),
    ),
}  # fmt: skip
