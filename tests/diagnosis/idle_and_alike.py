"""Networks in which a layer takes no part, something is made alike or a stream grows, each with a healthy one like it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batches = list[tuple[Tensor, Tensor]]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(x: Tensor, y: Tensor, size: int = 64) -> Batches:
    return list(zip(x.split(size), y.split(size), strict=True))


def far_from_0() -> Batches:
    """Two kinds of rows that no straight line parts."""
    x = torch.randn(24 * 64, 8, generator=draw())
    return pairs(x, (x[:, 0].abs() > 0.67).long())


def remembered() -> Batches:
    """Sequences whose first step says the kind."""
    x = 0.3 * torch.randn(24 * 64, 6, 4, generator=draw(1))
    kind = torch.arange(len(x)) % 2
    x[:, 0, 0] = 2.0 * kind - 1.0
    return pairs(x, kind)


def places() -> Batches:
    """A number for each of eight places, which is a curve of what stands there."""
    x = torch.randn(24 * 32, 8, 3, generator=draw(2))
    return pairs(x, torch.tanh(2.0 * x[..., :1]) + 0.3 * x[..., 1:2], 32)


def hours() -> Batches:
    """A level for each of twenty hours in the first column, and a slope in the second."""
    hour = 20.0 * torch.rand(24 * 64, 1, generator=draw(3))
    rest, level = torch.randn(24 * 64, 3, generator=draw(4)), torch.randn(20, generator=draw(5))
    return pairs(torch.cat([hour, rest], 1), 2.0 * level[hour.long()] + 0.3 * rest[:, :1])


def codes() -> Batches:
    """Rows on a plane of two directions, which are to be told again."""
    x = torch.randn(24 * 64, 2, generator=draw(6)) @ torch.randn(2, 12, generator=draw(7))
    return pairs(x, x)


def marked() -> Batches:
    """A curve for the rows that a mark in the first column asks for."""
    x = torch.randn(24 * 64, 5, generator=draw(8))
    x[:, 0] = (x[:, 0] > -0.5).float()
    return pairs(x, torch.where(x[:, :1] > 0.5, 2.0 * torch.sin(2.0 * x[:, 1:2]) + x[:, 2:3].square(), x[:, 1:2]))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


class Masked(nn.Module):
    """A straight way, and a bent one whose middle matrix has a mask."""

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.straight, self.enter, self.leave = nn.Linear(8, 2), nn.Linear(8, 32), nn.Linear(32, 2)
        self.middle, self.bias = nn.Parameter(torch.randn(32, 32) * 0.25), nn.Parameter(torch.full((32,), 0.1))
        self.register_buffer("mask", (torch.rand(32, 32) < kept).float())
        self.mask: Tensor

    def forward(self, x: Tensor) -> Tensor:
        bent = F.relu(F.relu(self.enter(x)) @ (self.middle * self.mask) + self.bias)
        return self.straight(x) + self.leave(bent)


class Steps(nn.Module):
    """A recurrence that is written out; its state is made before the loop, or in it."""

    def __init__(self, *, anew: bool) -> None:
        super().__init__()
        self.take, self.head, self.anew = nn.Linear(4, 16), nn.Linear(16, 2), anew
        self.keep = nn.Parameter(torch.linalg.qr(torch.randn(16, 16)).Q)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 16)
        for step in x.unbind(1):
            before = x.new_zeros(len(x), 16) if self.anew else state
            state = torch.tanh(self.take(step) + F.linear(before, self.keep))
        return self.head(state)


class Passing(torch.optim.Optimizer):
    """Plain descent whose loop ends at the first parameter without a gradient, or goes on there."""

    def __init__(self, params: Iterable[Any], *, ends: bool) -> None:
        super().__init__(params, {"lr": 0.1, "ends": ends})

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for p in self.param_groups[0]["params"]:
            if p.grad is None and self.param_groups[0]["ends"]:
                return
            if p.grad is not None:
                p.data.sub_(self.param_groups[0]["lr"] * p.grad)


class Narrow(nn.Module):
    """A head, a layer that is not called, and a code of two numbers, registered in that order; perhaps with a mean of the code."""

    def __init__(self, mean: str = "") -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
        self.unused, self.code = nn.Linear(3, 3), nn.Linear(8, 2)
        self.register_buffer("kept", self.code.weight.detach().clone())
        self.kept: Tensor
        self.mean = mean

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.mean:
            live, kept = self.code.weight.data, self.kept.data
            if self.mean == "swapped":
                live.lerp_(kept, 0.9)
            else:
                kept.lerp_(live, 0.1)
        return self.head(torch.tanh(F.linear(x, self.code.weight if self.training or not self.mean else self.kept)))


class Rows(nn.Module):
    """A rule for all rows, and a network for those that are marked."""

    def __init__(self, *, copied: bool) -> None:
        super().__init__()
        self.rule, self.special, self.copied = (
            nn.Linear(5, 2),
            nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1)),
            copied,
        )

    def forward(self, x: Tensor) -> Tensor:
        out, mark = self.rule(x), x[:, 0] > 0.5
        if self.copied:
            rows = out[mark]
            rows[:, 1] = self.special(x[mark])[:, 0]
        else:
            out[mark, 1] = self.special(x[mark])[:, 0]
        return out.sum(1, keepdim=True)


class Hours(nn.Module):
    """A straight way for three columns, and a vector for the hour, in the unit given."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.rest, self.hour, self.head, self.unit = nn.Linear(3, 8), nn.Embedding(20, 8), nn.Linear(8, 1), unit

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rest(x[:, 1:]) + self.hour((x[:, 0] / self.unit).long()))


