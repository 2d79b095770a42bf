"""Poole et al. 2016: the length and the correlation maps of wide random networks."""

from __future__ import annotations

import math

import torch

from photic.activations import find
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.drawings import curves_over_layers
from photic.theory.depth_scales import fixed_point
from photic.theory.maps import length_map

KEY = "poole2016"
TITLE = "Exponential expressivity in deep neural networks through transient chaos"
FULL = "the quick size is the only one: networks of 1,000 units at the start, where all its claims are."
_WIDTH = 1000


def _forward(
    pair: torch.Tensor, weight_variance: float, bias_variance: float, depth: int, seed: int
) -> list[torch.Tensor]:
    generator = torch.Generator()
    generator.manual_seed(seed)
    found: list[torch.Tensor] = []
    for _ in range(depth):
        w = torch.randn(_WIDTH, _WIDTH, generator=generator) * math.sqrt(weight_variance / _WIDTH)
        pair = torch.tanh(pair) @ w.T + torch.randn(_WIDTH, generator=generator) * math.sqrt(bias_variance)
        found.append(pair)
    return found


def lengths(seed: int, size: Size) -> Numbers:
    """Tanh, fan_in Var[w] = 4, Var[b] = 0.09: mean squares layer by layer from a short and a long input."""
    tanh = find("tanh")
    assert tanh is not None
    generator = torch.Generator()
    generator.manual_seed(100 + seed)
    found: Numbers = {}
    for name, start in (("short", 0.1), ("long", 15.0)):
        x = torch.randn(2, _WIDTH, generator=generator) * math.sqrt(start)
        measured = [float(z.square().mean()) for z in _forward(x, 4.0, 0.09, 10, seed)]
        q, theory = start, list[float]()
        for _ in range(10):
            q = length_map(tanh, weight_variance=4.0, bias_variance=0.09, length=q)
            theory.append(q)
        found[name], found[f"{name} theory"] = measured, theory
        found[f"{name} gap"] = max(abs(m / t - 1.0) for m, t in zip(measured, theory, strict=True))
    found["meeting"] = abs(found["short"][7] / found["long"][7] - 1.0)
    return found


def correlations(seed: int, size: Size) -> Numbers:
    """Tanh, Var[b] = 0.09: correlation of two inputs after 30 layers, ordered and chaotic, from near and far starts."""
    tanh = find("tanh")
    assert tanh is not None
    found: Numbers = {}
    for name, variance in (("ordered", 1.0), ("chaotic", 6.25)):
        point = fixed_point(tanh, weight_variance=variance, bias_variance=0.09)
        for start in (0.1, 0.95):
            generator = torch.Generator()
            generator.manual_seed(100 + seed)
            x, other = torch.randn(2, _WIDTH, generator=generator) * math.sqrt(point.length)
            pair = torch.stack((x, start * x + math.sqrt(1 - start**2) * other))
            course = [
                float(torch.cosine_similarity(z[0], z[1], dim=0)) for z in _forward(pair, variance, 0.09, 30, seed)
            ]
            found[f"{name} {start} gap"] = sum(course[20:]) / 10 - point.correlation
    return found


def chaos(seed: int, size: Size) -> Numbers:
    """How fast two inputs that differ by a millionth part, in the chaotic phase: against chi."""
    tanh = find("tanh")
    assert tanh is not None
    point = fixed_point(tanh, weight_variance=6.25, bias_variance=0.09)
    generator = torch.Generator()
    generator.manual_seed(100 + seed)
    x, other = torch.randn(2, _WIDTH, generator=generator, dtype=torch.float64) * math.sqrt(point.length)
    pair = torch.stack((x, x + 1e-6 * other))
    distances: list[float] = []
    for _ in range(12):
        w = torch.randn(_WIDTH, _WIDTH, generator=generator).double() * math.sqrt(6.25 / _WIDTH)
        pair = torch.tanh(pair) @ w.T + torch.randn(_WIDTH, generator=generator).double() * 0.3
        distances.append(float((pair[0] - pair[1]).square().sum()))
    return {"rate over theory": math.log(distances[11] / distances[1]) / (10 * math.log(point.gain))}


_WIDE = (
    "1,000 units: a mean square deviates by sqrt(2 / 1000) = 4.5 % at most; three of them for the largest of ten layers"
)

CLAIMS = (
    Claim(text="The mean square of a layer's inputs follows a deterministic map, from short inputs.", place="figure 1", experiment=lengths,
          number="short gap", high=0.135, theirs="excellent agreement", tolerance=_WIDE),
    Claim(text="And from long ones.", place="equation 3; figure 1", experiment=lengths, number="long gap", high=0.135, tolerance=_WIDE),
    Claim(text="Within a few layers the start is forgotten: both have the same length.", place="section 2; figure 1", experiment=lengths,
          number="meeting", high=0.07, theirs="about four layers", tolerance="a mean square of 2 x 1,000 units deviates by 3.2 %, twice"),
    Claim(text="With small weights any two inputs converge: c* = 1.", place="section 3; figure 2", experiment=correlations,
          number="ordered 0.1 gap", low=-0.01, high=0.001, theirs="c* = 1", tolerance="xi_c = 3: exp(-20 / 3) is left"),
    Claim(text="With large ones even near inputs come apart, to the c* of theory.", place="section 3; figure 2", experiment=correlations,
          number="chaotic 0.95 gap", seeds=12, low=-0.06, high=0.06, theirs="c* < 1", tolerance="a cosine of 1,000 units deviates by 0.03"),
    Claim(text="Far inputs end at the same c*.", place="section 3; figure 2", experiment=correlations, number="chaotic 0.1 gap", seeds=12,
          low=-0.06, high=0.06, tolerance="a cosine of 1,000 units deviates by 0.03"),
    Claim(text="In the chaotic phase small differences grow by chi per layer.", place="section 3, stretching by chi_1", experiment=chaos,
          number="rate over theory", seeds=12, low=0.945, high=1.055, tolerance="10 ln chi = 4.6 deviates by 5.9 %; three of 12 seeds"),
)  # fmt: skip

FIGURES = {
    "1": Figure(
        title="the length map", experiments=(lengths,), seeds=3,
        draw=lambda parts, path: curves_over_layers(
            parts, path, log=False, title="tanh, fan_in Var[w] = 4, Var[b] = 0.09", x="layer", y="mean square of the pre-activations",
            lines=tuple((f"{name}{kind}", f"{name} input{kind and ', theory'}") for name in ("short", "long") for kind in ("", " theory"))),
    ),
}  # fmt: skip
