"""Sick networks with a layer or branch that takes no part, one mechanism each, with their cured twins."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, stack, token_loss


class Highway(nn.Module):
    """A layer that says itself how much of it comes in, and how much of its input is carried on."""

    def __init__(self, width: int, bias: float) -> None:
        super().__init__()
        self.make, self.choose = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.choose.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return rows [batch, width]."""
        share = torch.sigmoid(self.choose(x))
        return share * F.relu(self.make(x)) + (1.0 - share) * x


@case(
    "rings-by-highway", label="idle-layer", root="", steps=300, fixes=("a bias of -1 to -3",),
    source="srivastava2015, highway networks, section 2.2, where biases of -1 to -3 are advised",
    why="The gates' biases start at -30: 1e-13 of each layer comes in, a linear map is left; 0.0 to 0.1, not 0.98.",
)  # fmt: skip
def highway(seed: int, bias: float = -30.0) -> Setup:
    model = nn.Sequential(nn.Linear(2, 16), *[Highway(16, bias) for _ in range(5)], nn.Linear(16, 2))
    return adam(model, samples.circles(seed), rate=1e-2)


cured("rings-by-highway", why="A bias of -1.")(partial(highway, bias=-1.0))


class Hours(nn.Module):
    """Demand from four columns, linear, and from the hour of the day, by a vector for each of 24 bins."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.bins, self.linear = nn.Embedding(24, 8), nn.Linear(4, 8)
        self.head = nn.Linear(8, 1)
        self.register_buffer("edges", torch.arange(1.0, 24.0) * unit)
        self.edges: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return demand [batch, 1]."""
        bin_of_day = torch.bucketize(x[:, 0].contiguous(), self.edges)
        return self.head(self.linear(x[:, 1:]) + self.bins(bin_of_day))


@case(
    "demand-by-the-hour", label="idle-layer", root="bins", steps=300, fixes=("edges in hours",),
    source="common mistake: torch.bucketize with edges in other units than the column",
    why="Edges are in minutes, the column in hours: each of 24 hours falls into the first bin, and r2 is 0.1, not 1.0.",
)  # fmt: skip
def demand(seed: int, unit: float = 60.0) -> Setup:
    draw = samples.generator(61)
    hour = 24.0 * torch.rand(1280, 1, generator=draw)
    rest = torch.randn(1280, 4, generator=draw)
    level = torch.randn(24, generator=draw)[hour.long()]
    batches = samples.stream(torch.cat([hour, rest], 1), level + 0.4 * rest[:, :1], seed)
    return adam(Hours(unit), batches, F.mse_loss, rate=1e-2)


cured("demand-by-the-hour", why="Edges in hours.")(partial(demand, unit=1.0))


