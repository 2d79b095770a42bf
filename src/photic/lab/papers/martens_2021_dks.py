"""Martens et al. 2021: Deep Kernel Shaping lets plain deep networks train without skips or normalisation."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from photic.activations import find
from photic.initialisers.drawing import fill_orthogonal
from photic.initialisers.tailored import Tailored, deep_kernel_shaping
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches, digits
from photic.lab.drawings import curves_over_layers
from photic.theory.laws import relu_correlation
from photic.theory.moments import expectation

KEY = "martens2021"
TITLE = (
    "Rapid training of deep neural networks without skip connections or normalization layers using Deep Kernel Shaping"
)
FULL = (
    "the quick size is the only one: plain networks of 100 layers on the digits. The paper's networks on ImageNet "
    "and CIFAR-10, those without skips trained by K-FAC, are not run: neither the data nor K-FAC are here."
)


class Shaped(nn.Module):
    """An activation, scaled and shifted inside and out."""

    def __init__(self, shape: Tailored) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the shaped activation of x."""
        s = self.shape
        return s.output_scale * (torch.tanh(s.input_scale * x + s.input_shift) + s.output_shift)


def network(depth: int, activation: nn.Module, gain: float, seed: int, *, width: int = 128) -> nn.Sequential:
    """Return a plain network with orthogonal weights times `gain` and no bias at the start."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for place in range(depth):
        linear = nn.utils.skip_init(nn.Linear, 64 if place == 0 else width, width)
        first = math.sqrt(width / 64) if place == 0 else 1.0  # a wider layer's columns are orthonormal: keep the length
        for name, parameter in linear.named_parameters():
            if name == "weight":
                fill_orthogonal(parameter, gain=gain * first, generator=generator)
            else:
                nn.init.zeros_(parameter)
        layers += [linear, activation]
    head = nn.utils.skip_init(nn.Linear, width, 10)
    for name, parameter in head.named_parameters():
        fill_orthogonal(parameter, generator=generator) if name == "weight" else nn.init.zeros_(parameter)
    return nn.Sequential(*layers, head)


def trained(model: nn.Sequential, *, rate: float, steps: int, seed: int) -> float:
    """Return the held-back accuracy after training with Adam; 0 for one that diverged."""
    _, (images, labels) = digits()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for x, y in batches(steps, seed=seed):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        out = model(images)
        return float(((out.argmax(1) == labels) & out.isfinite().all(1)).double().mean())


def correlation_after(model: nn.Sequential, hidden: int, start: float, seed: int) -> float:
    """Return the mean correlation of pairs of inputs of correlation `start` after `hidden` layers."""
    generator = torch.Generator().manual_seed(seed)
    x, other = torch.randn(2, 64, 64, generator=generator)
    x = x / x.square().mean(1, keepdim=True).sqrt()
    other = other - (other * x).mean(1, keepdim=True) * x
    other = other / other.square().mean(1, keepdim=True).sqrt()
    with torch.no_grad():
        a, b = (model[: 2 * hidden](z) for z in (x, start * x + math.sqrt(1 - start**2) * other))
    return float(torch.cosine_similarity(a, b, dim=1).mean())


def _relu_correlation(depth: int) -> float:
    c = 0.0
    for _ in range(depth):
        c = relu_correlation(c, slope=0.0)
    return c


def conditions(seed: int, size: Size) -> Numbers:
    """The four conditions, by quadrature, for tanh at depth 100; and the network's own correlations."""
    tanh = find("tanh")
    assert tanh is not None
    shape = deep_kernel_shaping(tanh, depth=100)
    value, slope = (lambda z: shape.value(tanh, z)), (lambda z: shape.slope(tanh, z))
    plain = network(100, nn.Tanh(), 1.0, seed)
    shaped, relu = network(100, Shaped(shape), 1.0, seed), network(100, nn.ReLU(), math.sqrt(2.0), seed)
    depths = (1, 2, 5, 10, 20, 50, 100)
    return {
        "x": list(depths),
        "shaped course": [correlation_after(shaped, depth, 0.0, seed) for depth in depths],
        "relu course": [correlation_after(relu, depth, 0.0, seed) for depth in depths],
        "relu theory": [_relu_correlation(depth) for depth in depths],
        "Q(1)": expectation(lambda z: value(z) ** 2).value,
        "C(0)": expectation(value).value,
        "C'(1)": expectation(lambda z: slope(z) ** 2).value ** 100,
        "Q'(1)": expectation(lambda z: value(z) * slope(z) * z).value,
        "shaped correlation": correlation_after(shaped, 100, 0.0, seed),
        "relu correlation": correlation_after(relu, 100, 0.0, seed),
        "plain signal": float(plain[:200](torch.ones(1, 64)).square().mean().detach()),
    }


