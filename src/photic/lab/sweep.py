"""Sweep: train every network of a grid on the digits, narrow ones in stacks, and keep what was computed."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from photic.activations import find
from photic.lab import cache
from photic.lab.datasets.digits import CLASSES, INPUTS, batches, digits
from photic.lab.engines import Engine, carry_out
from photic.lab.stacks import Optimizer, Plain, accuracies, train
from photic.records.sweeps import DepthScale, Sweep, SweepPoint
from photic.theory.depth_scales import critical_at, fixed_point

Progress = Callable[[str, float], None]
# Networks of one stack: as many as keep a layer's signals in the second cache; beyond a width of 128 a matrix product
# fills a core by itself and nothing is won (`dev.py bench sweep`).
_UNITS, _WIDEST = 1024, 128


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of these is trained, for `steps` steps on batches of `examples`.

    Attributes:
        activations: torch's words.
        weight_variances: fan_in * Var[w].
        bias_variance: Var[b] of the hidden layers.
        depths, widths: hidden layers and units.
        optimizers: with `learning_rates` beside them.
        seeds: how many networks at each point.
    """

    activations: tuple[str, ...] = ("tanh",)
    weight_variances: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    bias_variance: float = 0.05
    depths: tuple[int, ...] = (4, 8, 16, 32)
    widths: tuple[int, ...] = (32,)
    optimizers: tuple[Optimizer, ...] = ("sgd",)
    learning_rates: tuple[float, ...] = (0.01,)
    seeds: int = 1
    steps: int = 300
    examples: int = 32

    def networks(self) -> tuple[Plain, ...]:
        """Return the networks in the grid's order: seeds fastest, then weight variances."""
        ways = tuple(zip(self.optimizers, self.learning_rates, strict=True))
        return tuple(
            Plain(
                activation, depth, width, INPUTS, CLASSES, variance, self.bias_variance, "normal", optimizer, rate, seed
            )
            for activation, width, (optimizer, rate), depth, variance, seed in itertools.product(
                self.activations, self.widths, ways, self.depths, self.weight_variances, range(self.seeds)
            )
        )

    def stacks(self) -> tuple[tuple[Plain, ...], ...]:
        """Return the networks in stacks of one shape.

        They are formed from the grid alone, never from what is left to do: the rounding of a batched product may
        depend on the size of the stack, and a sweep that was stopped must end with the same table, bit for bit.
        """
        found: list[tuple[Plain, ...]] = []
        for shape, group in itertools.groupby(self.networks(), key=lambda network: network.shape):
            members, width = tuple(group), shape[2]
            most = stack_size(width)
            found += [members[start : start + most] for start in range(0, len(members), most)]
        return tuple(found)


def stack_size(width: int) -> int:
    """Return how many networks of a width are trained at once."""
    return max(1, _UNITS // width) if width <= _WIDEST else 1


def place(stack: Sequence[Plain], grid: Grid) -> Path:
    """Return where the results of a stack are kept: a name made of all that decides them."""
    question = {
        "networks": [dataclasses.astuple(network) for network in stack],
        "steps": grid.steps,
        "examples": grid.examples,
    }
    return cache.folder() / "sweeps" / f"{cache.key('photic.lab.sweep', question)}.json"


def compute(stack: Sequence[Plain], grid: Grid) -> list[list[float]]:
    """Return loss and accuracy of every network of a stack, from the cache or trained now, on one thread."""

    def fresh() -> list[list[float]]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            trained = train(stack, batches(grid.steps, size=grid.examples))
            right = accuracies(stack, trained, digits()[1])
            last = trained.losses[:, -10:].double().mean(1)
        finally:
            torch.set_num_threads(threads)
        return [[float(a), float(b)] for a, b in zip(last, right, strict=True)]

    return cache.kept(place(stack, grid), fresh)


def sweep(grid: Grid, *, processes: int = 1, engine: Engine = "loky", progress: Progress = lambda _, __: None) -> Sweep:
    """Train what is not in the cache yet and return the whole table with theory beside it.

    Args:
        processes: how many stacks are trained at once.
        engine: who trains them, see `photic.lab.engines`; a cluster's machines must share the cache's folder.
        progress: told how many stacks are done.

    Raises:
        ValueError: for an activation that photic does not know.
    """
    for name in grid.activations:
        if find(name) is None:
            raise ValueError(f"there is no activation {name!r}")
    stacks = grid.stacks()
    missing = [stack for stack in stacks if not place(stack, grid).exists()]
    done = len(stacks) - len(missing)
    progress(f"{len(grid.networks())} networks in {len(stacks)} stacks, {done} of them known", done / len(stacks))
    for _ in carry_out(compute, [(stack, grid) for stack in missing], engine=engine, processes=processes):
        done += 1
        progress(f"{done} of {len(stacks)} stacks", done / len(stacks))
    points: list[SweepPoint] = []
    for stack in stacks:
        for network, (loss, accuracy) in zip(stack, compute(stack, grid), strict=True):
            points.append(
                SweepPoint(
                    network.activation, network.depth, network.width, network.weight_variance, network.bias_variance,
                    network.optimizer, network.learning_rate, network.seed, loss, accuracy,
                )
            )  # fmt: skip
    scales, critical = _theory(grid)
    return Sweep(tuple(points), scales, critical, grid.steps, grid.examples, "scikit-learn's digits")


def _theory(grid: Grid) -> tuple[tuple[DepthScale, ...], dict[str, float]]:
    """Return depth scales along the weight variance, and the critical points."""
    low, high = min(grid.weight_variances), max(grid.weight_variances)
    scales: list[DepthScale] = []
    critical: dict[str, float] = {}
    for name in grid.activations:
        curve = find(name)
        assert curve is not None
        point = critical_at(curve, bias_variance=grid.bias_variance)
        if point is not None and point.holds:
            critical[name] = point.weight_variance
        for variance in np.geomspace(low, high, 61) if high > low else (low,):
            fixed = fixed_point(curve, weight_variance=float(variance), bias_variance=grid.bias_variance)
            scale = abs(fixed.correlation_scale) if not math.isnan(fixed.correlation_scale) else math.inf
            scales.append(DepthScale(name, float(variance), grid.bias_variance, scale, fixed.gain))
    return tuple(scales), critical