class Translator(nn.Module):
    """An encoder of a source and a decoder of what was said so far, which looks at itself and then at the source."""

    def __init__(self, *, across: bool) -> None:
        super().__init__()
        self.words, self.place = nn.Embedding(12, 32), nn.Parameter(torch.randn(7, 32))
        self.encoder, self.out = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)), nn.Linear(32, 12)
        self.own = nn.MultiheadAttention(32, 2, batch_first=True)
        self.cross = nn.MultiheadAttention(32, 2, batch_first=True)
        self.norms, self.across = nn.ModuleList([nn.LayerNorm(32) for _ in range(2)]), across

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, 7, 12] for source and begun translation, side by side in [batch, 14]."""
        source, said = text[:, :7], text[:, 7:]
        memory = self.words(source) + self.place
        memory = memory + self.encoder(memory)
        x = self.words(said) + self.place
        later = torch.ones(7, 7, dtype=torch.bool).triu(1)
        q = self.norms[0](x)
        x = x + self.own(q, q, q, attn_mask=later, need_weights=False)[0]
        q = self.norms[1](x)
        if self.across:
            x = x + self.cross(q, memory, memory, need_weights=False)[0]
        else:
            x = x + self.cross(q, q, q, attn_mask=later, need_weights=False)[0]
        return self.out(x)


@case(
    "translates-seven-words", label="idle-layer", root="encoder", steps=300,
    fixes=("keys and values from the encoder",),
    source="vaswani2017attention, section 3.2.3; a common slip of copied decoder layers",
    why="The second attention was copied from the first and looks at the decoder again: nothing reads the encoder; "
    "accuracy 0.04, not 1.0.",
)  # fmt: skip
def translates(seed: int, *, across: bool = False) -> Setup:
    draw = samples.generator(67)
    source = torch.randint(1, 12, (2048, 7), generator=draw)
    target = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(11, generator=draw)])[source]
    text = torch.cat([source, torch.zeros(2048, 1, dtype=torch.long), target[:, :-1]], 1)
    return adam(Translator(across=across), samples.stream(text, target, seed), token_loss, rate=3e-3)


cured("translates-seven-words", why="Keys and values of the encoder.")(partial(translates, across=True))


class Thinned(nn.Linear):
    """A linear layer of which only the weights under its mask count."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.register_buffer("mask", torch.ones(after, before))
        self.mask: Tensor

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return rows [batch, after]."""
        return F.linear(x, self.weight * self.mask, self.bias)


class Sparse(nn.Module):
    """A linear answer and a thinned network of two hidden layers beside it."""

    def __init__(self, kept: float, *, alone: bool) -> None:
        super().__init__()
        self.first, self.second = Thinned(12, 128), Thinned(128, 128)
        self.last, self.linear = nn.Linear(128, 1), nn.Linear(12, 1)
        layers = (self.first, self.second)
        every = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
        for layer in layers:
            size = layer.weight.detach().abs()
            layer.mask = (size >= (size.flatten() if alone else every).quantile(1.0 - kept)).float()

    def forward(self, x: Tensor) -> Tensor:
        """Return numbers [batch, 1]."""
        return self.linear(x) + self.last(F.relu(self.second(F.relu(self.first(x)))))


@case(
    "one-weight-in-twenty", label="idle-layer", root="second", steps=300, fixes=("prune each layer by itself",),
    source="tanaka2020, pruning neural networks without any data, section 3: layer collapse",
    why="One threshold for all layers: none of the second layer's 16,384 weights is left, for they are smaller than "
    "the first's; r2 0.03, not 0.8.",
)  # fmt: skip
def one_in_20(seed: int, *, alone: bool = False) -> Setup:
    x = torch.randn(1280, 12, generator=samples.generator(71))
    y = x[:, :1] * x[:, 1:2] + x[:, 2:3].abs() - 0.8 + 0.1 * x[:, 3:4]
    return adam(Sparse(0.05, alone=alone), samples.stream(x, y, seed), F.mse_loss, rate=1e-2)


cured("one-weight-in-twenty", why="A threshold for each layer.")(partial(one_in_20, alone=True))


class Pooled(nn.Module):
    """Weighs the steps of a recording by a small network and reads their weighted sum."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score, self.read, self.dim = stack([6, 32, 1], nn.Tanh), stack([6, 32, 1]), dim

    def forward(self, x: Tensor) -> Tensor:
        """Return numbers [batch, 1]."""
        weights = F.softmax(self.score(x), dim=self.dim)
        return self.read((weights * x).sum(1))


@case(
    "the-step-that-counts", label="idle-layer", root="score", steps=300, fixes=("softmax over the steps",),
    source="common mistake: attention weights are all 1, softmax(dim=-1) of [batch, time, 1]",
    why="The softmax runs over an axis of one number: each step weighs 1, the scores' gradient is exactly 0; r2 0.1, "
    "not 1.0.",
)  # fmt: skip
def counts(seed: int, dim: int = -1) -> Setup:
    draw = samples.generator(73)
    x = torch.randn(1280, 12, 6, generator=draw)
    x[..., 0] *= 0.1
    step = torch.randint(12, (1280,), generator=draw)
    rows = torch.arange(1280)
    x[rows, step, 0] += 2.0
    return adam(Pooled(dim), samples.stream(x, x[rows, step, 1:2].clone(), seed), F.mse_loss, rate=5e-3)


cured("the-step-that-counts", why="Over the steps.")(partial(counts, dim=1))


class OwnMomentum(torch.optim.Optimizer):
    """Gradient descent with momentum, written by hand."""

    def __init__(self, params: Iterable[Any], lr: float = 0.1, beta: float = 0.9, ends: bool = True) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "ends": ends})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move the parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    if group["ends"]:
                        break
                    continue
                speed = self.state[p].setdefault("speed", torch.zeros_like(p))
                speed.mul_(group["beta"]).add_(p.grad)
                p.sub_(group["lr"] * speed)


