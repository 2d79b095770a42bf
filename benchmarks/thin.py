"""Deep and thin: plain ReLU networks with He's start by the sum of 1 / width over their layers, and what training makes of them.

For widths of 16, 32 and 64 the depth is `ratio` times the width; each is checked for 20 steps and trained for 200 by gradient
descent at 0.01 and 0.003 and by Adam at 1e-3, on scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import photic
from photic.checkups.setup import Setup, endless
from photic.checkups.training import train
from photic.lab.clinic import samples
from photic.lab.clinic.networks import he, stack

RATIOS, WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), (16, 32, 64)
MAKERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD 0.01": lambda held: torch.optim.SGD(held, 0.01),
    "SGD 0.003": lambda held: torch.optim.SGD(held, 0.003),
    "Adam 1e-3": lambda held: torch.optim.Adam(held, 1e-3),
}


def trial(ratio: float, width: int, seed: int) -> dict[str, Any]:
    """Check and train one network."""
    torch.manual_seed(seed)
    depth = max(1, round(ratio * width))
    model = stack([64, *[width] * depth, 10], nn.ReLU, he)
    batches = samples.digits(seed)
    row: dict[str, Any] = {"ratio": ratio, "width": width, "seed": seed, "depth": depth}
    for name, make in MAKERS.items():
        checkup = photic.check(model, batches, F.cross_entropy, lambda m, make=make: make(m.parameters()))
        run = checkup.run
        last = [reading.spread.examples for reading in run.steps[0].sites if reading.spread is not None][-3:]
        twin = copy.deepcopy(model)
        losses = train(Setup(twin, batches, F.cross_entropy, make(twin.parameters())), endless(batches), 200)
        found = [f.problem for f in checkup.findings if f.severity != "info"]
        row[name] = {
            "end": sum(losses[-10:]) / 10 if len(losses) == 200 else float("nan"),
            "20": sum(run.losses[-5:]) / 5,
            "differs": last[0] if last else None,
            "found": found,
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a network")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for ratio in RATIOS:
        for width in WIDTHS:
            for seed in range(options.seeds):
                row = trial(ratio, width, seed)
                if options.json:
                    print(json.dumps(row), flush=True)
                    continue
                ends = ", ".join(
                    f"{name}: {row[name]['end']:.2f} ({'/'.join(row[name]['found']) or 'nothing'})" for name in MAKERS
                )
                print(f"{ratio:.2f} = {row['depth']} x 1/{width}, seed {seed}: {ends}", flush=True)


if __name__ == "__main__":
    main()