def training(seed: int, size: Size) -> Numbers:
    """Plain networks of 100 layers and 128 units on the digits, Adam: shaped tanh, and ReLU with He's gain."""
    tanh = find("tanh")
    assert tanh is not None
    shaped = network(100, Shaped(deep_kernel_shaping(tanh, depth=100)), 1.0, seed)
    relu = network(100, nn.ReLU(), math.sqrt(2.0), seed)
    return {
        name: trained(model, rate=3e-4, steps=150, seed=seed) for name, model in (("shaped", shaped), ("relu", relu))
    }


_EXACT = "the definition, by quadrature of the constants found"

CLAIMS = (
    Claim(text="The shaped activation keeps lengths: Q(1) = 1.", place="section 3, conditions", experiment=conditions, number="Q(1)",
          low=1 - 1e-6, high=1 + 1e-6, tolerance=_EXACT),
    Claim(text="Uncorrelated inputs stay uncorrelated: C(0) = 0.", place="section 3, conditions", experiment=conditions, number="C(0)",
          low=-1e-6, high=1e-6, tolerance=_EXACT),
    Claim(text="The whole network's slope C'(1) is 1.5 at any depth.", place="section 3, zeta = 1.5", experiment=conditions, number="C'(1)",
          low=1.5 - 1e-4, high=1.5 + 1e-4, theirs="1.5", tolerance=_EXACT),
    Claim(text="Lengths neither converge nor run away: Q'(1) = 1.", place="section 3, conditions", experiment=conditions, number="Q'(1)",
          low=1 - 1e-5, high=1 + 1e-5, tolerance=_EXACT),
    Claim(text="So two different inputs are told apart after a hundred layers.", place="section 2", experiment=conditions,
          number="shaped correlation", low=-0.25, high=0.25, tolerance="0 in theory; 128 units over 100 layers"),
    Claim(text="Through a hundred plain ReLU layers they become the same.", place="section 2", experiment=conditions, number="relu correlation",
          low=0.97, theirs="degenerate C map", tolerance="1 - 9 pi^2 / (2 L^2) = 0.996 in theory"),
    Claim(text="A plain network of a hundred layers then trains.", place="section 7", experiment=training, number="shaped", low=0.85, seeds=3,
          theirs="as fast as a ResNet, with K-FAC", tolerance="held-back digits after 150 steps of Adam"),
    Claim(text="The same with ReLU and He's gain lags far behind.", place="section 7", experiment=training, number="relu", high=0.6, seeds=3,
          tolerance="at least 25 points behind the range above"),
)  # fmt: skip

FIGURES = {
    "correlation": Figure(
        title="correlation of two orthogonal inputs along depth", experiments=(conditions,), seeds=3,
        draw=partial(curves_over_layers, title="100 plain layers of 128 units", x="layers", y="correlation", log=False, log_x=True,
                     lines=(("shaped course", "tanh shaped by DKS"), ("relu course", "ReLU, He's gain"), ("relu theory", "theory: ReLU"))),
    ),
}  # fmt: skip