class Refactored(nn.Module):
    """A classifier behind a code of two numbers; an older head was left in it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = stack([2, 48, 10])
        self.old_head = nn.Linear(2, 10)
        self.code = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(self.code(x))


@case(
    "an-older-head-left-in", label="idle-layer", root="code", steps=300,
    fixes=("continue, not break", "delete the old head"),
    source="common mistake of hand-written optimizers: break (or return) at a parameter without a gradient",
    why="The optimizer's loop ends at the first parameter without a gradient: the code, behind it, never moves; 0.2 "
    "to 0.35, not 0.7.",
)  # fmt: skip
def older_head(seed: int, *, ends: bool = True) -> Setup:
    model = Refactored()
    return Setup(model, samples.digits(seed), F.cross_entropy, OwnMomentum(model.parameters(), lr=0.05, ends=ends))


cured("an-older-head-left-in", why="continue.")(partial(older_head, ends=False))


class Averaged(nn.Module):
    """A code whose weights are kept as a running mean too; the mean is used outside of training."""

    def __init__(self, *, swapped: bool) -> None:
        super().__init__()
        self.code, self.head = nn.Linear(64, 2), stack([2, 48, 10])
        self.mean = copy.deepcopy(self.code).requires_grad_(False)
        self.swapped = swapped

    @torch.no_grad()
    def follow(self) -> None:
        """Move the mean towards the weights, by a tenth of the way."""
        for live, kept in zip(self.code.parameters(), self.mean.parameters(), strict=True):
            if self.swapped:
                live.data.mul_(0.1).add_(kept.data, alpha=0.9)
            else:
                kept.data.mul_(0.9).add_(live.data, alpha=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        if self.training:
            self.follow()
            return self.head(F.elu(self.code(x)))
        return self.head(F.elu(self.mean(x)))


@case(
    "a-mean-that-follows", label="idle-layer", root="code", steps=300, fixes=("update the mean, not the weights",),
    source="common mistake: soft_update(target, local) called with its arguments swapped",
    why="The running mean's arguments are swapped: nine tenths of the weights as drawn come back at each step; 0.2 "
    "to 0.4, not 0.7.",
)  # fmt: skip
def follows(seed: int, *, swapped: bool = True) -> Setup:
    return adam(Averaged(swapped=swapped), samples.digits(seed), rate=1e-2)


cured("a-mean-that-follows", why="The mean follows the weights.")(partial(follows, swapped=False))


class Loop(nn.Module):
    """A recurrent net written as a loop over time, of an input matrix and a recurrent one."""

    def __init__(self, *, anew: bool) -> None:
        super().__init__()
        self.w_in = nn.Parameter(torch.randn(samples.KINDS + 1, 32) / math.sqrt(5.0))
        self.w_state = nn.Parameter(nn.init.orthogonal_(torch.empty(32, 32)))
        self.head, self.anew = nn.Linear(32, samples.KINDS), anew

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        h = torch.zeros(len(x), 32)
        for step in x.unbind(1):
            if self.anew:
                h = torch.zeros(len(x), 32)
            h = torch.tanh(step @ self.w_in + h @ self.w_state)
        return self.head(h)


@case(
    "a-loop-over-time", label="idle-layer", root="", steps=300, fixes=("make the state before the loop",),
    source="common mistake: hidden state initialised inside the loop",
    why="The state is made 0 inside the loop: the recurrent matrix multiplies zeros, its gradient is 0; accuracy "
    "0.05, not 1.0.",
)  # fmt: skip
def loop(seed: int, *, anew: bool = True) -> Setup:
    return adam(Loop(anew=anew), samples.recall(seed, length=10), rate=3e-3)


cured("a-loop-over-time", why="Made once.")(partial(loop, anew=False))


class TwoKinds(nn.Module):
    """A linear rule for plain rows; a network of their own for those marked in the first column."""

    def __init__(self, *, chained: bool) -> None:
        super().__init__()
        self.plain, self.special, self.chained = nn.Linear(6, 2), stack([6, 48, 48, 1]), chained

    def forward(self, x: Tensor) -> Tensor:
        """Return numbers [batch, 1]: what is to be paid; the second of the rule's two is a fee for all."""
        out = self.plain(x)
        marked = x[:, 0] > 0.5
        if self.chained:
            out[marked][:, 0] = self.special(x[marked])[:, 0]
        else:
            out[marked, 0] = self.special(x[marked])[:, 0]
        return out.sum(1, keepdim=True)


@case(
    "marked-rows-apart", label="idle-layer", root="special", steps=300, fixes=("index once: out[marked, 0]",),
    source="the documentation of NumPy and torch on chained indexing; Stack Overflow 20627138 for pandas",
    why="out[marked][:, 0] = ... writes into a copy: the network for three rows in four is run and lost; r2 0.01, "
    "not 0.9.",
)  # fmt: skip
def marked(seed: int, *, chained: bool = True) -> Setup:
    draw = samples.generator(79)
    x = torch.randn(1280, 6, generator=draw)
    x[:, 0] = (torch.rand(1280, generator=draw) < 0.75).float()
    curved = 2.0 * torch.sin(2.0 * x[:, 1]) * x[:, 2].sign() + x[:, 3].square() - 1.0
    y = torch.where(x[:, 0] > 0.5, curved, 0.5 * x[:, 4]) + 0.2 * x[:, 5]
    return adam(TwoKinds(chained=chained), samples.stream(x, y[:, None], seed), F.mse_loss, rate=5e-3)


cured("marked-rows-apart", why="Indexed once.")(partial(marked, chained=False))
