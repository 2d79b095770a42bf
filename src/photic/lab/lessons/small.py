"""Small experiments: one neuron, a network whose every delta can be read, time, small numbers, the phase diagram."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from photic.activations import Activation, find
from photic.lab.lessons.knobs import ACTIVATIONS, Knobs, built, dataset
from photic.probes.generators import seeded
from photic.theory.atlas import phase_diagram
from photic.theory.moments import mean_square, slope_square

PHASES = ("tanh", "sigmoid", "relu", "softsign", "gelu")


def neuron(activation: str) -> dict[str, Any]:
    """Return value and slope along x, from the formula and from autograd; the largest slope."""
    function = ACTIVATIONS[activation]
    x = (torch.arange(-80, 81, dtype=torch.float64) / 10.0).requires_grad_()  # tenths, and 0 exactly
    y = function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    known = find(activation)
    assert known is not None
    points = x.detach().numpy()
    return {
        "x": points.tolist(),
        "value": y.tolist(),
        "measured": slope.tolist(),
        "formula": np.asarray(known.slope(points), dtype=float).tolist(),
        "largest": known.largest_slope,
    }


def backpropagation(activation: str, *, seed: int = 0, scale: float = 1.0) -> dict[str, Any]:
    """Return a network of 2, 2, 2 and 1 units: weights, values and, for every unit, delta by formula and by autograd.

    delta of the output is a - target (squared error, half of it, no activation at the top); below it
    delta_i = slope(z_i) * sum_j W_ji delta_j.
    """
    function, known = ACTIVATIONS[activation], find(activation)
    assert known is not None
    generator = torch.Generator().manual_seed(seed)
    sizes = (2, 2, 2, 1)
    weights = [
        (scale * torch.randn(b, a, generator=generator, dtype=torch.float64) / math.sqrt(a)).requires_grad_()
        for a, b in pairwise(sizes)
    ]
    value, target = torch.tensor([0.8, -0.5], dtype=torch.float64), 1.0
    inputs: list[Tensor] = []
    outputs: list[Tensor] = [value]
    for number, weight in enumerate(weights):
        inputs.append(weight @ outputs[-1])
        outputs.append(function(inputs[-1]) if number < len(weights) - 1 else inputs[-1])
    loss = 0.5 * (outputs[-1] - target).square().sum()
    measured = torch.autograd.grad(loss, [*inputs, *weights])
    delta = outputs[-1].detach().numpy() - target
    deltas = [delta]
    for weight, z in zip(reversed(weights[1:]), reversed(inputs[:-1]), strict=True):
        delta = np.asarray(known.slope(z.detach().numpy())) * (weight.detach().numpy().T @ delta)
        deltas.insert(0, delta)
    layers = [
        {
            "weights": weight.tolist(),
            "z": z.tolist(),
            "a": a.tolist(),
            "slope": np.asarray(known.slope(z.detach().numpy()), dtype=float).tolist() if n < 2 else [1.0],
            "formula": deltas[n].tolist(),
            "autograd": measured[n].tolist(),
            "weight_gradient": measured[3 + n].tolist(),
        }
        for n, (weight, z, a) in enumerate(zip(weights, inputs, outputs[1:], strict=True))
    ]
    return {"input": value.tolist(), "target": target, "loss": float(loss.detach()), "layers": layers}


def through_time(kind: str, *, steps: int = 50, gain: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Return how much of the gradient of the last state arrives at each earlier one; of an lstm, the cell's state.

    `gain` multiplies an orthogonal recurrent matrix, so that with tanh no step passes more than `gain`; for lstm it is
    the forget gate's bias, and by itself the cell passes sigmoid(bias) a step. There are no other biases, the recurrent
    weights of the lstm are a tenth of PyTorch's, and the inputs are small: tanh has slope 1 there, and gates are quiet.
    """
    classes = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    width = 32
    with seeded(seed):
        network = classes[kind](8, width, batch_first=True)
        for name, parameter in network.named_parameters():
            if kind == "rnn" and name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
                parameter.data.mul_(gain)
            if kind == "lstm" and name.startswith("weight_hh"):
                parameter.data.mul_(0.1)
            if kind != "gru" and name.startswith("bias"):
                nn.init.zeros_(parameter)
                if kind == "lstm" and name.startswith("bias_ih"):
                    parameter.data[width : 2 * width] = gain
        inputs = 1e-8 * torch.randn(16, steps, 8)
        state: Any = None
        states: list[Tensor] = []
        for step in range(steps):
            _, state = network(inputs[:, step : step + 1], state)
            states.append(state[1] if kind == "lstm" else state)
        gradients = torch.autograd.grad((states[-1] * torch.randn_like(states[-1])).sum(), states)
    norms = torch.stack([gradient.double().norm() for gradient in gradients])
    share = (norms / norms[-1].clamp_min(1e-300)).tolist()
    passed = {"rnn": gain, "lstm": 1.0 / (1.0 + math.exp(-gain)), "gru": None}[kind]
    formula = None if passed is None else [passed ** (steps - 1 - t) for t in range(steps)]
    return {"measured": share, "formula": formula, "per_step": passed}


