"""Which share of the gradient must reach the first time step for it to be learned: the experiment behind `vanishing-in-time`.

The class is shown at the first step alone; 400 steps of Adam. Below about 1e-3 the first step is not learned.
"""

from __future__ import annotations

import argparse
import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic


class Last(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer, self.head = kind(8, 64, batch_first=True), nn.Linear(64, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


def draw(length: int, count: int) -> tuple[Tensor, Tensor]:
    shown = torch.randint(8, (count,))
    x = 0.3 * torch.randn(count, length, 8)
    x[torch.arange(count), 0, shown] += 2.0
    return x, shown


def learned(kind: type[nn.RNNBase], length: int, scheme: str, seed: int) -> dict[str, float | str]:
    torch.manual_seed(seed)
    model = Last(kind)
    if scheme:
        photic.initialise(model, scheme, seed=seed, **({"longest": length} if scheme == "chrono" else {}))
    times = photic.measure(model, draw(length, 64), F.cross_entropy).reading("layer").times
    assert times is not None
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(400):
        x, y = draw(length, 64)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        x, y = draw(length, 1000)
        accuracy = float((model(x).argmax(1) == y).double().mean())
    ratio = times.gradient_norms[0] / max(times.gradient_norms)
    return {"layer": kind.__name__, "steps": length, "start": scheme or "default", "ratio": ratio, "accuracy": accuracy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [
        learned(kind, length, scheme, options.seed)
        for kind, other in ((nn.LSTM, "chrono"), (nn.GRU, "chrono"), (nn.RNN, "orthogonal_recurrence"))
        for length in (8, 15, 30, 60)
        for scheme in ("", other)
    ]
    if options.json:
        print(json.dumps(rows))
        return
    print("| first step over last | accuracy | layer | time steps | weights |\n|---|---|---|---|---|")
    for row in sorted(rows, key=lambda r: float(r["ratio"])):
        print(f"| {row['ratio']:.1e} | {row['accuracy']:.2f} | {row['layer']} | {row['steps']} | {row['start']} |")


if __name__ == "__main__":
    main()
