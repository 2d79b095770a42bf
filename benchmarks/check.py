"""What `photic.check` costs on networks of ten million parameters: against the same twenty steps of a plain loop."""

from __future__ import annotations

import argparse
import copy
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic

STEPS = 20


class Residual(nn.Module):
    """Two convolutions with BatchNorm, and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class Language(nn.Module):
    """A pre-norm transformer over tokens."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(320, 8, 1280, 0.0, batch_first=True, norm_first=True)
        self.embed = nn.Embedding(2000, 320)
        self.layers = nn.TransformerEncoder(layer, 8, enable_nested_tensor=False)
        self.head = nn.Linear(320, 2000)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.embed(tokens)))


def _mlp() -> tuple[nn.Module, Any, Any]:
    layers: list[nn.Module] = []
    for _ in range(10):
        linear = nn.Linear(1024, 1024)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, nn.ReLU()]
    return (
        nn.Sequential(*layers, nn.Linear(1024, 10)),
        (torch.randn(64, 1024), torch.randint(10, (64,))),
        F.cross_entropy,
    )


def _cnn() -> tuple[nn.Module, Any, Any]:
    network = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(64, 256, 3, stride=2, padding=1), nn.ReLU(),
        *(Residual(256) for _ in range(8)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    return network, (torch.randn(16, 3, 32, 32), torch.randint(10, (16,))), F.cross_entropy


def _language() -> tuple[nn.Module, Any, Any]:
    tokens = torch.randint(2000, (4, 64))
    return Language(), (tokens, tokens.roll(-1, 1)), lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())  # type: ignore[union-attr]


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Any, Any]]] = {
    "MLP, ReLU, 11 layers": _mlp, "residual CNN, 19 layers": _cnn, "transformer, 8 blocks": _language,
}  # fmt: skip


def measured(name: str, rounds: int) -> dict[str, Any]:
    """Time `photic.check` and a plain loop of as many steps in turn; seconds are medians."""
    torch.manual_seed(0)
    model, batch, loss = NETWORKS[name]()
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        photic.check(model, [batch], loss, lambda m: torch.optim.Adam(m.parameters(), 3e-4), steps=STEPS)
        ours.append(time.perf_counter() - start)
        twin = copy.deepcopy(model)
        optimizer = torch.optim.Adam(twin.parameters(), 3e-4)
        start = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(twin(batch[0]), batch[1]).backward()
            optimizer.step()
        plain.append(time.perf_counter() - start)
    return {
        "network": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "check_s": statistics.median(ours),
        "plain_s": statistics.median(plain),
        "ratio": statistics.median(a / b for a, b in zip(ours, plain, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = [measured(name, arguments.rounds) for name in NETWORKS]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if arguments.json:
        print(json.dumps({"rows": rows, "peak_mib": peak, "threads": torch.get_num_threads()}))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; peak memory {peak} MiB")
    print(f"| network | parameters | check, {STEPS} steps | plain loop, {STEPS} steps | ratio |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['network']} | {row['parameters'] / 1e6:.1f} M | {row['check_s']:.1f} s | {row['plain_s']:.1f} s | {row['ratio']:.2f} |"
        )


if __name__ == "__main__":
    main()
