"""Klambauer et al. 2017: SELU keeps mean 0 and variance 1 by itself."""

from __future__ import annotations

from functools import partial

import torch

from photic.activations import find
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.drawings import curves_over_layers
from photic.lab.tracing import plain
from photic.theory.maps import gradient_gain
from photic.theory.moments import length_slope, mean, mean_square

KEY = "klambauer2017"
TITLE = "Self-normalizing neural networks"
FULL = (
    "the quick size is the only one: 100 layers of 512 units at the start. The paper's trainings, on 121 tasks of "
    "the UCI collection, in drug discovery and in astronomy, are not run: their data are not here."
)


def theory(seed: int, size: Size) -> Numbers:
    """SELU under a standard normal: mean, mean square, slope of the length map, gain of the gradient."""
    selu = find("selu")
    assert selu is not None
    return {
        "mean": mean(selu, variance=1.0).value,
        "square": mean_square(selu, variance=1.0).value,
        "slope": length_slope(selu, variance=1.0),
        "gain": gradient_gain(selu, weight_variance=1.0, length=1.0),
    }


def deep(seed: int, size: Size) -> Numbers:
    """100 SELU layers of 512 units with Var[w] = 1 / n from inputs of variance 0.25 and 4: mean and variance at the end."""
    found: Numbers = {}
    model = plain([*[512] * 101, 10], torch.nn.SELU, lambda fan_in, _: 1.0 / fan_in, seed=seed)
    generator = torch.Generator()
    generator.manual_seed(100 + seed)
    for start in (0.25, 4.0):
        with torch.no_grad():
            h = torch.randn(200, 512, generator=generator) * start**0.5
            course = [float(h.var())]
            for layer in list(model)[:-1]:
                h = layer(h)
                if isinstance(layer, torch.nn.SELU):
                    course.append(float(h.var()))
        found[f"mean {start}"] = float(h.mean())
        found[f"variance {start}"] = float(h.var())
        found[f"course {start}"] = course
    found["x"] = list(range(101))
    found["theory"] = [1.0] * 101
    return found


_FINITE = (
    "512 units: a layer's own deviation is sqrt(kappa / 512) = 6 %, held by a length map of slope 0.78 at about 10 %"
)

CLAIMS = (
    Claim(text="Mean 0 is a fixed point of SELU.", place="section 2, theorem 1", experiment=theory, number="mean", low=-1e-7, high=1e-7,
          theirs="0", tolerance="the printed constants have nine digits"),
    Claim(text="So is variance 1.", place="section 2, theorem 1", experiment=theory, number="square", low=1 - 1e-7, high=1 + 1e-7,
          theirs="1", tolerance="the printed constants have nine digits"),
    Claim(text="The fixed point attracts: the slope of the variance map is 0.78.", place="theorem 1", experiment=theory, number="slope",
          low=0.78, high=0.79, theirs="0.7877 for the Jacobian's norm", tolerance="0.783, second digit"),
    Claim(text="A hundred layers bring inputs of variance 1/4 to variance 1.", place="theorem 3", experiment=deep, number="variance 0.25",
          low=0.8, high=1.2, tolerance=_FINITE),
    Claim(text="And those of variance 4.", place="theorem 2", experiment=deep, number="variance 4.0", low=0.8, high=1.2, tolerance=_FINITE),
    Claim(text="Means stay near 0.", place="theorem 1", experiment=deep, number="mean 4.0", low=-0.05, high=0.05,
          tolerance="a mean of 512 weights' signals deviates by 1 / sqrt(512) = 0.044, averaged over units and three seeds"),
    Claim(text="Vanishing and exploding gradients are impossible.", place="abstract; theorems 2 and 3", experiment=theory, number="gain",
          low=0.99, high=1.01, theirs="impossible", tolerance="1 % per layer",
          note="What is kept is the signal. The gradient grows by chi = 1.0716 in the mean square per layer at the fixed point: it explodes, "
               "with a depth scale of 14.5 layers, a thousandfold over a hundred."),
)  # fmt: skip

FIGURES = {
    "1": Figure(
        title="the variance of the activations over a hundred SELU layers", experiments=(deep,), seeds=3,
        draw=partial(curves_over_layers, title="SELU, 512 units, Var[w] = 1 / n", x="layer (0: the input)", y="variance of the activations",
                     lines=(("course 0.25", "from variance 1/4"), ("course 4.0", "from variance 4"), ("theory", "theory: fixed point 1"))),
    ),
}  # fmt: skip