class Words(nn.Module):
    """A code of two numbers, replaced by the nearest of sixteen entries, which lie among the codes or far off on one side."""

    def __init__(self, *, far: bool) -> None:
        super().__init__()
        self.enter, self.leave = (
            nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 2), nn.Tanh()),
            nn.Linear(2, 12),
        )
        self.register_buffer(
            "entries", torch.linspace(10.0, 40.0, 16)[:, None].expand(16, 2).clone() if far else torch.randn(16, 2)
        )
        self.entries: Tensor

    def forward(self, x: Tensor) -> Tensor:
        code = self.enter(x)
        found = self.entries[torch.cdist(code.detach(), self.entries).argmin(1)]
        return self.leave(code + (found - code).detach())


class Told(nn.Module):
    """Two rounds in which places are told their mean: in place of themselves, or on top."""

    def __init__(self, *, kept: bool, flat: bool = False) -> None:
        super().__init__()
        self.enter, self.head, self.kept, self.flat = nn.Linear(3, 16), nn.Linear(16, 1), kept, flat
        self.rounds = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x.flatten(0, 1) if self.flat else x)
        for layer in self.rounds:
            told = h.view(len(x), -1, 16).mean(1, keepdim=True).expand(-1, x.shape[1], -1)
            told = told.reshape(h.shape)
            h = torch.tanh(layer(h + told if self.kept else told))
        return self.head(h).view(len(x), -1, 1)


