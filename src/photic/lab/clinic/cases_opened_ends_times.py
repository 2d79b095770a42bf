"""Opened: gradients that grow with time: gates, spikes, scans, simulations, plans and inner loops."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, sgd, stack


class ExponentialGates(nn.Module):
    """An LSTM with exponential gates, as in xLSTM; the cell is divided by what the gates have let in, or not."""

    def __init__(self, *, normalised: bool) -> None:
        super().__init__()
        self.gates, self.rest, self.head = nn.Linear(5, 64), nn.Linear(5 + 32, 64), nn.Linear(32, samples.KINDS)
        self.normalised = normalised
        nn.init.constant_(self.gates.bias[32:], 0.5)  # the memory is to be kept

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        h, c, n = (x.new_zeros(len(x), 32) for _ in range(3))
        m = x.new_zeros(len(x), 32)
        for step in x.unbind(1):
            (i, f), (z, o) = self.gates(step).chunk(2, 1), self.rest(torch.cat([step, h], 1)).chunk(2, 1)
            top = torch.maximum(f + m, i) if self.normalised else m
            i, f = (i - top).exp(), (f + m - top).exp()
            c, n, m = f * c + i * z.tanh(), f * n + i, top
            h = o.sigmoid() * (c / n if self.normalised else c)
        return self.head(h)


@case(
    "first-of-thirty-exponential", label="exploding-in-time", root="", steps=150, fixes=("divide by the normaliser",),
    source="beck2024 (xLSTM), equations 8 to 17, without normaliser and stabiliser",
    why="The forget gate is exp(0.5 or so) and nothing divides by the sum: outputs of 1e6 after 30 steps, not 0.2.",
)  # fmt: skip
def exponential(seed: int, *, normalised: bool = False) -> Setup:
    return sgd(ExponentialGates(normalised=normalised), samples.recall(seed, length=30), rate=0.3, momentum=0.9)


cured("first-of-thirty-exponential", why="Normaliser and stabiliser.")(partial(exponential, normalised=True))


class LooksBack(nn.Module):
    """Every state is made of the input and of all states before it, taken together."""

    def __init__(self, together: str) -> None:
        super().__init__()
        self.enter, self.past = nn.Linear(8, 48), nn.Parameter(torch.randn(48, 48) * (2.0 / 48) ** 0.5)
        self.head, self.together = nn.Linear(48, 10), together

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of digits, read in half rows."""
        states = [torch.relu(self.enter(x[:, :8]))]
        for half in F.pad(x, (4, 4)).unfold(1, 8, 4).unbind(1):
            before = torch.stack(states)
            seen = before.sum(0) if self.together == "sum" else before.mean(0)
            states.append(torch.relu(self.enter(half) + seen @ self.past))
        return self.head(states[-1])


@case(
    "half-rows-and-all-before", label="exploding-in-time", root="", steps=300, fixes=("the mean",),
    source="soltani2016 (higher order recurrent networks), written with a sum",
    why="Each state reads the sum of all states before it, for 17 steps: outputs of 2e4 to 3e5, not 1.",
)  # fmt: skip
def looks_back(seed: int, together: str = "sum") -> Setup:
    return adam(LooksBack(together), samples.digits(seed), rate=3e-3)


cured("half-rows-and-all-before", why="The mean of the states.")(partial(looks_back, together="mean"))


