"""How far a step could be stretched, beside what rates that are so much larger make of the loss: random networks and rates.

Networks are drawn as in `strangers`, the learning rate log-uniformly: 1e-5 to 0.3 for gradient descent, 1e-6 to 1e-2 for Adam
and RMSprop. Each is checked for 20 steps and then trained for 300 at its own rate and at 10 and 100 times that.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from strangers import draw
from torch import nn

import photic
from photic.checkups.setup import Setup, endless
from photic.checkups.training import train

FACTORS = (1.0, 10.0, 100.0)
KINDS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "sgd": lambda held, rate: torch.optim.SGD(held, rate),
    "momentum": lambda held, rate: torch.optim.SGD(held, rate, momentum=0.9),
    "adam": lambda held, rate: torch.optim.Adam(held, rate),
    "rmsprop": lambda held, rate: torch.optim.RMSprop(held, rate),
}


def judge(seed: int) -> dict[str, Any]:
    """Check a network at a drawn rate, and train it at that and at larger ones."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    words, model, batches, _ = draw(seed)
    chance = random.Random(seed + 1_000_000)
    kind = chance.choice(list(KINDS))
    low, high = (-5.0, -0.5) if kind in ("sgd", "momentum") else (-6.0, -2.0)
    rate = 10.0 ** chance.uniform(low, high)

    def maker(factor: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
        return lambda held: KINDS[kind](held.parameters(), factor * rate)

    checkup = photic.check(model, batches, F.cross_entropy, maker(1.0), steps=20)
    ends: list[float] = []
    for factor in FACTORS:
        torch.manual_seed(seed)
        twin = copy.deepcopy(model)
        losses = train(Setup(twin, batches, F.cross_entropy, maker(factor)(twin)), endless(batches), 300)
        ends.append(sum(losses[-10:]) / len(losses[-10:]))
    return {
        "seed": seed,
        "words": f"{words.split(';')[0]}; {kind} {rate:.2g}",
        "ends": ends,
        "stretched": [[s.multiple, s.loss] for s in checkup.run.stretched],
        "found": [f"{f.problem} ({f.severity})" for f in checkup.findings],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a network")
    parser.add_argument("--first", type=int, default=50_000, help="first seed")
    parser.add_argument("--count", type=int, default=200, help="how many networks")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for row in pool.imap(judge, range(options.first, options.first + options.count)):
            rows.append(row)
            if options.json:
                print(json.dumps(row), flush=True)
            elif len(rows) % 20 == 0:
                print(f"{len(rows)} of {options.count}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
