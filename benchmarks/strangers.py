"""Rules against random networks: 420 drawn set-ups, judged by `photic.check` in 20 steps, then trained for 300.

A set-up is a family (MLP, CNN, residual MLP, transformer, RNN, LSTM, GRU) with a drawn activation, initialisation, depth,
width, normalisation, optimizer and rate, on scikit-learn's digits. What is sick is decided by training alone: a loss below
1.0 after 300 steps is healthy, one above 2.0 (chance is 2.30) is sick, what lies between is left out. With `--treat` each is
given to `photic.treat` as well; what it accepts is trained by a plain loop three times, with weights and an order of batches that
no trial used, and counts as repaired where the loss ends below 1.0 in all three; where it ends above 2.0 in one it is accepted wrongly.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import random
import statistics
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.setup import Setup, endless
from photic.checkups.training import train
from photic.lab.clinic import samples
from photic.probes.generators import seeded

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "elu": nn.ELU, "silu": nn.SiLU,
    "leaky-relu": nn.LeakyReLU, "softplus": nn.Softplus,
}  # fmt: skip
STARTS: dict[str, Callable[[Tensor], Any] | None] = {
    "default": None, "he": nn.init.kaiming_normal_, "xavier": nn.init.xavier_uniform_, "orthogonal": nn.init.orthogonal_,
    "N(0, 0.1)": lambda w: nn.init.normal_(w, std=0.1), "N(0, 0.01)": lambda w: nn.init.normal_(w, std=0.01),
    "N(0, 0.6)": lambda w: nn.init.normal_(w, std=0.6),
}  # fmt: skip
STEPS = 300
FRESH = (7, 8, 9)  # seeds of weights and batches by which a treatment is judged
RATES = [("sgd", 0.1), ("sgd", 0.01), ("momentum", 0.01), ("momentum", 0.1), ("adam", 1e-3), ("adam", 3e-3), ("adamw", 1e-3),
         ("adam", 1e-2), ("rmsprop", 1e-3), ("adam", 1e-4)]  # fmt: skip


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Tokens(nn.Module):
    """A transformer encoder over the rows of a digit."""

    def __init__(self, depth: int, *, pre: bool, activation: str) -> None:
        super().__init__()
        self.stem, self.places = nn.Linear(8, 32), nn.Parameter(torch.randn(8, 32) * 0.02)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, activation, batch_first=True, norm_first=pre)
        self.layers, self.head = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.stem(x.view(-1, 8, 8)) + self.places).mean(1))


class Reader(nn.Module):
    """A recurrent network that reads a digit row by row."""

    def __init__(self, kind: type[nn.RNNBase], width: int, layers: int) -> None:
        super().__init__()
        self.layer, self.head = kind(8, width, num_layers=layers, batch_first=True), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.view(-1, 8, 8))[0][:, -1])


class Stranger(NamedTuple):
    """A drawn set-up."""

    words: str
    model: nn.Module
    batches: Any
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]


def draw(seed: int, weights: int | None = None) -> Stranger:
    """Return the set-up of that seed, with its own weights or those of another seed."""
    torch.manual_seed(seed if weights is None else weights)
    choose = random.Random(seed).choice
    family = choose(["mlp", "mlp", "mlp", "cnn", "residual", "transformer", "recurrent"])
    activation, start = choose(list(ACTIVATIONS)), choose(["default", "he", *STARTS])
    depth, width, norm = choose([1, 2, 3, 5, 8, 12, 20]), choose([16, 32, 64, 128]), choose(["", "", "batch", "layer"])
    optimizer, rate = choose(RATES)
    words = f"{family}, {activation}, {start}, {depth} x {width}{f', {norm} norm' if norm else ''}"
    if family == "transformer":
        pre, kind = choose([True, False]), choose(["relu", "gelu"])
        depth = min(depth, 8)
        model: nn.Module = Tokens(depth, pre=pre, activation=kind)
        words = f"transformer, {'pre' if pre else 'post'}-norm, {kind}, depth {depth}"
    elif family == "recurrent":
        cell, layers = choose([nn.LSTM, nn.GRU, nn.RNN]), choose([1, 2, 3])
        model, words = Reader(cell, width, layers), f"{cell.__name__}, {layers} x {width}"
    else:
        model = _stack(family, ACTIVATIONS[activation], depth, width, norm)
        _begin(model, STARTS[start])
    return Stranger(f"{words}; {optimizer} {rate:g}", model, samples.digits(seed), _maker(optimizer, rate))


def _stack(family: str, activation: Callable[[], nn.Module], depth: int, width: int, norm: str) -> nn.Module:
    norms: dict[str, Callable[[], list[nn.Module]]] = {
        "": list, "batch": lambda: [nn.BatchNorm1d(width)], "layer": lambda: [nn.LayerNorm(width)],
    }  # fmt: skip
    if family == "residual":
        blocks = [
            Residual(nn.Sequential(*norms[norm](), nn.Linear(width, width), activation(), nn.Linear(width, width)))
            for _ in range(depth)
        ]
        return nn.Sequential(nn.Linear(64, width), *blocks, nn.Linear(width, 10))
    if family == "cnn":
        parts: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
        for index in range(min(depth, 8)):
            plane = [nn.BatchNorm2d(16)] if norm else []
            parts += [nn.Conv2d(16 if index else 1, 16, 3, padding=1), *plane, activation()]
        return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Linear(width if index else 64, width), *norms[norm](), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def _begin(model: nn.Module, start: Callable[[Tensor], Any] | None) -> None:
    for module in model.modules():
        if start is not None and isinstance(module, (nn.Linear, nn.Conv2d)):
            start(module.weight)
            nn.init.zeros_(module.bias)


def _maker(name: str, rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    makers: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "sgd": lambda held: torch.optim.SGD(held, rate),
        "momentum": lambda held: torch.optim.SGD(held, rate, momentum=0.9),
        "adam": lambda held: torch.optim.Adam(held, rate),
        "adamw": lambda held: torch.optim.AdamW(held, rate),
        "rmsprop": lambda held: torch.optim.RMSprop(held, rate),
    }
    return lambda model: makers[name](model.parameters())


def judge(seed: int, treated: bool = False) -> dict[str, Any]:
    """Check a set-up, then train it, and treat it if asked; return what was found and what became of it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    words, model, batches, optimizer = draw(seed)
    checkup = photic.check(model, batches, F.cross_entropy, optimizer, steps=20)
    torch.manual_seed(seed)
    end = _end(Setup(model, batches, F.cross_entropy, optimizer(model)))
    state = "healthy" if end < 1.0 else "sick" if not end < 2.0 else "between"
    found = [f"{f.problem} ({f.severity})" for f in checkup.findings]
    row = {"seed": seed, "words": words, "state": state, "loss": end, "found": found, "alarm": not checkup.healthy}
    return row | (_treat(seed) if treated and state != "between" else {})