class OneMask(nn.Module):
    """A gated memory under variational dropout: one mask a sequence, on the memory or on what is read from it."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.gates, self.head, self.where = nn.Linear(5 + 32, 3 * 32), nn.Linear(32, samples.KINDS), where
        with torch.no_grad():
            self.gates.bias[:32] = 5.0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        c = h = x.new_zeros(len(x), 32)
        mask = F.dropout(torch.ones_like(c), 0.3, self.training)
        for step in x.unbind(1):
            f, i, z = self.gates(torch.cat([step, h], 1)).chunk(3, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(z)
            if self.where == "memory":
                c = h = c * mask
            else:
                h = torch.tanh(c) * mask
        return self.head(h)


@case(
    "one-mask-a-sequence", label="exploding-in-time", root="", steps=300, fixes=("mask what is read",),
    source="gal2016; semeniuta2016, section 3 on dropping the memory cell",
    why="One mask for all steps multiplies the memory by 1 / 0.7 each time: 1.43^30 is 4e4, gradients of 4e5, not 4.",
)  # fmt: skip
def one_mask(seed: int, where: str = "memory") -> Setup:
    return adam(OneMask(where), samples.recall(seed, length=30), rate=5e-3)


cured("one-mask-a-sequence", why="What is read is masked, the memory is not.")(partial(one_mask, where="read"))


class Spike(torch.autograd.Function):
    """1 above the threshold; backward a fast sigmoid's derivative, of a height and a slope."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, height: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return spikes, 0 or 1."""
        ctx.save_for_backward(v)
        ctx.height = height
        return (v > 0.0).to(v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the surrogate's gradient."""
        (v,) = ctx.saved_tensors
        return grads[0] * ctx.height / (1.0 + 5.0 * v.abs()) ** 2, None


class Spiking(nn.Module):
    """Leaky cells that fire at each other for 25 ticks, with the digit as a constant current."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.enter, self.among = nn.Linear(64, 64), nn.Linear(64, 64, bias=False)
        self.read, self.height = nn.Linear(64, 10), height
        nn.init.normal_(self.among.weight, std=0.125)
        nn.init.normal_(self.enter.weight, std=0.125)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10], the mean over the ticks."""
        current = self.enter(x)
        v = s = torch.zeros_like(current)
        total = current.new_zeros(len(x), 64)
        for _ in range(25):
            v = 0.9 * v * (1.0 - s) + 0.5 * current + self.among(s)
            s = Spike.apply(v - 1.0, self.height)
            total = total + s / 25
        return self.read(total)


@case(
    "cells-that-fire", label="exploding-in-time", root="", steps=300, fixes=("a surrogate of height 0.3",),
    source="zenke2021 (the remarkable robustness of surrogate gradient learning); neftci2019",
    why="The surrogate derivative is 10 high, not 0.3: outputs as before, gradients of 1e11 after 25 ticks, not 0.3.",
)  # fmt: skip
def spiking(seed: int, height: float = 10.0) -> Setup:
    return sgd(Spiking(height), samples.digits(seed), rate=0.1, momentum=0.9)


cured("cells-that-fire", why="A surrogate of height 0.3.")(partial(spiking, height=0.3))


class Adapts(nn.Module):
    """Features of a number, and a head that takes twelve inner steps of descent on the ten points shown."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.features, self.reduction = stack([1, 40, 40], nn.ReLU, he), reduction
        self.start = nn.Parameter(torch.zeros(40, 1))

    def forward(self, points: Tensor) -> Tensor:
        """Return heights of the last ten of 20 points; the first ten are shown with theirs [batch, 20, 2]."""
        seen = torch.relu(self.features(points[..., :1]))
        shown, asked, heights = seen[:, :10], seen[:, 10:], points[:, :10, 1:]
        head = self.start.expand(len(points), -1, -1)
        for _ in range(12):
            slope = torch.einsum("bnf,bno->bfo", shown, shown @ head - heights)
            head = head - 0.02 * (slope if self.reduction == "sum" else slope / 10)
        return (asked @ head)[..., 0]


def _sines(seed: int, rows: int = 640) -> Batches:
    draw = samples.generator(seed + 63)
    x = 4.0 * torch.rand(rows, 20, generator=draw) - 2.0
    height, phase = 0.5 + torch.rand(rows, 1, generator=draw), 3.0 * torch.rand(rows, 1, generator=draw)
    y = height * torch.sin(1.5 * x + phase)
    shown = torch.cat([y[:, :10], torch.zeros(rows, 10)], 1)
    return samples.stream(torch.stack([x, shown], 2), y[:, 10:], seed, size=32)


@case(
    "curves-from-ten-points", label="exploding-in-time", root="", steps=300, fixes=("the mean over the points",),
    source="finn2017; antoniou2019 (how to train your MAML), section 3.1",
    why="The inner loss is summed over ten points: each of twelve inner steps overshoots, outputs of 1e12, not 2.",
)  # fmt: skip
def adapts(seed: int, reduction: str = "sum") -> Setup:
    return adam(Adapts(reduction), _sines(seed), F.mse_loss, rate=3e-3)


cured("curves-from-ten-points", why="The mean over the ten points.")(partial(adapts, reduction="mean"))


class Scan(torch.autograd.Function):
    """h = a h + u over time, with a backward written by hand: right, or divided where it should be multiplied."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, u: Tensor, a: Tensor, divided: bool
    ) -> Tensor:
        """Return all states [batch, time, width]."""
        states, h = [], torch.zeros_like(u[:, 0])
        for step in u.unbind(1):
            h = a * h + step
            states.append(h)
        held = torch.stack(states, 1)
        ctx.save_for_backward(held, a)
        ctx.divided = divided
        return held

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of u and a."""
        held, a = ctx.saved_tensors
        factor = 1.0 / a if ctx.divided else a
        back, carried = [], torch.zeros_like(grads[0][:, 0])
        for g in grads[0].unbind(1)[::-1]:
            carried = factor * carried + g
            back.append(carried)
        du = torch.stack(back[::-1], 1)
        return du, (du[:, 1:] * held[:, :-1]).sum((0, 1)), None


class Scanned(nn.Module):
    """Tokens, a scan with decays from 0.5 to 0.95, gated; what comes next is told at each place."""

    def __init__(self, *, divided: bool) -> None:
        super().__init__()
        self.embed, self.gate, self.head = nn.Embedding(20, 32), nn.Linear(32, 32), nn.Linear(32, 20)
        self.enter, self.decay, self.divided = nn.Linear(32, 32), nn.Parameter(torch.linspace(0.0, 3.0, 32)), divided

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        x = self.embed(text)
        held = Scan.apply(self.enter(x), torch.sigmoid(self.decay), self.divided)
        return self.head(torch.tanh(held) * F.silu(self.gate(x)))


def _classes(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.transpose(1, 2), target)


@case(
    "text-by-own-scan", label="exploding-in-time", root="", steps=300, fixes=("multiply by the decay",),
    source="common mistake",
    why="The hand-written backward divides by the decays instead of multiplying: gradients of 3e6 to 5e6, not 0.4.",
)  # fmt: skip
def scanned(seed: int, *, divided: bool = True) -> Setup:
    return sgd(Scanned(divided=divided), samples.language(seed, length=32), _classes, rate=0.5, momentum=0.9)


cured("text-by-own-scan", why="The backward multiplies.")(partial(scanned, divided=False))


class Planner(nn.Module):
    """Value iteration by a convolution and a maximum over four moves, 24 sweeps over a map of 8 by 8."""

    def __init__(self, *, shares: bool) -> None:
        super().__init__()
        self.reward = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))
        self.moves, self.shares = nn.Parameter(0.45 * torch.rand(4, 1, 3, 3)), shares
        self.read = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a value for each cell [batch, 1, 8, 8]."""
        reward = self.reward(x)
        moves = torch.softmax(12.0 * self.moves.flatten(1), 1).view_as(self.moves) if self.shares else self.moves
        value = torch.zeros_like(reward)
        for _ in range(24):
            value = reward + 0.95 * F.conv2d(value, moves, padding=1).amax(1, keepdim=True)
        return self.read(torch.cat([value, reward], 1))


