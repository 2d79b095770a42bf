"""Stacked training against one network after the other: 1,024 networks of depth 20, 300 steps, in two processes.

Both ways take turns, chunk by chunk, in each of two processes of one thread; the ratio is that of the sums of processor
time, which is what the wall shows where nothing else runs; wall time stands beside it. One after
the other is measured on a part of the networks (--share of them; 1 trains all) and scaled; the part is printed. So
are the stacks with --stacks: that many in each process, of those that the grid forms.
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
from torch import nn

from photic.lab.datasets.digits import batches, digits
from photic.lab.stacks import Plain, accuracies, make_optimizer, module, train
from photic.lab.sweep import stack_size

NETWORKS, DEPTH, STEPS = 1024, 20, 300


def networks(width: int) -> list[Plain]:
    return [
        Plain("tanh", DEPTH, width, 64, 10, 0.5 + 3.5 * i / NETWORKS, 0.05, learning_rate=0.01, seed=i)
        for i in range(NETWORKS)
    ]


def alone(net: Plain, examples: int) -> nn.Module:
    model = module(net)
    optimizer = make_optimizer(net, model.parameters())
    for x, y in batches(STEPS, size=examples):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def learned(model: nn.Module) -> bool:
    images, labels = digits()[1]
    with torch.no_grad():
        output = model(images)
    return bool(((output.argmax(1) == labels) & output.isfinite().all(1)).double().mean() > 0.5)


def half(width: int, which: int, share: float, examples: int, most: int) -> tuple[float, ...]:
    """Return processor seconds of both ways for all networks of this half, how many were trained stacked and alone, and got the same
    verdict, and wall seconds of both ways."""
    torch.set_num_threads(1)
    mine: Sequence[Plain] = networks(width)[which::2]
    size = stack_size(width)
    stacked = single = stacked_wall = single_wall = 0.0
    count = together = agree = 0
    starts = range(0, len(mine), size)[: most or None]
    train(mine[:2], batches(3, size=examples))
    for start in starts:
        chunk = mine[start : start + size]
        begun, wall = time.process_time(), time.perf_counter()
        trained = train(chunk, batches(STEPS, size=examples))
        stacked += time.process_time() - begun
        stacked_wall += time.perf_counter() - wall
        some = chunk[: max(1, round(share * len(chunk)))]
        begun, wall = time.process_time(), time.perf_counter()
        models = [alone(net, examples) for net in some]
        single += (time.process_time() - begun) * len(chunk) / len(some)
        single_wall += (time.perf_counter() - wall) * len(chunk) / len(some)
        verdicts = (accuracies(chunk, trained, digits()[1]) > 0.5).tolist()
        agree += sum(learned(model) == verdict for model, verdict in zip(models, verdicts))
        count, together = count + len(some), together + len(chunk)
    scale = len(mine) / together
    return scale * stacked, scale * single, together, count, agree, scale * stacked_wall, scale * single_wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--share", type=float, default=0.1, help="part of the networks that are trained alone too")
    parser.add_argument("--examples", type=int, default=16, help="in a batch: the fewer, the more a stack wins")
    parser.add_argument("--widths", type=int, nargs="*", default=[8, 16, 32, 64, 128])
    parser.add_argument("--stacks", type=int, default=0, help="stacks measured in each process; 0 is all of them")
    options = parser.parse_args()
    rows: list[dict[str, float]] = []
    for width in options.widths:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            parts = list(
                pool.map(half, [width] * 2, [0, 1], [options.share] * 2, [options.examples] * 2, [options.stacks] * 2)
            )
        stacked, single, together, count, agree, *walls = (sum(part[i] for part in parts) for i in range(7))
        rows.append(
            {
                "width": width,
                "stack": stack_size(width),
                "stacked_s": stacked / 2,
                "alone_s": single / 2,
                "ratio": single / stacked,
                "stacked_wall_s": walls[0] / 2,
                "alone_wall_s": walls[1] / 2,
                "wall_ratio": walls[1] / walls[0],
                "trained_stacked": together,
                "trained_alone": count,
                "same_verdict": agree,
            }
        )
        if not options.json:
            measured = f"measured: {together:.0f} and {count:.0f} of them, {agree:.0f} with the same verdict"
            print(
                f"width {width:4d}, batches of {options.examples}: {NETWORKS} networks stacked by {stack_size(width)} "
                f"{stacked / 2:6.1f} s, one after the other {single / 2:6.1f} s ({measured}): "
                f"{single / stacked:.1f} times as fast; wall {walls[0] / 2:.1f} and {walls[1] / 2:.1f} s, {walls[1] / walls[0]:.1f} times",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
