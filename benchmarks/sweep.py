"""Stacked training against one network after the other: 1,024 networks of depth 20, 300 steps, in two processes.

Both ways take turns, chunk by chunk, in each of two processes of one thread; the ratio is that of the sums of processor
time, which is what the wall shows where nothing else runs; wall time stands beside it. One after
the other is measured on a part of the networks (--share of them; 1 trains all) and scaled; the part is printed. So
are the stacks with --stacks: that many in each process, of those that the grid forms.

Then, untimed, whether the networks of that part were trained the same both ways, beside the floor: a twin, the network
alone with its first layer's weights moved by their last bit, and both again in float64.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from photic.lab.datasets.digits import batches, digits
from photic.lab.rounding import Alone, alone, parting, verdict
from photic.lab.stacks import Plain, Trained, accuracies, train
from photic.lab.sweep import stack_size

NETWORKS, DEPTH, STEPS = 1024, 20, 300
KINDS = ("stack", "twin", "stack, float64", "twin, float64")


class Half(NamedTuple):
    """What one process measured: seconds of its half of the networks, how many it trained, and the pairs of its part."""

    stacked: float
    single: float
    stacked_wall: float
    single_wall: float
    together: int
    pairs: dict[str, list[tuple[int, float, float]]]  # of each kind: step of the parting, accuracy, accuracy alone


def networks(width: int) -> list[Plain]:
    return [
        Plain("tanh", DEPTH, width, 64, 10, 0.5 + 3.5 * i / NETWORKS, 0.05, learning_rate=0.01, seed=i)
        for i in range(NETWORKS)
    ]


def half(width: int, which: int, share: float, examples: int, most: int, compared: bool) -> Half:
    """Train this half of the networks stacked, and a part of each stack alone."""
    torch.set_num_threads(1)
    mine: Sequence[Plain] = networks(width)[which::2]
    size = stack_size(width)
    held_back = digits()[1]
    stacked = single = stacked_wall = single_wall = 0.0
    together = 0
    pairs: dict[str, list[tuple[int, float, float]]] = {kind: [] for kind in KINDS}
    train(mine[:2], batches(3, size=examples))
    for start in range(0, len(mine), size)[: most or None]:
        chunk = mine[start : start + size]
        begun, wall = time.process_time(), time.perf_counter()
        trained = train(chunk, batches(STEPS, size=examples))
        right = accuracies(chunk, trained, held_back)
        stacked += time.process_time() - begun
        stacked_wall += time.perf_counter() - wall
        some = chunk[:: max(1, round(1.0 / share))]
        begun, wall = time.process_time(), time.perf_counter()
        by_itself = [alone(net, batches(STEPS, size=examples), held_back) for net in some]
        single += (time.process_time() - begun) * len(chunk) / len(some)
        single_wall += (time.perf_counter() - wall) * len(chunk) / len(some)
        together += len(chunk)
        if compared:
            chosen = [chunk.index(net) for net in some]
            picked = Trained(trained.losses[chosen], [], [])
            _compare(pairs, some, picked, right[chosen], by_itself, examples)
    scale = len(mine) / together
    return Half(scale * stacked, scale * single, scale * stacked_wall, scale * single_wall, together, pairs)


def _compare(
    pairs: dict[str, list[tuple[int, float, float]]], some: Sequence[Plain], trained: Trained, right: torch.Tensor,
    by_itself: Sequence[Alone], examples: int,
) -> None:  # fmt: skip
    held_back = digits()[1]
    for dtype, suffix in ((torch.float32, ""), (torch.float64, ", float64")):
        if dtype == torch.float64:
            trained = train(some, batches(STEPS, size=examples), dtype=dtype)
            right = accuracies(some, trained, held_back)
            by_itself = [alone(net, batches(STEPS, size=examples), held_back, dtype=dtype) for net in some]
        for net, own, losses, accuracy in zip(some, by_itself, trained.losses, right.tolist(), strict=True):
            twin = alone(net, batches(STEPS, size=examples), held_back, dtype=dtype, twin=True)
            pairs["stack" + suffix].append((parting(own.losses, losses), accuracy, own.accuracy))
            pairs["twin" + suffix].append((parting(own.losses, twin.losses), twin.accuracy, own.accuracy))


def summary(pairs: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Return how many pairs part, when, on how many they agree at 50 %, and how many verdicts contradict each other."""
    examples = len(digits()[1][1])
    parted = [step for step, _, _ in pairs if step < STEPS]
    verdicts = [{verdict(a, examples), verdict(b, examples)} for _, a, b in pairs]
    return {
        "networks": len(pairs),
        "parted": len(parted),
        "median_parting": statistics.median(parted) if parted else None,
        "same_side_of_half": sum((a > 0.5) == (b > 0.5) for _, a, b in pairs),
        "same_side_where_not_parted": sum((a > 0.5) == (b > 0.5) for step, a, b in pairs if step == STEPS),
        "contradictions": sum(found == {"trained", "not trained"} for found in verdicts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--share", type=float, default=0.1, help="part of the networks that are trained alone too")
    parser.add_argument("--examples", type=int, default=16, help="in a batch: the fewer, the more a stack wins")
    parser.add_argument("--widths", type=int, nargs="*", default=[8, 16, 32, 64, 128])
    parser.add_argument("--stacks", type=int, default=0, help="stacks measured in each process; 0 is all of them")
    parser.add_argument("--times", action="store_true", help="times only: compare nothing")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for width in options.widths:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            shared = ([x] * 2 for x in (options.share, options.examples, options.stacks, not options.times))
            parts = list(pool.map(half, [width] * 2, [0, 1], *shared))
        row = _row(width, parts)
        rows.append(row)
        if not options.json:
            _say(row, options.examples)
    if options.json:
        print(json.dumps(rows))


def _row(width: int, parts: Sequence[Half]) -> dict[str, Any]:
    times = [(part.stacked, part.single, part.stacked_wall, part.single_wall) for part in parts]
    stacked, single, stacked_wall, single_wall = (sum(both) / len(both) for both in zip(*times, strict=True))
    pairs = {kind: [pair for part in parts for pair in part.pairs[kind]] for kind in KINDS}
    return {
        "width": width,
        "stack": stack_size(width),
        "stacked_s": stacked,
        "alone_s": single,
        "ratio": single / stacked,
        "stacked_wall_s": stacked_wall,
        "alone_wall_s": single_wall,
        "wall_ratio": single_wall / stacked_wall,
        "trained_stacked": sum(part.together for part in parts),
        "same": {kind: summary(found) for kind, found in pairs.items() if found},
    }


def _say(row: dict[str, Any], examples: int) -> None:
    print(
        f"width {row['width']:4d}, batches of {examples}: {NETWORKS} networks stacked by {row['stack']} "
        f"{row['stacked_s']:6.1f} s, one after the other {row['alone_s']:6.1f} s (measured: {row['trained_stacked']} of them stacked): "
        f"{row['ratio']:.1f} times as fast; wall {row['stacked_wall_s']:.1f} and {row['alone_wall_s']:.1f} s, "
        f"{row['wall_ratio']:.1f} times"
    )
    for kind, found in row["same"].items():
        when = f", half of them before step {found['median_parting']:.0f}" if found["parted"] else ""
        together = found["networks"] - found["parted"]
        print(
            f"  {kind:14s} against alone: {found['networks']} networks, {found['parted']} part{when}; the same side of 50 % in "
            f"{found['same_side_of_half']}, of the {together} that never part in {found['same_side_where_not_parted']}; "
            f"{found['contradictions']} contradict each other beyond two standard errors",
            flush=True,
        )


if __name__ == "__main__":
    main()