def _maps(seed: int, rows: int = 320) -> Batches:
    """Maps of walls and a goal [batch, 2, 8, 8], and 0.8 to the power of the number of moves to the goal."""
    draw = samples.generator(seed + 60)
    wall = (torch.rand(rows, 1, 8, 8, generator=draw) < 0.2).float()
    goal = F.one_hot(torch.randint(64, (rows,), generator=draw), 64).view(rows, 1, 8, 8).float()
    wall, value = wall * (1.0 - goal), goal
    for _ in range(24):
        cross = torch.stack([value.roll(s, d) * _inside(s, d) for s in (1, -1) for d in (2, 3)]).amax(0)
        value = torch.maximum(goal, 0.8 * cross) * (1.0 - wall)
    return samples.stream(torch.cat([wall, goal], 1), value, seed, size=32)


def _inside(shift: int, axis: int) -> Tensor:
    kept = torch.ones(1, 1, 8, 8)
    kept.select(axis, 0 if shift == 1 else 7).zero_()
    return kept


@case(
    "planner-on-maps", label="exploding-in-time", root="", steps=200, fixes=("a softmax over each move's shares",),
    source="tamar2016 (value iteration networks); its kernels are not probabilities",
    why="A move's nine shares sum to 2, not to 1, in each of 24 sweeps: gradients of 5e4 to 3e15, not 1.",
)  # fmt: skip
def planner(seed: int, *, shares: bool = False) -> Setup:
    return adam(Planner(shares=shares), _maps(seed), F.mse_loss, rate=5e-3)


