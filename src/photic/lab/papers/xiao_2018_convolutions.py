"""Xiao et al. 2018: delta-orthogonal kernels carry the gradient through ten thousand plain convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.activations import find
from photic.initialisers.drawing import fill_delta_orthogonal, fill_normal
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches, digits
from photic.lab.drawings import curves_over_layers
from photic.theory.maps import critical_point

KEY = "xiao2018"
TITLE = "Dynamical isometry and a mean field theory of CNNs: how to train 10,000-layer vanilla convolutional neural networks"
FULL = (
    "10,000 layers, as deep as the paper's, of 16 channels at 4x4, 30 steps on the digits, one seed. The paper's "
    "own trainings are not run: their data are not here."
)


def _critical(length: float) -> tuple[float, float]:
    """Return (fan_in Var[w], Var[b]) of critical tanh networks whose signals have this mean square."""
    tanh = find("tanh")
    assert tanh is not None
    return critical_point(tanh, length=length)


def _kernels(count: int, channels: int, variance: float, orthogonal: bool, generator: torch.Generator) -> Tensor:
    kernels = torch.empty(count, channels, channels, 3, 3)
    for kernel in kernels:
        if orthogonal:
            fill_delta_orthogonal(kernel, gain=math.sqrt(variance), generator=generator)
        else:
            fill_normal(kernel, variance=variance / (9 * channels), generator=generator)
    return kernels


def _carried(depth: int, orthogonal: bool, seed: int) -> dict[str, Any]:
    """Return the gradient's norm below `depth` plain tanh convolutions over that above, and on the way down."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    channels = 16
    length = 1e-4
    weight_variance, bias_variance = _critical(length)
    z = torch.randn(2, channels, 4, 4, generator=generator)
    z = z * (length / z.square().mean()).sqrt()
    inputs, kernels = [], _kernels(depth, channels, weight_variance, orthogonal, generator)
    with torch.no_grad():
        for kernel in kernels:
            inputs.append(z)
            bias = torch.randn(channels, generator=generator) * math.sqrt(bias_variance)
            z = F.conv2d(F.pad(torch.tanh(z), (1, 1, 1, 1), mode="circular"), kernel, bias)
        g = torch.randn(z.shape, generator=generator)
        top = float(g.norm())
        flipped = kernels.flip(3, 4).transpose(1, 2)  # the transposed convolution, circular as well
        course = [1.0]
        for place, (kernel, h) in enumerate(zip(flipped.flip(0), reversed(inputs), strict=True), 1):
            g = F.conv2d(F.pad(g, (1, 1, 1, 1), mode="circular"), kernel) * (1.0 - torch.tanh(h).square())
            if place % max(1, depth // 200) == 0:
                course.append(float(g.double().norm()) / top)
    ratio = float(g.double().norm()) / top
    return {"ratio": ratio, "log10": math.log10(max(ratio, 1e-40)), "course": course}


def ten_thousand(seed: int, size: Size) -> Numbers:
    """Ten thousand plain tanh convolutions of 16 channels at 4x4, delta-orthogonal and Gaussian."""
    whole, lost = _carried(10_000, True, seed), _carried(10_000, False, seed)
    return {
        "delta-orthogonal": whole["ratio"],
        "gaussian log10": abs(lost["log10"]),
        "hundred": _carried(100, True, seed)["ratio"],
        "delta-orthogonal course": whole["course"],
        "gaussian course": lost["course"],
        "x": [50 * i for i in range(201)],
        "theory": [1.0] * 201,
    }


def kernels(seed: int, size: Size) -> Numbers:
    """One delta-orthogonal convolution as a linear map: does it keep the norm of every image?"""
    generator = torch.Generator()
    generator.manual_seed(seed)
    kernel = fill_delta_orthogonal(torch.empty(24, 16, 3, 3), generator=generator)
    images = torch.randn(50, 16, 8, 8, generator=generator)
    after = F.conv2d(images, kernel, padding=1)
    return {"norms": float((after.flatten(1).norm(dim=1) / images.flatten(1).norm(dim=1) - 1.0).abs().max())}


class _Deep(nn.Module):
    """A plain CNN on 8x8 images: one convolution, pooling to 4x4, then `kernels`, then a linear read-out."""

    def __init__(self, kernels: Tensor, length: float, generator: torch.Generator) -> None:
        super().__init__()
        channels = kernels.shape[1]
        self.first = nn.Parameter(
            fill_delta_orthogonal(torch.empty(channels, 4, 3, 3), generator=generator) * 2.0 * length**0.5
        )
        self.kernels = nn.ParameterList([nn.Parameter(kernel) for kernel in kernels])
        head = torch.empty(10, channels * 16)
        self.head = nn.Parameter(fill_normal(head, variance=1.0 / (channels * 16 * length), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        h = F.conv2d(F.pixel_unshuffle(x.view(-1, 1, 8, 8), 2), self.first, padding=1)
        for kernel in self.kernels:
            h = F.conv2d(F.pad(torch.tanh(h), (1, 1, 1, 1), mode="circular"), kernel)
        return F.linear(torch.tanh(h).flatten(1), self.head)


def _trained(depth: int, steps: int, orthogonal: bool, seed: int, *, every: int, device: str) -> Numbers:
    """Return the held-back accuracy of a plain tanh CNN in and after some steps of SGD, at a rate that falls as 1 / depth."""
    length = 0.01
    variance, _ = _critical(length)
    generator = torch.Generator()
    generator.manual_seed(seed)
    model = _Deep(_kernels(depth, 16, variance, orthogonal, generator), length, generator).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.3 / depth, momentum=0.9)
    course = [_accuracy(model, device)]
    for step, (x, y) in enumerate(batches(steps, seed=seed), 1):
        optimizer.zero_grad()
        F.cross_entropy(model(x.to(device)), y.to(device)).backward()
        optimizer.step()
        if step % every == 0:
            course.append(_accuracy(model, device))
    return {"accuracy": course[-1], "course": course, "x": list(range(0, steps + 1, every))}


def _accuracy(model: nn.Module, device: str) -> float:
    images, labels = digits()[1]
    with torch.no_grad():
        return float((model(images.to(device)).argmax(1).cpu() == labels).double().mean())


def training(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """A plain tanh CNN of 300 layers without skips or normalisation on the digits, 100 steps, both kernels."""
    found: Numbers = {}
    for name, orthogonal in (("delta-orthogonal", True), ("gaussian", False)):
        read = _trained(300, 100, orthogonal, seed, every=10, device=device)
        found[name], found[f"{name} course"], found["x"] = read["accuracy"], read["course"], read["x"]
    return {**found, "gap": found["delta-orthogonal"] - found["gaussian"]}


def deepest(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """The same with delta-orthogonal kernels: 1,000 layers, and in the full size 10,000, for 30 steps."""
    layers = 1000 if size == "quick" else 10_000
    return {**_trained(layers, 30, True, seed, every=5, device=device), "layers": layers}


CLAIMS = (
    Claim(text="A delta-orthogonal convolution keeps the norm of every image.", place="section 3, algorithm 1 and 2", experiment=kernels,
          number="norms", high=1e-5, tolerance="exact; rounding of float32"),
    Claim(text="A hundred plain tanh convolutions pass the gradient on whole.", place="abstract; section 4", experiment=ten_thousand,
          number="hundred", low=0.9, high=1.1, seeds=2, tolerance="chi = 1; squared singular values spread by 100 x 8 q^2, q = 1e-4"),
    Claim(text="So do ten thousand.", place="abstract", experiment=ten_thousand, number="delta-orthogonal", low=0.5, high=2.0, seeds=2,
          theirs="trainable", tolerance="within a factor of two of the whole: 16 channels, chi deviates by their finite number"),
    Claim(text="Gaussian kernels of the same critical variance do not: the gradient of one network changes by many orders.",
          place="section 4, figure 4", experiment=ten_thousand, number="gaussian log10", low=5.0, seeds=2,
          tolerance="more than five orders of magnitude either way"),
    Claim(text="A plain CNN of 300 layers without skips or normalisation trains with delta-orthogonal kernels.", place="abstract; figure 1",
          experiment=training, number="delta-orthogonal", low=0.7, theirs="trains", seeds=2, tolerance="held-back digits, 100 steps; chance 10 %"),
    Claim(text="At that depth Gaussian kernels train far slower.", place="figure 4", experiment=training, number="gap", low=0.3, seeds=2,
          tolerance="at least 30 points behind after the same steps"),
    Claim(text="And so does one of a thousand layers.", place="abstract; figure 1", experiment=deepest, number="accuracy", low=0.7, seeds=1,
          theirs="trains", tolerance="held-back digits, 30 steps; chance 10 %"),
    Claim(text="And so does one of ten thousand layers.", place="abstract; figure 1", experiment=deepest, number="accuracy", low=0.7, seeds=1,
          size="full", theirs="trains", tolerance="held-back digits, 30 steps; chance 10 %"),
)  # fmt: skip


def _trainings(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw the accuracy over the steps: both kernels at 300 layers, and the deepest network that was trained."""
    shallow, deep = parts
    together: Numbers = {"chance theory": [0.1, 0.1], "chance theory x": [0, 100]}
    for name, part, course in (
        ("delta", shallow, "delta-orthogonal course"),
        ("deepest", deep, "course"),
        ("gaussian", shallow, "gaussian course"),
    ):
        together[name], together[f"{name} x"] = part[course], part["x"]
    return curves_over_layers(
        [together], path, log=False, title="plain tanh CNNs of 16 channels on the digits, no skips, no normalisation",
        x="steps of SGD", y="held-back accuracy",
        lines=(("delta", "300 layers, delta-orthogonal"), ("deepest", f"{deep['layers']:,} layers, delta-orthogonal"),
               ("gaussian", "300 layers, Gaussian"), ("chance theory", "theory: chance")),
    )  # fmt: skip


def _gradients(parts: Sequence[Numbers], path: Path) -> Path:
    return curves_over_layers(
        parts, path, title="plain tanh convolutions of 16 channels at initialisation, chi = 1; below 1e-43 float32 ends",
        x="layers below the top", y="|gradient| / |gradient at the top|",
        lines=(("delta-orthogonal course", "delta-orthogonal"), ("gaussian course", "Gaussian"), ("theory", "theory: isometry")),
    )  # fmt: skip


FIGURES = {
    "1": Figure(title="accuracy in training, by depth and kernel", experiments=(training, deepest), draw=_trainings),
    "gradient": Figure(
        title="the gradient through ten thousand layers", experiments=(ten_thousand,), draw=_gradients, seeds=2
    ),
}