def _end(setup: Setup) -> float:
    losses = train(setup, endless(setup.batches), STEPS)
    return sum(losses[-10:]) / len(losses[-10:])


def _treat(seed: int) -> dict[str, Any]:
    """Treat a set-up whose weights are drawn anew for each seed of a trial; return what was accepted and how far it trains."""
    _, _, batches, optimizer = draw(seed)

    def build() -> nn.Module:
        return draw(seed, torch.initial_seed()).model

    treatment = photic.treat(build, batches, F.cross_entropy, optimizer=optimizer, steps=STEPS)
    said = {"remedy": treatment.remedy, "runs": treatment.record.runs, "notes": treatment.record.notes}
    if not treatment.accepted:
        return said | {"treated": []}
    ends: list[float] = []
    for fresh in FRESH:
        with seeded(fresh):
            ends.append(_end(treatment.setup(seed=fresh)))
    return said | {"treated": ends}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=420, help="how many networks")
    parser.add_argument("--treat", action="store_true", help="treat them too (takes about ten times as long)")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    # A process of a pool may have no children, and the trials of a treatment are some.
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for row in pool.map(partial(judge, treated=options.treat), range(options.first, options.first + options.count)):
            rows.append(row)
            if len(rows) % 20 == 0:
                print(f"{len(rows)} of {options.count}", file=sys.stderr, flush=True)
    healthy, sick = ([row for row in rows if row["state"] == state] for state in ("healthy", "sick"))
    alarms, missed = [row for row in healthy if row["alarm"]], [row for row in sick if not row["alarm"]]
    score = {
        "networks": len(rows),
        "healthy": len(healthy),
        "false alarms": len(alarms),
        "sick": len(sick),
        "missed": len(missed),
    }
    if options.treat:
        accepted = [row for row in sick if row["treated"]]
        score |= {
            "accepted": len(accepted),
            "repaired": sum(max(row["treated"]) < 1.0 for row in accepted),
            "accepted wrongly": sum(not max(row["treated"]) < 2.0 for row in accepted),
            "healthy treated": sum(bool(row["treated"]) for row in healthy),
            "median runs": statistics.median(row["runs"] for row in sick) if sick else 0.0,
        }
    if options.json:
        print(json.dumps({"score": score, "rows": rows}))
        return
    for title, some in (("false alarm", alarms), ("missed", missed)):
        for row in some:
            print(f"{title}: {row['words']} (seed {row['seed']}, loss {row['loss']:.2f}) {', '.join(row['found'])}")
    for row in sick if options.treat else []:
        if not row["treated"] or not max(row["treated"]) < 1.0:
            ends = ", ".join(f"{end:.2f}" for end in row["treated"])
            print(f"not repaired: {row['words']} (seed {row['seed']}) {row['remedy'] or row['notes'][-1]} {ends}")
    print("| " + " | ".join(score) + " |\n|" + "---|" * len(score))
    print("| " + " | ".join(map(str, score.values())) + " |")


if __name__ == "__main__":
    main()
