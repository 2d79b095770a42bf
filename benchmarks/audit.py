"""The audit against a plain forward and backward pass: ratio of times, interleaved, median of many."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from photic.probes.audit import measure


def mlp(depth: int, width: int, rows: int) -> tuple[nn.Module, Any]:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, 10)), (torch.randn(rows, width), torch.randint(10, (rows,)))


def cnn() -> tuple[nn.Module, Any]:
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return model, (torch.randn(32, 3, 32, 32), torch.randint(10, (32,)))


def transformer() -> tuple[nn.Module, Any]:
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True, norm_first=True)
    model = nn.Sequential(
        nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.Flatten(), nn.Linear(128 * 64, 10)
    )
    return model, (torch.randn(8, 64, 128), torch.randint(10, (8,)))


CASES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "mlp 10 x 128, batch 32": lambda: mlp(10, 128, 32),
    "mlp 30 x 128, batch 64": lambda: mlp(30, 128, 64),
    "mlp 100 x 64, batch 64": lambda: mlp(100, 64, 64),
    "mlp 100 x 256, batch 128": lambda: mlp(100, 256, 128),
    "mlp 1000 x 16, batch 16": lambda: mlp(1000, 16, 16),
    "mlp 50 x 32, batch 16": lambda: mlp(50, 32, 16),
    "mlp 500 x 32, batch 16": lambda: mlp(500, 32, 16),
    "mlp 5000 x 32, batch 16": lambda: mlp(5000, 32, 16),
    "cnn 4 layers, 32 x 32": cnn,
    "transformer 4 x 128": transformer,
}


def compare(build: Callable[[], tuple[nn.Module, Any]], rounds: int) -> dict[str, float]:
    torch.manual_seed(0)
    model, batch = build()

    def plain() -> None:
        model.zero_grad()
        F.cross_entropy(model(batch[0]), batch[1]).backward()

    def audit() -> None:
        measure(model, batch, F.cross_entropy)

    times: dict[str, list[float]] = {"plain": [], "audit": [], "plain again": []}
    plain(), audit()
    for _ in range(rounds):
        for name, action in (("plain", plain), ("audit", audit), ("plain again", plain)):
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    ratios = [a / p for a, p in zip(times["audit"], times["plain"])]
    noise = [a / p for a, p in zip(times["plain again"], times["plain"])]
    return {
        "operations": len(measure(model, batch, F.cross_entropy).sites),
        "plain_ms": 1e3 * statistics.median(times["plain"]),
        "audit_ms": 1e3 * statistics.median(times["audit"]),
        "ratio": statistics.median(ratios),
        "noise": statistics.median(noise),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: compare(build, options.rounds) for name, build in CASES.items()}
    if options.json:
        print(json.dumps(results))
        return
    print("| network | operations | plain, ms | audit, ms | ratio | noise |\n|---|---|---|---|---|---|")
    for name, r in results.items():
        print(
            f"| {name} | {r['operations']:.0f} | {r['plain_ms']:.1f} | {r['audit_ms']:.1f} | {r['ratio']:.2f} | {r['noise']:.2f} |"
        )


if __name__ == "__main__":
    main()
