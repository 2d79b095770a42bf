"""Online: Glorot and Bengio's networks in training, where every image is seen once, and what their layers do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from photic.lab import cache
from photic.lab.claims import Numbers, Size
from photic.lab.datasets.shapeset import shapeset
from photic.lab.tracing import plain, trace

Weights = Literal["standard", "normalized"]
MODULES: dict[str, Callable[[], nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softsign": nn.Softsign}
VARIANCES: dict[str, Callable[[int, int], float]] = {
    "standard": lambda fan_in, _: 1.0 / (3.0 * fan_in),  # equation 1
    "normalized": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),  # equation 16
}
SLOPES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {  # of the value that the activation gave
    nn.Sigmoid: lambda h: h * (1.0 - h),
    nn.Tanh: lambda h: 1.0 - h.square(),
    nn.Softsign: lambda h: (1.0 - h.abs()).square(),
}
SIZES: dict[Size, dict[str, int]] = {
    "quick": {"updates": 10_000, "every": 500, "width": 300},
    "full": {"updates": 60_000, "every": 1500, "width": 300},
    "paper": {"updates": 5_000_000, "every": 20_000, "width": 1000},  # section 2.3
}
_PROBED, _TESTED = 300, 3000  # images: the paper reads its activations on 300


def network(
    activation: str, weights: str, *, width: int, depth: int, seed: int, inputs: int = 1024, outputs: int = 9
) -> nn.Sequential:
    """Return `depth` hidden layers of `width` units with biases of 0, drawn as the paper draws them."""
    sizes = [inputs, *[width] * depth, outputs]
    return plain(sizes, MODULES[activation], VARIANCES[weights], seed=seed, uniform=True)


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return Shapeset images, pixels in [-1, 1], and their classes."""
    pixels, labels = shapeset(count, seed=seed)
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def course(
    activation: str,
    weights: str,
    *,
    seed: int,
    updates: int,
    every: int,
    depth: int = 5,
    width: int = 300,
    rate: float = 0.03,
    device: str = "cpu",
) -> Numbers:
    """Return what a training of SGD on batches of 10 shows, from the cache or run now.

    Lists over the readings, one each `every` updates: `errors` on 3,000 images; and for each hidden layer, on 300
    images: `means` and `deviations` of the activations, `percentiles` (the 98th of |activation|), and
    `weight gradients` (root mean square, by photic's audit). `histograms`: of the last activations, 101 bins from -1 to 1.

    Each course is kept by itself, so that a long reproduction goes on where it stopped. Images and initial values are drawn
    on the CPU, the same for every `device`.
    """
    question = {
        "activation": activation, "weights": weights, "seed": seed, "updates": updates, "every": every,
        "depth": depth, "width": width, "rate": rate, "device": torch.device(device).type,
    }  # fmt: skip
    name = f"online-{activation}-{weights}-{depth}-{updates}-{seed}-{cache.key('photic.lab.online', question)}.json"

    def run() -> Numbers:
        model = network(activation, weights, width=width, depth=depth, seed=seed).to(device)
        return _trained(model, seed=seed, updates=updates, every=every, rate=rate, device=device)

    return cache.kept(cache.folder() / "papers" / name, run)


def _trained(model: nn.Sequential, *, seed: int, updates: int, every: int, rate: float, device: str) -> Numbers:
    test, answers = (part.to(device) for part in images(_TESTED, 1000 + seed))
    found: Numbers = {"updates": list(range(0, updates + 1, every))}
    for name in ("errors", "means", "deviations", "percentiles", "weight gradients"):
        found[name] = []
    for start in found["updates"]:
        layers = [layer.cpu() for layer in _layers(model, test)]
        found["errors"].append(float((layers[-1].argmax(1) != answers.cpu()).double().mean()))
        hidden = [h[:_PROBED] for h in layers[:-1]]
        found["means"].append([float(h.mean()) for h in hidden])
        found["deviations"].append([float(h.std()) for h in hidden])
        found["percentiles"].append([float(np.quantile(h.abs().numpy(), 0.98)) for h in hidden])
        read = trace(model, (test[:_PROBED], answers[:_PROBED]))
        found["weight gradients"].append(read.weight_gradients[:-1])
        if start < updates:
            pixels, labels = images(10 * every, 1_000_000 * (seed + 1) + start)
            train(model, pixels.to(device), labels.to(device), rate=rate)
    found["histograms"] = [_histogram(h[:_PROBED].cpu()) for h in _layers(model, test)[:-1]]
    return found


def _layers(model: nn.Sequential, x: Tensor) -> list[Tensor]:
    """Return what every activation gives, and the output."""
    found: list[Tensor] = []
    with torch.no_grad():
        for layer in model:
            x = layer(x)
            if not isinstance(layer, nn.Linear):
                found.append(x)
    return [*found, x]


def train(model: nn.Sequential, pixels: Tensor, labels: Tensor, *, rate: float) -> None:
    """Update linear layers and activations by plain SGD on the cross-entropy of batches of 10, one after the other.

    Gradient and step are one product, so weights are read and written once: half of what autograd and an optimizer take.
    """
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    curves = [layer for layer in model if not isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for x, y in zip(pixels.split(10), labels.split(10), strict=True):
            signals = [x]
            for linear, curve in zip(linears[:-1], curves, strict=True):
                signals.append(curve(linear(signals[-1])))
            error = torch.softmax(linears[-1](signals[-1]), 1)
            error[torch.arange(len(y), device=y.device), y] -= 1.0
            step = -rate / len(y)
            for place in range(len(linears) - 1, -1, -1):
                weight, h = linears[place].weight, signals[place]
                below = (error @ weight) * SLOPES[type(curves[place - 1])](h) if place else error
                weight.addmm_(error.T, h, alpha=step)
                linears[place].bias.add_(error.sum(0), alpha=step)
                error = below


def _histogram(values: Tensor) -> list[float]:
    heights, _ = np.histogram(values.numpy().ravel(), bins=101, range=(-1.0, 1.0), density=True)
    return [float(height) for height in heights]
