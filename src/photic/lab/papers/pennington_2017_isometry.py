"""Pennington, Schoenholz & Ganguli 2017: all singular values near 1, not only their mean square."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from photic.activations import find
from photic.initialisers.drawing import fill_orthogonal
from photic.lab.claims import Claim, Figure, Numbers, Size, around
from photic.lab.datasets.digits import batches
from photic.lab.drawings import curves_over_layers
from photic.lab.stacks import Plain, train
from photic.theory.depth_scales import critical_at
from photic.theory.maps import critical_point
from photic.theory.spectra import gaussian_product_edge, squared_singular_value_variance

KEY = "pennington2017"
TITLE = "Resurrecting the sigmoid in deep learning through dynamical isometry: theory and practice"
FULL = (
    "the quick size is the only one: Jacobians of 400 units, trainings of 64 layers of 64 units on the digits. "
    "The paper's own trainings are not run: their data are not here."
)
_WIDTH = 400


def _squares(
    name: str, *, depth: int, weight_variance: float, bias_variance: float, length: float, orthogonal: bool, seed: int
) -> Tensor:
    """Return the squared singular values of d z_L / d z_0 at one input of the fixed length."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    curve = find(name)
    assert curve is not None
    z = torch.randn(_WIDTH, generator=generator, dtype=torch.float64)
    z = z / z.square().mean().sqrt() * math.sqrt(length)
    jacobian = torch.eye(_WIDTH, dtype=torch.float64)
    for _ in range(depth):
        if orthogonal:
            w = fill_orthogonal(
                torch.empty(_WIDTH, _WIDTH, dtype=torch.float64), gain=math.sqrt(weight_variance), generator=generator
            )
        else:
            w = torch.randn(_WIDTH, _WIDTH, generator=generator, dtype=torch.float64) * math.sqrt(
                weight_variance / _WIDTH
            )
        values = z.numpy()
        jacobian = w @ (torch.from_numpy(curve.slope(values))[:, None] * jacobian)
        z = w @ torch.from_numpy(curve.value(values))
        z = z + torch.randn(_WIDTH, generator=generator, dtype=torch.float64) * math.sqrt(bias_variance)
    return torch.linalg.svdvals(jacobian).square()


def linear(seed: int, size: Size) -> Numbers:
    """Linear networks of 20 layers and 400 units."""
    shared: Any = {"depth": 20, "weight_variance": 1.0, "bias_variance": 0.0, "length": 1.0, "seed": seed}
    gaussian = _squares("identity", orthogonal=False, **shared)
    orthogonal = _squares("identity", orthogonal=True, **shared)
    return {
        "mean": float(gaussian.mean()),
        "edge": float(gaussian.max()) / gaussian_product_edge(20),
        "orthogonal": float((orthogonal - 1.0).abs().max()),
    }


def critical(seed: int, size: Size) -> Numbers:
    """Critical tanh and ReLU networks of 400 units with orthogonal weights, and Gaussian ones."""
    tanh = find("tanh")
    assert tanh is not None
    found: Numbers = {}
    for length in (0.01, 0.2):
        variance, bias = critical_point(tanh, length=length)
        shared: Any = {"weight_variance": variance, "bias_variance": bias, "length": length, "seed": seed}
        for name, orthogonal in (("orthogonal", True), ("gaussian", False)):
            squares = _squares("tanh", depth=10, orthogonal=orthogonal, **shared)
            theory = squared_singular_value_variance(tanh, length=length, depth=10, orthogonal=orthogonal)
            found[f"{name} {length}"] = float((squares / squares.mean()).var()) / theory
            found[f"{name} {length} largest"] = float(squares.max())
            found[f"{name} {length} values"] = _sorted(squares)
    relu = _squares("relu", depth=20, weight_variance=2.0, bias_variance=0.0, length=1.0, orthogonal=True, seed=seed)
    found["x"] = [100.0 * (i + 0.5) / _WIDTH for i in range(_WIDTH)]
    found["relu values"] = _sorted(relu)
    found["relu largest"] = float(relu.max())
    found["relu dead share"] = float((relu < 1e-6).double().mean())
    return found


def _sorted(squares: Tensor) -> list[float]:
    """Return the singular values, largest first; what is below 1e-6 is rounding and is cut there."""
    return squares.sqrt().sort(descending=True).values.clamp_min(1e-6).tolist()