class Up(nn.Module):
    """Maps that go down to one cell and up again, with what the way down kept or without."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.down, self.up, self.head, self.kept = (
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Conv2d(8, 8, 1),
            nn.Conv2d(8, 1, 1),
            kept,
        )

    def forward(self, x: Tensor) -> Tensor:
        fine = torch.tanh(self.down(x))
        coarse = F.interpolate(F.avg_pool2d(fine, 4), scale_factor=4)
        return self.head(torch.tanh(self.up(fine + coarse if self.kept else coarse)))


class Stack(nn.Module):
    """Layers of one width that are used one after the other, drawn by hand."""

    def __init__(self, drawn: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ParameterList([nn.Parameter(drawn(32)) for _ in range(7)])
        self.enter, self.head = nn.Linear(8, 32), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for weight in self.layers:
            x = F.relu(x @ weight)
        return self.head(x)


def of_one_sign(size: int) -> Tensor:
    return 2.0 * torch.rand(size, size) / size


def around_0(size: int) -> Tensor:
    return torch.randn(size, size) * (2.0 / size) ** 0.5


class Turning(nn.Module):
    """Thirty turns through one layer, with the input at each or only at the first."""

    def __init__(self, *, fed: bool) -> None:
        super().__init__()
        self.enter, self.turn, self.head, self.fed = nn.Linear(8, 24), nn.Linear(24, 24), nn.Linear(24, 2), fed
        nn.init.orthogonal_(self.turn.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        given = self.enter(x)
        state = torch.tanh(given)
        for _ in range(30):
            state = torch.tanh(self.turn(state) + given if self.fed else self.turn(state))
        return self.head(state)


class Blurring(nn.Module):
    """Twelve layers, each on the mean of a place and its neighbours, with a skip or without."""

    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(12)])
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]
        self.enter, self.norm, self.head, self.skip = nn.Linear(3, 16), nn.LayerNorm(16), nn.Linear(16, 1), skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for layer in self.layers:
            told = torch.tanh(layer((x + x.roll(1, 1) + x.roll(-1, 1) + x.roll(2, 1) + x.roll(-2, 1)) / 5.0))
            x = x + told if self.skip else told
        return self.head(self.norm(x))


class Shut(nn.Module):
    """Four layers whose gates start at this bias, each beside a way around."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, 16), nn.Linear(16, 2)
        self.make = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])
        self.gates = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])
        for gate in self.gates:
            nn.init.constant_(gate.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for make, gate in zip(self.make, self.gates, strict=True):
            open_ = torch.sigmoid(gate(x))
            x = x + open_ * (F.relu(make(x)) - x)
        return self.head(x)


class Stream(nn.Module):
    """Ten blocks with a skip, which is added once or twice."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(16, 16) for _ in range(10)])
        self.enter, self.head, self.twice = nn.Linear(8, 16), nn.Linear(16, 2), twice

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for block in self.blocks:
            inner = x + 0.5 * F.relu(block(x))
            x = x + inner if self.twice else inner
        return self.head(x)


class Hops(nn.Module):
    """Features of forty rows, spread over twelve hops of a graph; the last is read, or the mean of all."""

    def __init__(self, *, every: bool) -> None:
        super().__init__()
        near = (torch.rand(40, 40, generator=draw(10)) < 0.2).float() + torch.eye(40)
        self.register_buffer("near", near / near.sum(1, keepdim=True))
        self.register_buffer("rows", torch.randn(40, 8, generator=draw(11)))
        self.near: Tensor
        self.rows: Tensor
        self.enter, self.head, self.every = nn.Linear(8, 16), nn.Linear(16, 2), every

    def forward(self, asked: Tensor) -> Tensor:
        x = torch.tanh(self.enter(self.rows))
        kept = [x]
        for _ in range(12):
            x = self.near @ x
            kept.append(x)
        return self.head((torch.stack(kept).mean(0) if self.every else x)[asked])


class Graphs(nn.Module):
    """Graphs of twelve nodes, mixed over as many hops before the first layer; each node is asked for its own sign."""

    def __init__(self, hops: int) -> None:
        super().__init__()
        self.enter, self.head, self.hops = nn.Linear(4, 16), nn.Linear(16, 2), hops

    def forward(self, given: Tensor) -> Tensor:
        near, x = given[..., :12], given[..., 12:]
        for _ in range(self.hops):
            x = near @ x
        return self.head(torch.relu(self.enter(x))).flatten(0, 1)


def graphs() -> Batches:
    random, batches = draw(13), []
    for _ in range(24):
        near = (torch.rand(16, 12, 12, generator=random) < 0.5).float() + 2.0 * torch.eye(12)
        x = torch.randn(16, 12, 4, generator=random)
        batches.append((torch.cat([near / near.sum(2, keepdim=True), x], 2), (x[..., 0] > 0.0).long().flatten()))
    return batches


def asked() -> Batches:
    rows, of_row = torch.randint(40, (24 * 64,), generator=draw(12)), torch.randn(40, 8, generator=draw(11))
    return pairs(rows, (of_row[rows, 0] > 0.0).long())


def maps() -> Batches:
    x = torch.randn(24 * 16, 1, 4, 4, generator=draw(9))
    return pairs(x, torch.tanh(2.0 * x), 16)


Given = tuple[Callable[[], nn.Module], Callable[[], nn.Module], Callable[[], Batches], Callable[..., Tensor], str]

SICK: dict[str, Given] = {
    "a mask of zeros": (lambda: Masked(0.0), lambda: Masked(0.3), far_from_0, F.cross_entropy, "idle-layer"),
    "a state made anew": (lambda: Steps(anew=True), lambda: Steps(anew=False), remembered, F.cross_entropy, "idle-layer"),
    "a mean that is followed": (lambda: Narrow("swapped"), lambda: Narrow("right"), far_from_0, F.cross_entropy, "idle-layer"),
    "a copy of rows": (lambda: Rows(copied=True), lambda: Rows(copied=False), marked, F.mse_loss, "idle-layer"),
    "one bin": (lambda: Hours(60.0), lambda: Hours(1.0), hours, F.mse_loss, "idle-layer"),
    "gates that are shut": (lambda: Shut(-25.0), lambda: Shut(-1.0), far_from_0, F.cross_entropy, "idle-layer"),
    "one entry": (lambda: Words(far=True), lambda: Words(far=False), codes, F.mse_loss, "rank-collapse"),
    "one answer for all places": (lambda: Told(kept=False), lambda: Told(kept=True), places, F.mse_loss, "rank-collapse"),
    "places that lie flat": (
        lambda: Told(kept=False, flat=True), lambda: Told(kept=True, flat=True), places, F.mse_loss, "rank-collapse",
    ),
    "maps of one cell": (lambda: Up(kept=False), lambda: Up(kept=True), maps, F.mse_loss, "rank-collapse"),
    "weights of one sign": (lambda: Stack(of_one_sign), lambda: Stack(around_0), far_from_0, F.cross_entropy, "rank-collapse"),
    "a loop that settles": (lambda: Turning(fed=False), lambda: Turning(fed=True), far_from_0, F.cross_entropy, "rank-collapse"),
    "places that blur": (lambda: Blurring(skip=False), lambda: Blurring(skip=True), places, F.mse_loss, "rank-collapse"),
    "rows that are mixed": (lambda: Hops(every=False), lambda: Hops(every=True), asked, F.cross_entropy, "rank-collapse"),
    "nodes that are mixed": (lambda: Graphs(60), lambda: Graphs(1), graphs, F.cross_entropy, "rank-collapse"),
    "a stream added twice": (lambda: Stream(twice=True), lambda: Stream(twice=False), far_from_0, F.cross_entropy, "exploding-gradient"),
}  # fmt: skip
