"""The experiment behind the thresholds: transport at the start beside what 400 steps of training make of the loss."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import endless
from photic.diagnosis.profile import depth_profile
from photic.lab.examples import deep_sigmoid
from photic.probes.audit import measure


def plain(activation: type[nn.Module], depth: int) -> nn.Module:
    layers = [layer for k in range(depth) for layer in (nn.Linear(128 if k else 64, 128), activation())]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def normalised(depth: int) -> nn.Module:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 10))


CASES: dict[str, Callable[[], nn.Module]] = {
    "ReLU, default weights, 4 layers": lambda: plain(nn.ReLU, 4),
    "ReLU, default weights, 6 layers": lambda: plain(nn.ReLU, 6),
    "sigmoid, default weights, 2 layers": lambda: plain(nn.Sigmoid, 2),
    "sigmoid, default weights, 3 layers": lambda: plain(nn.Sigmoid, 3),
    "BatchNorm and ReLU, 20 layers": lambda: normalised(20),
    "BatchNorm and ReLU, 50 layers": lambda: normalised(50),
}


def trial(build: Callable[[], nn.Module], steps: int) -> dict[str, float]:
    torch.manual_seed(0)
    model, source = build(), endless(deep_sigmoid.batches)
    profile = depth_profile(measure(model, next(source), F.cross_entropy))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses: list[float] = []
    for _ in range(steps):
        x, y = next(source)
        optimizer.zero_grad()
        loss: Tensor = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    transport = profile.transport if profile is not None else None
    return {"transport": transport or 0.0, "first": sum(losses[:20]) / 20, "last": sum(losses[-20:]) / 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    results = {name: trial(build, options.steps) for name, build in CASES.items()}
    if options.json:
        print(json.dumps(results))
        return
    print("| network | transport | first loss | last loss |\n|---|---|---|---|")
    for name, r in results.items():
        print(f"| {name} | {r['transport']:.2g} | {r['first']:.2f} | {r['last']:.2f} |")


if __name__ == "__main__":
    main()
