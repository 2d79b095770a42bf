"""Rewind as ground truth: reset one layer after training, and see what of the loss's fall is lost, beside what the check said.

Networks are drawn as in `strangers`, checked for 20 steps and trained for 300. Then each layer alone is set back to its first
weights. The share of the fall that this costs is what the layer has learned (zhang2022: robust and critical layers), with one
caveat: in a residual network a layer may be robust and healthy. Beside it stand, at the start: the gradient's arrival
(criterion B), the layer's motion |dW h| / |W h| in one step (C), and the ratio of signal to noise over micro-batches of eight
examples, 8 n |mean|^2 / tr Var (D; 1 is pure noise).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from strangers import draw
from torch import Tensor, nn

import photic
from photic.checkups.setup import Setup, endless
from photic.checkups.training import train

BANDS = (0.0, 1e-6, 1e-4, 5e-3, 0.05, 0.5, float("inf"))
MICRO = 8


def loss_of(model: nn.Module, batches: Sequence[Any]) -> float:
    """Return the mean loss over batches, in train mode: normalisations use the batch."""
    with torch.no_grad():
        return statistics.fmean(float(F.cross_entropy(model(x), y)) for x, y in batches)


def motion(before: nn.Module, after: nn.Module, x: Tensor) -> dict[str, float]:
    """Return |dW h| / |W h| of each linear and convolutional layer, h as it enters before the step."""
    found: dict[str, float] = {}
    later = dict(after.named_modules())
    hooks: list[Any] = []

    def read(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            with torch.no_grad():
                changed = type(module).forward(later[name], given[0])
                found[name] = float((changed - output).norm() / output.norm().clamp_min(1e-300))

        return hook

    for name, module in before.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            hooks.append(module.register_forward_hook(read(name)))
    with torch.no_grad():
        before(x)
    for hook in hooks:
        hook.remove()
    return found


def information(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """Return N |mean gradient|^2 / tr Var over N micro-batches at fixed weights, of each layer's weight."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}
    for part, target in zip(x.split(MICRO), y.split(MICRO), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(model(part), target), [m.weight for m in layers.values()])
        for name, gradient in zip(layers, gradients, strict=True):
            rows[name].append(gradient.flatten().double())
    found: dict[str, float] = {}
    for name, parts in rows.items():
        stacked = torch.stack(parts)
        noise = float(stacked.var(0).sum())
        found[name] = len(parts) * float(stacked.mean(0).square().sum()) / noise if noise > 0.0 else 0.0
    return found


def trial(seed: int) -> list[dict[str, Any]]:
    """Return one row for each layer of a drawn network; none for families whose layers are no plain modules."""
    words, model, batches, optimizer = draw(seed)
    if words.startswith(("transformer", "RNN", "LSTM", "GRU")):
        return []
    x, y = next(iter(batches()))
    checkup = photic.check(model, batches, F.cross_entropy, optimizer, steps=20)
    profile = checkup.diagnosis.profile
    if profile is None:
        return []
    victims = {name for f in checkup.findings if f.severity != "info" for name in f.victims}
    one = copy.deepcopy(model)
    train(Setup(one, batches, F.cross_entropy, optimizer(one)), endless(batches), 1)
    moved, told = motion(copy.deepcopy(model), one, x), information(copy.deepcopy(model), x, y)
    start, end = model, copy.deepcopy(model)
    losses = train(Setup(end, batches, F.cross_entropy, optimizer(end)), endless(batches), 300)
    some = [batch for batch, _ in zip(batches(), range(6), strict=False)]
    first, last = loss_of(start, some), loss_of(end, some)
    if len(losses) < 300 or not last < 0.9 * first or last > 2.0:
        return []
    rows: list[dict[str, Any]] = []
    firsts = dict(start.named_modules())
    for line in profile.layers:
        if line.site not in moved:
            continue
        rewound = copy.deepcopy(end)
        dict(rewound.named_modules())[line.site].load_state_dict(firsts[line.site].state_dict())
        rows.append({
            "seed": seed, "words": words, "layer": line.site, "arrival": line.arrival, "motion": moved[line.site],
            "signal": told[line.site], "victim": line.site in victims, "alarm": not checkup.healthy,
            "rewind": (loss_of(rewound, some) - last) / (first - last),
            "adaptive": "sgd" not in words and "momentum" not in words,
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a layer")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=120, help="how many networks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    for seed in range(options.first, options.first + options.count):
        found = trial(seed)
        rows += found
        if options.json:
            for row in found:
                print(json.dumps(row), flush=True)
    if not options.json:
        print_table(rows)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print what layers learn by the share of the gradient that arrives at them."""
    print(
        "| optimizer | arrival | layers | learned less than 1 % of the fall | median share | median motion | signal |"
    )
    print("|---|---|---|---|---|---|---|")
    for adaptive in (False, True):
        for low, high in itertools.pairwise(BANDS):
            here = [r for r in rows if r["adaptive"] == adaptive and low <= (r["arrival"] or 0.0) < high]
            if here:
                middle = {key: statistics.median(r[key] for r in here) for key in ("rewind", "motion", "signal")}
                print(
                    f"| {'adaptive' if adaptive else 'descent'} | {low:.0e} to {high:.0e} | {len(here)} | "
                    f"{sum(r['rewind'] < 0.01 for r in here)} | {middle['rewind']:.3f} | {middle['motion']:.1e} | {middle['signal']:.1f} |"
                )


if __name__ == "__main__":
    main()
