"""Zhang, Botev & Martens 2022: tailored rectifiers, so that deep plain networks of leaky ReLU train."""

from __future__ import annotations

import math
from functools import partial

from torch import nn

from photic.initialisers.tailored import tailored_leaky_relu
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.drawings import curves_over_layers
from photic.lab.papers.martens_2021_dks import correlation_after, network, trained
from photic.theory.laws import relu_correlation

KEY = "zhang2022tat"
TITLE = "Deep learning without shortcuts: shaping the kernel with tailored rectifiers"
FULL = (
    "the quick size is the only one: plain networks of 100 layers on the digits. The paper's deep networks on "
    "ImageNet, with K-FAC and without, are not run: neither the data nor K-FAC are here."
)


def slopes(seed: int, size: Size) -> Numbers:
    """The slope for depths 50 and 200 and what it does to correlations, in theory and in a network of 128 units."""
    found: Numbers = {}
    for depth in (50, 200):
        slope = tailored_leaky_relu(depth=depth)
        c = 0.0
        for _ in range(depth):
            c = relu_correlation(c, slope=slope)
        found[f"slope {depth}"], found[f"end {depth}"] = slope, c
    slope = found["slope 50"]
    model = network(50, nn.LeakyReLU(slope), math.sqrt(2.0 / (1.0 + slope**2)), seed)
    depths = (1, 2, 5, 10, 20, 35, 50)
    found["x"] = list(depths)
    found["tailored course"] = [correlation_after(model, depth, 0.0, seed) for depth in depths]
    for name, leak in (("tailored", slope), ("relu", 0.0)):
        c, course = 0.0, list[float]()
        for _ in range(50):
            c = relu_correlation(c, slope=leak)
            course.append(c)
        found[f"{name} theory"] = [course[depth - 1] for depth in depths]
    found["measured"] = correlation_after(model, 50, 0.0, seed)
    relu = network(50, nn.ReLU(), math.sqrt(2.0), seed)
    found["relu course"] = [correlation_after(relu, depth, 0.0, seed) for depth in depths]
    found["relu"] = correlation_after(relu, 50, 0.0, seed)
    return found


def training(seed: int, size: Size) -> Numbers:
    """Plain networks of 100 layers and 128 units on the digits, Adam: tailored leaky ReLU, and ReLU."""
    slope = tailored_leaky_relu(depth=100)
    tailored = network(100, nn.LeakyReLU(slope), math.sqrt(2.0 / (1.0 + slope**2)), seed)
    relu = network(100, nn.ReLU(), math.sqrt(2.0), seed)
    found: Numbers = {
        name: trained(model, rate=3e-4, steps=150, seed=seed)
        for name, model in (("tailored", tailored), ("relu", relu))
    }
    return {**found, "gap": found["tailored"] - found["relu"]}


CLAIMS = (
    Claim(text="Some slope of leaky ReLU brings orthogonal inputs to 0.9 at depth 50.", place="section 4.1, eta = 0.9", experiment=slopes,
          number="end 50", low=0.9 - 1e-6, high=0.9 + 1e-6, theirs="0.9", tolerance="the definition; root found to 1e-14"),
    Claim(text="At depth 200 too, with a slope nearer to 1.", place="section 4.1", experiment=slopes, number="end 200",
          low=0.9 - 1e-6, high=0.9 + 1e-6, theirs="0.9", tolerance="the definition; root found to 1e-14"),
    Claim(text="Real networks of that depth do so.", place="section 4.1", experiment=slopes, number="measured", seeds=12, low=0.85, high=0.95,
          tolerance="0.9 for infinite width; 128 units: 5 points"),
    Claim(text="With ReLU all inputs become one.", place="section 3; figure 1", experiment=slopes, number="relu", low=0.97, theirs="degenerate",
          tolerance="0.99 in theory at depth 50"),
    Claim(text="Plain networks of a hundred tailored layers train.", place="section 5", experiment=training, number="tailored", low=0.85, seeds=4,
          theirs="competitive with ResNets", tolerance="held-back digits after 150 steps of Adam"),
    Claim(text="Plain ReLU networks of that depth lag far behind.", place="section 5", experiment=training, number="gap", low=0.25, seeds=4,
          tolerance="at least 25 points"),
)  # fmt: skip

FIGURES = {
    "1": Figure(
        title="correlation of two orthogonal inputs along depth", experiments=(slopes,), seeds=3,
        draw=partial(curves_over_layers, title="50 plain layers of 128 units", x="layers", y="correlation", log=False, log_x=True,
                     lines=(("tailored course", "leaky ReLU, tailored"), ("relu course", "ReLU"), ("tailored theory", "theory: tailored"),
                            ("relu theory", "theory: ReLU"))),
    ),
}  # fmt: skip
