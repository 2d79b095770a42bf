"""Stacked training against one network after the other: 1,024 networks of depth 20, 300 steps, in two processes.

Both ways take turns, chunk by chunk, in each of two processes of one thread; the ratio is that of the sums. One after
the other is measured on a part of the networks (--share of them; 1 trains all) and scaled; the part is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
import torch.nn.functional as F

from photic.lab.datasets.digits import batches
from photic.lab.stacks import Plain, make_optimizer, module, train
from photic.lab.sweep import stack_size

NETWORKS, DEPTH, STEPS = 1024, 20, 300


def networks(width: int) -> list[Plain]:
    return [
        Plain("tanh", DEPTH, width, 64, 10, 0.5 + 3.5 * i / NETWORKS, 0.05, learning_rate=0.01, seed=i)
        for i in range(NETWORKS)
    ]


def alone(net: Plain, examples: int) -> float:
    model = module(net)
    optimizer = make_optimizer(net, model.parameters())
    for x, y in batches(STEPS, size=examples):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        x, y = next(iter(batches(1, size=examples)))
        return float(F.cross_entropy(model(x), y))


def half(width: int, which: int, share: float, examples: int) -> tuple[float, float, int]:
    """Return CPU-bound wall seconds of both ways, and how many networks were trained alone."""
    torch.set_num_threads(1)
    mine: Sequence[Plain] = networks(width)[which::2]
    size = stack_size(width)
    stacked = single = 0.0
    count = 0
    train(mine[:2], batches(3, size=examples))
    for start in range(0, len(mine), size):
        chunk = mine[start : start + size]
        begun = time.perf_counter()
        train(chunk, batches(STEPS, size=examples))
        stacked += time.perf_counter() - begun
        some = chunk[: max(1, round(share * len(chunk)))]
        begun = time.perf_counter()
        for net in some:
            alone(net, examples)
        single += (time.perf_counter() - begun) * len(chunk) / len(some)
        count += len(some)
    return stacked, single, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--share", type=float, default=0.1, help="part of the networks that are trained alone too")
    parser.add_argument("--examples", type=int, default=16, help="in a batch: the fewer, the more a stack wins")
    parser.add_argument("--widths", type=int, nargs="*", default=[8, 16, 32, 64, 128])
    options = parser.parse_args()
    rows: list[dict[str, float]] = []
    for width in options.widths:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(half, [width] * 2, [0, 1], [options.share] * 2, [options.examples] * 2))
        stacked, single, count = (sum(part[i] for part in parts) for i in range(3))
        rows.append(
            {
                "width": width,
                "stack": stack_size(width),
                "stacked_s": stacked / 2,
                "alone_s": single / 2,
                "ratio": single / stacked,
                "trained_alone": count,
            }
        )
        if not options.json:
            print(
                f"width {width:4d}, batches of {options.examples}: {NETWORKS} networks stacked by {stack_size(width)} "
                f"{stacked / 2:6.1f} s, one after the other {single / 2:6.1f} s ({count} of them measured): "
                f"{single / stacked:.1f} times as fast",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
