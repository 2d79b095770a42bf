"""Numbers that keep from dividing by 0, larger than what they are added to: in optimizers and normalisers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import stack, token_loss

FARAD = 1e-12  # a picofarad, as the parts of a circuit have it


class Parts(nn.Module):
    """A set model: the capacitance of a circuit is the sum of what each part gives."""

    def __init__(self) -> None:
        super().__init__()
        self.part = stack([6, 48, 48, 1], nn.SiLU)

    def forward(self, parts: Tensor) -> Tensor:
        """Return picofarads [batch, 1] of parts [batch, parts, 6]."""
        return self.part(parts).sum(1)


def _absolute_farads(output: Tensor, target: Tensor) -> Tensor:
    return FARAD * F.l1_loss(output, target)


@case(
    "parts-in-farads", label="frozen-by-epsilon", root="", steps=300,
    fixes=("a loss in picofarads", "a smaller epsilon"),
    source="common mistake: SI units; pytorch docs, Adam, eps",
    why="An error in farads has gradients of 1e-14 to 6e-12, a thousandth or less of Adam's epsilon of 1e-8.",
)  # fmt: skip
def parts(seed: int, eps: float = 1e-8) -> Setup:
    draw = samples.generator(seed + 141)
    x = torch.randn(768, 7, 6, generator=draw)
    way = torch.randn(2, 6, generator=samples.generator(6)) * 0.6
    whole = (torch.tanh(x @ way[0]) + 0.5 * torch.relu(x @ way[1])).sum(1, keepdim=True)
    model = Parts()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, eps=eps, weight_decay=0.0)
    return Setup(model, samples.stream(x, whole, seed), _absolute_farads, optimizer)


cured("parts-in-farads", why="An epsilon of 1e-18.")(partial(parts, eps=1e-18))


class Waves(nn.Module):
    """A small network for brain waves: filters over time, then over channels, batch normalisation, power, mean."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.time = nn.Conv2d(1, 8, (1, 9), bias=False)
        self.space = nn.Conv2d(8, 12, (4, 1), bias=False)
        self.norm, self.head = nn.BatchNorm2d(12, eps=eps), nn.Linear(12, 3)

    def forward(self, volts: Tensor) -> Tensor:
        """Return logits [batch, 3] of volts [batch, 4, time]."""
        filtered = self.norm(self.space(self.time(volts[:, None])))
        return self.head(filtered.pow(2).mean((-2, -1)))


@case(
    "waves-in-volts", label="frozen-by-epsilon", root="norm", steps=300, fixes=("microvolts", "a smaller epsilon"),
    source="braindecode, preprocessing: MNE gives volts, networks want microvolts",
    why="Filtered brain waves have a variance of 9e-13 volts squared, the batch normalisation an epsilon of 1e-5.",
)  # fmt: skip
def waves(seed: int, eps: float = 1e-5) -> Setup:
    draw = samples.generator(seed + 151)
    y = torch.randint(3, (768,), generator=draw)
    time = torch.arange(48)
    phase = torch.rand(768, 4, 1, generator=draw) * 6.28
    speed = torch.tensor([0.35, 0.7, 1.2])[y][:, None, None]
    x = torch.sin(speed * time + phase) + 1.0 * torch.randn(768, 4, 48, generator=draw)
    model = Waves(eps)
    return Setup(
        model, samples.stream(2e-6 * x, y, seed), F.cross_entropy, torch.optim.Adam(model.parameters(), lr=3e-3)
    )


cured("waves-in-volts", why="An epsilon of 1e-18.")(partial(waves, eps=1e-18))


class OwnAdam(torch.optim.Optimizer):
    """Adam written by hand, with its epsilon under the root."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter once."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["t"], state["m"], state["v"] = 0, torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["t"] += 1
                state["m"].lerp_(parameter.grad, 0.1)
                state["v"].lerp_(parameter.grad**2, 0.001)
                mean, square = state["m"] / (1.0 - 0.9 ** state["t"]), state["v"] / (1.0 - 0.999 ** state["t"])
                parameter -= group["lr"] * mean / torch.sqrt(square + group["eps"])


class Factors(nn.Module):
    """Matrix factorisation: users and items as vectors, their product a rating."""

    def __init__(self, users: int = 60, items: int = 40, width: int = 6) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, pair: Tensor) -> Tensor:
        """Return ratings [batch]."""
        return torch.einsum("bd,bd->b", self.users(pair[:, 0]), self.items(pair[:, 1]))


@case(
    "ratings-by-own-adam", label="frozen-by-epsilon", root="", steps=300, fixes=("the epsilon outside of the root",),
    source="common mistake: sqrt(v + eps) for sqrt(v) + eps; kingma2015, algorithm 1",
    why="An epsilon of 1e-2 under the root is one of 0.1, and the gradient of a vector's entry is about 6e-4.",
)  # fmt: skip
def ratings(seed: int, eps: float = 1e-2) -> Setup:
    draw = samples.generator(seed + 161)
    pair = torch.cartesian_prod(torch.arange(60), torch.arange(40))
    taste, trait = torch.randn(60, 3, generator=draw), torch.randn(40, 3, generator=draw)
    rating = (taste[pair[:, 0]] * trait[pair[:, 1]]).sum(1) / 3**0.5
    model = Factors()
    return Setup(
        model, samples.stream(pair, rating, seed, size=240), F.mse_loss, OwnAdam(model.parameters(), lr=1e-2, eps=eps)
    )


cured("ratings-by-own-adam", why="An epsilon of 1e-16 under the root.")(partial(ratings, eps=1e-16))


class LayerwiseRate(torch.optim.Optimizer):
    """LARS by hand: each tensor's step is a share of its own length."""

    def __init__(self, params: Iterable[Any], lr: float = 0.02, eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter once."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                trust = (parameter.norm() + 0.01) / (parameter.grad.norm() + group["eps"])
                parameter.add_(parameter.grad * trust, alpha=-group["lr"])


@case(
    "layerwise-rates", label="frozen-by-epsilon", root="", steps=300, fixes=("an epsilon of 1e-8",),
    source="you2017; common mistake: an epsilon of a config taken as 1e+3, not 1e-3",
    why="Gradients of a norm of 0.02 to 0.3 are divided by their norm and an epsilon of 1000.",
)  # fmt: skip
def layerwise(seed: int, eps: float = 1e3) -> Setup:
    layers = [nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 16, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    return Setup(model, samples.digit_images(seed), F.cross_entropy, LayerwiseRate(model.parameters(), eps=eps))


cured("layerwise-rates", why="An epsilon of 1e-8.")(partial(layerwise, eps=1e-8))


class Speller(nn.Module):
    """A language model of one recurrent layer, with the embedding as its head."""

    def __init__(self, words: int = 20, width: int = 32) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(words, width), nn.GRU(width, width, batch_first=True)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, words]."""
        return self.layer(self.embedding(tokens))[0] @ self.embedding.weight.t()


@case(
    "tied-speller", label="frozen-by-epsilon", root="", steps=300, fixes=("an epsilon of 1e-8",),
    source="mlpnlp/mlpnlp-nmt#4; microsoft/unilm#264",
    why="An epsilon of 1, as for Inception, over gradients whose entries are 1e-4 to 2e-3.",
)  # fmt: skip
def speller(seed: int, eps: float = 1.0) -> Setup:
    model = Speller()
    optimizer = torch.optim.NAdam(model.parameters(), lr=5e-3, eps=eps)
    return Setup(model, samples.language(seed), token_loss, optimizer)


cured("tied-speller", why="An epsilon of 1e-8.")(partial(speller, eps=1e-8))