cured("planner-on-maps", why="A softmax over the nine shares.")(partial(planner, shares=True))


class Seasons(nn.Module):
    """A growth rate from six properties of a place, and the counts of 30 seasons by Ricker's map from it."""

    def __init__(self, *, free: bool) -> None:
        super().__init__()
        self.rate, self.free = stack([6, 32, 1], nn.Tanh), free

    def forward(self, x: Tensor) -> Tensor:
        """Return the counts of the seasons after the first [batch, 30]; x holds properties and counts."""
        place, counts = x[:, :6], x[:, 6:]
        growth = 2.9 + 0.8 * self.rate(place)[:, 0]
        n, told = counts[:, 0], []
        for season in range(30):
            n = n * torch.exp(growth * (1.0 - n))
            told.append(n)
            if not self.free:
                n = counts[:, season + 1]
        return torch.stack(told, 1)


def _places(seed: int, rows: int = 640) -> Batches:
    draw = samples.generator(seed + 61)
    place = torch.randn(rows, 6, generator=draw)
    growth = 2.9 + 0.3 * torch.tanh(place[:, 0] - place[:, 1] * place[:, 2])
    counts = [0.2 + torch.rand(rows, generator=draw)]
    for _ in range(30):
        counts.append(counts[-1] * torch.exp(growth * (1.0 - counts[-1])))
    series = torch.stack(counts, 1)
    return samples.stream(torch.cat([place, series], 1), series[:, 1:], seed)


@case(
    "counts-of-thirty-seasons", label="exploding-in-time", root="", steps=300, fixes=("begin at each count anew",),
    source="metz2021 (gradients are not all you need); ricker1954, may1976",
    why="The map is chaotic: 30 seasons without a look at the counts give gradients of 2e4 to 3e5, not 0.4.",
)  # fmt: skip
def seasons(seed: int, *, free: bool = True) -> Setup:
    return adam(Seasons(free=free), _places(seed), F.mse_loss, rate=5e-3)


cured("counts-of-thirty-seasons", why="Each season begins at the count.")(partial(seasons, free=False))


def _string(speed: float, shape: Tensor, steps: int) -> Tensor:
    """Return a string's form after some steps of the leapfrog scheme, held at both ends."""
    old = now = shape
    for _ in range(steps):
        bend = F.pad(now[:, 2:] - 2.0 * now[:, 1:-1] + now[:, :-2], (1, 1))
        old, now = now, 2.0 * now - old + speed**2 * bend
    return now


class Plucked(nn.Module):
    """A form of 24 points from four numbers, let go, and listened to after a while."""

    def __init__(self, speed: float, steps: int) -> None:
        super().__init__()
        self.form, self.speed, self.steps = stack([4, 64, 24], nn.Tanh), speed, steps

    def forward(self, x: Tensor) -> Tensor:
        """Return the form at the end [batch, 24]."""
        return _string(self.speed, F.pad(self.form(x)[:, 1:-1], (1, 1)), self.steps)


@case(
    "string-after-a-while", label="exploding-in-time", root="", steps=300, fixes=("shorter steps",),
    source="courant1928; common mistake in differentiable simulation",
    why="The wave goes 1.09 cells a step, where the scheme holds up to 1: outputs of 3e7 after 22 steps, not 1.",
)  # fmt: skip
def plucked(seed: int, speed: float = 12.0 / 11.0, steps: int = 22) -> Setup:
    x = torch.randn(640, 4, generator=samples.generator(seed + 62))
    at = torch.linspace(0.0, torch.pi, 24)
    form = sum(x[:, k : k + 1] * torch.sin((k + 1) * at) / (k + 1) for k in range(4))
    assert isinstance(form, Tensor)
    end = _string(0.75, form, 32)
    return adam(Plucked(speed, steps), samples.stream(x, end, seed), F.mse_loss, rate=3e-3)


cured("string-after-a-while", why="0.75 cells a step, 32 steps.")(partial(plucked, speed=0.75, steps=32))