def learning(seed: int, size: Size) -> Numbers:
    """Tanh networks of 64 layers and 64 units on the digits: steps to a loss of 1, orthogonal and Gaussian, best of three rates."""
    tanh = find("tanh")
    assert tanh is not None
    point = critical_at(tanh, bias_variance=1e-4)
    assert point is not None
    found: Numbers = {}
    for weights in ("orthogonal", "normal"):
        fastest = 600
        for rate in (0.003, 0.01, 0.03):
            net = Plain(
                "tanh",
                64,
                64,
                64,
                10,
                point.weight_variance,
                1e-4,
                weights=weights,
                optimizer="momentum",
                learning_rate=rate,
                seed=seed,
            )
            smooth = train([net], batches(fastest, seed=seed)).losses[0].unfold(0, min(20, fastest), 1).mean(1)
            reached = (smooth < 1.0).nonzero()
            fastest = min(fastest, int(reached[0]) + 20) if len(reached) else fastest
        found[weights] = float(fastest)
    found["speed"] = found["normal"] / found["orthogonal"]
    return found


_WIDE = "400 units; the largest of a heavy tail: 30 %"

CLAIMS = (
    Claim(text="At chi = 1 the mean squared singular value of a Gaussian network is 1 at any depth.", place="section 2.2", experiment=linear,
          number="mean", theirs="1", tolerance="chi^20 = 1; it deviates by sqrt(2 x 20) / 400 = 1.6 %, its tail by more",
          **dict(zip(("low", "high"), around(1.0, relative=0.1), strict=True))),
    Claim(text="Yet its largest squared singular value grows linearly with depth: (L + 1)^(L + 1) / L^L.", place="section 2.4, linear networks",
          experiment=linear, number="edge", seeds=8, low=0.75, high=1.15, theirs="about e L",
          tolerance=_WIDE + " below, as finite width cuts the edge"),
    Claim(text="Orthogonal linear networks reach dynamical isometry exactly: every singular value is 1.", place="section 2.4", experiment=linear,
          number="orthogonal", high=1e-10, theirs="1", tolerance="exact; float64"),
    Claim(text="With small signals orthogonal tanh networks come near isometry.", place="section 2.5.3; figure 1", experiment=critical,
          number="orthogonal 0.01 largest", low=1.0, high=1.5, theirs="bounded", tolerance="10 layers spread by 10 (mu_2 / mu_1^2 - 1) = 0.008"),
    Claim(text="The variance of their squared singular values is L (mu_2 / mu_1^2 - 1).", place="equation 16", experiment=critical,
          number="orthogonal 0.01", low=0.8, high=1.2, tolerance="second moment of 400 values in three networks: 10 %; length drifting: 10 %"),
    Claim(text="For Gaussian weights it is L (mu_2 / mu_1^2).", place="equation 16 with s_1 = -1", experiment=critical, number="gaussian 0.2",
          low=0.75, high=1.2, tolerance="dominated by the largest values: " + _WIDE),
    Claim(text="ReLU networks cannot reach isometry: with orthogonal weights the largest value still grows.", place="section 2.5.1; abstract",
          experiment=critical, number="relu largest", low=20.0, theirs="no isometry", tolerance="far from 1 at 20 layers"),
    Claim(text="And most of their singular values are almost 0.", place="section 2.5.1", experiment=critical, number="relu dead share", low=0.4,
          tolerance="each layer closes half of its units; at least 40 % of the directions are lost after 20"),
    Claim(text="Deep orthogonal tanh networks learn faster than Gaussian ones.", place="section 3; figure 4", experiment=learning, number="speed",
          low=1.5, theirs="orders of magnitude", tolerance="at least half as many steps again, best of three learning rates each"),
)  # fmt: skip

FIGURES = {
    "1": Figure(
        title="singular values of the whole Jacobian", experiments=(critical,), seeds=3,
        draw=partial(curves_over_layers, title="critical networks of 400 units", x="share of the singular values that are larger, %",
                     y="singular value (cut at 1e-6)",
                     lines=(("orthogonal 0.01 values", "tanh, 10 layers, orthogonal, q = 0.01"),
                            ("gaussian 0.01 values", "tanh, 10 layers, Gaussian, q = 0.01"),
                            ("orthogonal 0.2 values", "tanh, 10 layers, orthogonal, q = 0.2"),
                            ("relu values", "ReLU, 20 layers, orthogonal"))),
    ),
}  # fmt: skip
