"""Knobs: what a reader may turn, with the limits that keep every answer quick; and the network that they describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.initialisers.initialise import initialise
from photic.probes.generators import seeded

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "softsign": F.softsign,
    "softplus": F.softplus,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
}
INITIALISERS = ("default", "xavier", "he", "centred_logistic", "lecun", "orthogonal", "critical")
NORMALISATIONS = ("none", "batch", "layer")
DATA = ("digits", "circles", "spirals", "shapeset")
BATCH = 64
DEPTHS, WIDTHS, RATES, STEPS = (1, 40), (2, 256), (1e-4, 10.0), (1, 2000)


@dataclass(frozen=True)
class Knobs:
    """A network and its training, as the reader chose them.

    Attributes:
        activation: one of ACTIVATIONS, after each hidden layer.
        initialiser: `default` for what torch.nn.Linear does by itself, or one of INITIALISERS.
        depth: hidden layers, 1 to 40.
        width: units of each, 2 to 256.
        normalisation: `none`, `batch` or `layer`, before the activation.
        residual: whether the input of each hidden layer but the first is added to its output.
        data: one of DATA.
        learning_rate: of plain gradient descent, 1e-4 to 10.
        steps: of training, 1 to 2000.
        seed: 0 to 999.
    """

    activation: str = "sigmoid"
    initialiser: str = "default"
    depth: int = 10
    width: int = 64
    normalisation: str = "none"
    residual: bool = False
    data: str = "digits"
    learning_rate: float = 0.1
    steps: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        words = {
            "activation": tuple(ACTIVATIONS),
            "initialiser": INITIALISERS,
            "normalisation": NORMALISATIONS,
            "data": DATA,
        }
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}")
        limits = {"depth": DEPTHS, "width": WIDTHS, "learning_rate": RATES, "steps": STEPS, "seed": (0, 999)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g}")


def parsed(given: Mapping[str, str]) -> Knobs:
    """Return the knobs that words describe; what is not given stays as it is.

    Raises:
        ValueError: for an unknown name, or a value that does not fit; the message says what does.
    """
    fields = {field.name: type(field.default) for field in dataclasses.fields(Knobs)}
    found: dict[str, Any] = {}
    for name, word in given.items():
        if name not in fields:
            raise ValueError(f"there is no knob of that name; there are {', '.join(fields)}")
        kind = fields[name]
        try:
            found[name] = word in ("1", "true", "yes") if kind is bool else kind(word)
        except ValueError:
            raise ValueError(f"{name} must be a number") from None
    return Knobs(**found)


class Network(nn.Module):
    """Hidden layers of equal width, each with an activation, and a head; written as people write it."""

    def __init__(self, knobs: Knobs, inputs: int, classes: int) -> None:
        super().__init__()
        sizes = [inputs] + [knobs.width] * knobs.depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        kinds = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        kind = kinds.get(knobs.normalisation)
        self.norms = nn.ModuleList(kind(knobs.width) for _ in self.hidden) if kind is not None else None
        self.head = nn.Linear(knobs.width, classes)
        self.activation = ACTIVATIONS[knobs.activation]
        self.residual = knobs.residual

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        for index, layer in enumerate(self.hidden):
            z = layer(x)
            if self.norms is not None:
                z = self.norms[index](z)
            a = self.activation(z)
            x = x + a if self.residual and index > 0 else a
        return self.head(x)


@lru_cache(maxsize=len(DATA))
def dataset(name: str) -> tuple[Tensor, Tensor, int]:
    """Return inputs of mean 0 in each feature and deviation 1 over all, labels, and the number of classes."""
    if name == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
    elif name == "shapeset":
        from photic.lab.datasets.shapeset import shapeset

        x, y = shapeset(1000, seed=0)
    else:
        generator = np.random.default_rng(0)
        count, arms = 1000, 2
        y = np.arange(count) % arms
        t = generator.uniform(0.1, 1.0, count)
        if name == "circles":
            angle, radius = generator.uniform(0.0, 2.0 * np.pi, count), np.where(y == 0, 0.4, 1.0)
        else:
            angle, radius = 3.0 * np.pi * t + np.pi * y, t
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) + generator.normal(0.0, 0.03, (count, 2))
    inputs = torch.tensor(np.asarray(x), dtype=torch.float32)
    labels = torch.tensor(np.asarray(y), dtype=torch.int64)
    inputs = inputs - inputs.mean(0)
    return inputs / inputs.std(), labels, int(labels.max()) + 1


def built(knobs: Knobs) -> tuple[Network, tuple[Tensor, Tensor]]:
    """Return the network with its weights drawn, and the batch that it is audited with."""
    inputs, labels, classes = dataset(knobs.data)
    with seeded(knobs.seed):
        network = Network(knobs, inputs.shape[1], classes)
        chosen = torch.randperm(len(labels))[:BATCH]
        batch = (inputs[chosen], labels[chosen])
        if knobs.initialiser != "default":
            initialise(network, knobs.initialiser, batch=batch[0], seed=knobs.seed)
    return network, batch


def batches(knobs: Knobs) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end, in an order that the seed decides."""
    inputs, labels, _ = dataset(knobs.data)
    generator = torch.Generator().manual_seed(knobs.seed)
    while True:
        for chosen in torch.randperm(len(labels), generator=generator).split(BATCH):
            if len(chosen) > 1:
                yield inputs[chosen], labels[chosen]