def small_numbers(knobs: Knobs, *, epsilon: float, scale: float) -> dict[str, Any]:
    """Return for each layer the relative step of Adam, and the share of its gradient that float16 turns into 0.

    Adam's first step moves each weight by lr * g / (|g| + epsilon): by lr where |g| is much larger than epsilon. float16
    knows nothing below 2^-24 = 6e-8 but 0; loss scaling multiplies the gradient before it is rounded.
    """
    network, (inputs, labels) = built(knobs)
    rate = 1e-3
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, eps=epsilon)
    loss: Tensor = F.cross_entropy(network(inputs), labels)
    loss.backward()
    weights = [parameter for parameter in network.parameters() if parameter.ndim == 2]
    before = [weight.detach().clone() for weight in weights]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad.clone() for weight in weights]
    optimizer.step()
    moved = [float((weight.detach() - old).abs().mean() / rate) for weight, old in zip(weights, before, strict=True)]
    return {
        "gradient": [float(g.double().square().mean().sqrt()) for g in gradients],
        "measured": moved,
        "formula": [float((g.abs() / (g.abs() + epsilon).clamp_min(1e-45)).mean()) for g in gradients],
        "lost": [float(((g * scale).half() == 0).double().mean()) for g in gradients],
        "infinite": [float((g * scale).half().isinf().double().mean()) for g in gradients],
        "epsilon": epsilon,
        "scale": scale,
    }


@lru_cache(maxsize=len(PHASES))
def phases(activation: str) -> dict[str, Any]:
    """Return chi over weight and bias variances, as theory has it, and the edge where it is 1."""
    known = find(activation)
    assert known is not None
    high = {"sigmoid": 160.0, "softsign": 8.0}.get(activation, 4.0)
    weights, biases = np.linspace(high / 40.0, high, 40), np.linspace(0.0, 1.0, 26)
    found = phase_diagram(known, weight_variances=weights, bias_variances=biases, steps=400)
    return {
        "weights": list(found.weight_variances),
        "biases": list(found.bias_variances),
        "gains": [list(row) for row in found.gains],
        "line": edge(known, high) or crossing(weights, biases, np.asarray(found.gains)),
    }


def edge(known: Activation, high: float) -> list[list[float]]:
    """Return points (weight variance, bias variance) with chi = 1, up to a weight variance of `high`.

    A length q is at rest there where Var[w] = 1 / E[slope(z)^2] and Var[b] = q - Var[w] E[f(z)^2], z of variance q. Where
    that says the same for every length, as for ReLU, the edge is that weight variance with any bias. Where a slightly
    larger length runs away from there, as for GELU, no deep network stays, and there are no such points.
    """

    def at_rest(lengths: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        weights = np.array([1.0 / slope_square(known, variance=float(q)).value for q in lengths])
        squares = np.array([mean_square(known, variance=float(q)).value for q in lengths])
        return weights, lengths - weights * squares, float(np.max(weights * np.gradient(squares, lengths)))

    lengths = np.logspace(-8.0, 3.0, 100)
    weights, biases, _ = at_rest(lengths)
    if np.ptp(weights) < 1e-6 * weights[0]:
        return [[float(weights[0]), 0.0], [float(weights[0]), 1.0]]
    pairs = np.stack([biases[:-1], biases[1:]])
    crossed = np.flatnonzero((pairs.min(axis=0) <= 1.0) & (pairs.max(axis=0) >= 0.0))  # between which lengths it lies
    if not len(crossed):
        return []
    weights, biases, steepest = at_rest(np.geomspace(lengths[crossed[0]], lengths[crossed[-1] + 1], 200))
    if steepest > 1.01:
        return []
    drawn = (biases > -1e-6) & (biases <= 2.0) & (weights <= 2.0 * high)
    return [[float(w), max(float(b), 0.0)] for w, b in zip(weights[drawn], biases[drawn], strict=True)]


def crossing(
    weights: NDArray[np.float64], biases: NDArray[np.float64], gains: NDArray[np.float64]
) -> list[list[float]]:
    """Return for each bias variance where chi passes 1 between two weight variances of a map; it may jump there."""
    found: list[list[float]] = []
    for bias, row in zip(biases, gains, strict=True):
        above = np.flatnonzero((row[:-1] < 1.0) & (row[1:] >= 1.0))
        if len(above):
            low, high = row[above[0]], row[above[0] + 1]
            share = (1.0 - low) / (high - low)
            found.append([float(weights[above[0]] + share * (weights[above[0] + 1] - weights[above[0]])), float(bias)])
    return found


def phase_point(activation: str, *, weight_variance: float, bias_variance: float, seed: int = 0) -> dict[str, Any]:
    """Return the gradient's mean square from layer to layer, measured in a network of 30 layers and 200 units.

    The loss is a random direction, as theory has it: nothing but the network shapes the gradient.
    """
    function = ACTIVATIONS[activation]
    generator = torch.Generator().manual_seed(seed)
    inputs, _, _ = dataset("digits")
    width, depth = 200, 30
    x = inputs[:BATCH_OF_PHASE].double()
    values: list[Tensor] = []
    for layer in range(depth):
        fan_in = x.shape[1]
        deviation = math.sqrt(weight_variance / fan_in)
        weight = deviation * torch.randn(width, fan_in, generator=generator, dtype=torch.float64)
        bias = math.sqrt(bias_variance) * torch.randn(width, generator=generator, dtype=torch.float64)
        z = x @ weight.T + bias
        if layer == 0:
            z.requires_grad_()
        values.append(z)
        x = function(z)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    gradients = torch.autograd.grad((x * direction).sum(), values)
    squares = [float(g.square().mean()) for g in gradients]
    inner = squares[5 : depth - 2]
    per_layer = (inner[0] / inner[-1]) ** (1.0 / (len(inner) - 1)) if min(inner) > 0.0 else 0.0
    return {"measured": [square / squares[-1] for square in squares], "per_layer": per_layer}


BATCH_OF_PHASE = 32
