"""Which deep networks cannot be trained: random MLPs, the cosine of neighbouring gradients, and training at four rates.

Drawn: depth 4 to 60, width 64, ReLU, tanh, leaky ReLU or GELU, plain, residual, with BatchNorm or LayerNorm, gain at the
critical value (tanh: 1 to 3), Gaussian or orthogonal, on scikit-learn's digits. Each is trained for 200 steps by four
optimizers; `photic.check` judges each of the four set-ups in 20 steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import multiprocessing
import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import Optimizer

import photic

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD 0.05": lambda p: torch.optim.SGD(p, 0.05),
    "SGD 0.005": lambda p: torch.optim.SGD(p, 0.005),
    "Adam 1e-3": lambda p: torch.optim.Adam(p, 1e-3),
    "Adam 1e-4": lambda p: torch.optim.Adam(p, 1e-4),
}
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], tuple[float, ...]]] = {
    "relu": (nn.ReLU, (2**0.5,)),
    "leaky-relu": (lambda: nn.LeakyReLU(0.2), (2**0.5,)),
    "gelu": (nn.GELU, (1.47,)),
    "tanh": (nn.Tanh, (1.0, 1.1, 1.3, 1.6, 2.0, 3.0)),
}
WIDTH, STEPS, KNOWN = 64, 200, 1200


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def drawn(seed: int) -> tuple[nn.Module, str]:
    """Return network `seed` and what it is in words."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    depth = chance.choice([4, 8, 15, 25, 40, 60])
    kind = chance.choice(["relu", "relu", "tanh", "tanh", "leaky-relu", "gelu"])
    form = chance.choice(["plain", "plain", "plain", "BatchNorm", "residual", "LayerNorm"])
    activation, gains = ACTIVATIONS[kind]
    gain, orthogonal = chance.choice(gains), chance.random() < 0.3

    def linear(fan_in: int) -> nn.Linear:
        layer = nn.Linear(fan_in, WIDTH)
        nn.init.zeros_(layer.bias)
        if orthogonal:
            nn.init.orthogonal_(layer.weight, gain)
        else:
            nn.init.normal_(layer.weight, 0.0, gain / fan_in**0.5)
        return layer

    layers: list[nn.Module] = [linear(64), activation()]
    for _ in range(depth - 1):
        match form:
            case "BatchNorm":
                layers += [linear(WIDTH), nn.BatchNorm1d(WIDTH), activation()]
            case "LayerNorm":
                layers += [linear(WIDTH), nn.LayerNorm(WIDTH), activation()]
            case "residual":
                layers.append(Residual(nn.Sequential(nn.LayerNorm(WIDTH), linear(WIDTH), activation())))
            case _:
                layers += [linear(WIDTH), activation()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10)), f"{form} {kind}, {depth} layers, gain {gain:.3g}"


def _data() -> tuple[Tensor, Tensor]:
    digits: Any = load_digits()
    pixels = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    return (pixels - pixels.mean(0)) / (pixels.std(0) + 0.1), torch.tensor(digits.target)


def _batches(seed: int, count: int) -> list[tuple[Tensor, Tensor]]:
    inputs, targets = _data()
    generator = torch.Generator().manual_seed(seed)
    chosen = [torch.randint(0, KNOWN, (32,), generator=generator) for _ in range(count)]
    return [(inputs[index], targets[index]) for index in chosen]


def _trained(model: nn.Module, optimizer: Optimizer, seed: int) -> float:
    """Return the mean loss of the last 30 of `STEPS` steps."""
    losses: list[float] = []
    for inputs, targets in _batches(seed, STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return math.inf
    return sum(losses[-30:]) / 30


def judged(seed: int) -> dict[str, Any]:
    """Train network `seed` by each optimizer and ask for a verdict of each set-up."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network, words = drawn(seed)
    row: dict[str, Any] = {"seed": seed, "network": words, "losses": {}, "found": {}}
    for name, make in OPTIMIZERS.items():
        twin = copy.deepcopy(network)
        checkup = photic.check(twin, _batches(seed + 10_000, 20), F.cross_entropy, make(twin.parameters()), steps=20)
        row["cosine"] = checkup.run.neighbours
        row["found"][name] = [finding.problem for finding in checkup.findings if finding.severity != "info"]
        twin = copy.deepcopy(network)
        row["losses"][name] = _trained(twin, make(twin.parameters()), seed)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=130)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network (default 0)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one line a network")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for row in pool.imap(judged, range(arguments.first, arguments.first + arguments.networks)):
            rows.append(row)
            if arguments.json:
                print(json.dumps(row), flush=True)
    if not arguments.json:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    print(
        "| cosine | networks | best loss of the four: least, median, most | below 1.0 at some setting |\n|---|---|---|---|"
    )
    edges = [(-1.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01)]
    for low, high in edges:
        best = sorted(
            min(row["losses"].values()) for row in rows if row["cosine"] is not None and low <= row["cosine"] < high
        )
        if best:
            learnt = sum(loss < 1.0 for loss in best)
            print(
                f"| {low:.2f} to {high:.2f} | {len(best)} | {best[0]:.2f}, {best[len(best) // 2]:.2f}, {best[-1]:.2f} | {learnt} |"
            )
    setups = [(row, name) for row in rows for name in OPTIMIZERS]
    named = [(row, name) for row, name in setups if "shattered-gradient" in row["found"][name]]
    healthy = [(row, name) for row, name in setups if row["losses"][name] < 1.0]
    sick = [(row, name) for row, name in setups if row["losses"][name] > 1.9]
    print(
        f"set-ups: {len(healthy)} healthy (loss below 1.0 after {STEPS} steps), {len(sick)} sick (above 1.9; chance is 2.30)"
    )
    print(f"shattered-gradient named: {len(named)}, of them healthy {sum(item in healthy for item in named)}")
    print(f"sick with a finding: {sum(bool(row['found'][name]) for row, name in sick)}")
    alarms = [(row, name) for row, name in healthy if row["found"][name]]
    print(f"healthy with a finding: {len(alarms)}")
    for row, name in alarms:
        print(f"  {row['network']}, {name}: {', '.join(row['found'][name])}; loss {row['losses'][name]:.2f}")


if __name__ == "__main__":
    main()
