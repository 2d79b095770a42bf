"""Written without sight of the rules: gradients that grow, or fade, on their way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, sgd


class Mesh(nn.Module):
    """Message passing on a fixed mesh: each point adds what its neighbours send, summed or averaged, to its state."""

    sender: Tensor
    receiver: Tensor

    def __init__(self, edges: Tensor, rounds: int, share: float) -> None:
        super().__init__()
        self.register_buffer("sender", edges[0])
        self.register_buffer("receiver", edges[1])
        self.encode, self.decode = nn.Linear(1, 24), nn.Linear(24, 1)
        self.message = nn.ModuleList([nn.Linear(48, 24) for _ in range(rounds)])
        self.update = nn.ModuleList([nn.Linear(24, 24) for _ in range(rounds)])
        self.share = share

    def forward(self, field: Tensor) -> Tensor:
        """Return the field [batch, points] some time later."""
        h = self.encode(field[..., None])
        for message, update in zip(self.message, self.update, strict=True):
            sent = F.relu(message(torch.cat([h[:, self.sender], h[:, self.receiver]], -1)))
            inbox = torch.zeros_like(h).index_add(1, self.receiver, sent * self.share)
            h = h + update(inbox)
        return self.decode(h)[..., 0]


@case(
    "mesh-of-sixteen", label="exploding-gradient", root="", steps=150, fixes=("mean aggregation", "normalisation"),
    source="ogb#38; lucidrains/egnn-pytorch#7; pfaff2021",
    why="Messages of 15 neighbours are summed in each of six rounds: gradients of 1e5 to 1e6, of 2 with the mean.",
)  # fmt: skip
def mesh(seed: int, share: float = 1.0) -> Setup:
    draw = samples.generator(seed + 70)
    edges = (torch.eye(16) == 0.0).nonzero().T.contiguous()
    field = torch.randn(512, 16, generator=draw)
    later = 0.7 * field.roll(0, 1) + field.mean(1, keepdim=True) * 3.0
    return adam(Mesh(edges, 6, share), samples.stream(field, later, seed, size=16), F.mse_loss, rate=3e-3)


cured("mesh-of-sixteen", why="Messages are averaged.")(partial(mesh, share=1.0 / 15.0))


class Enlarger(nn.Module):
    """Super-resolution by residual blocks without normalisation; each branch is scaled before it is added."""

    def __init__(self, blocks: int, scale: float) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
        self.body = nn.ModuleList()
        for _ in range(blocks):
            block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
            for conv in (block[0], block[2]):
                he(conv.weight)  # pyright: ignore[reportArgumentType]
            self.body.append(block)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return images of twice the size."""
        h = self.head(x)
        for block in self.body:
            h = h + self.scale * block(h)
        return F.pixel_shuffle(self.tail(h), 2)


@case(
    "enlarger-twenty-blocks", label="exploding-gradient", root="", steps=150, fixes=("scale the branches by 0.1",),
    source="lim2017, EDSR, section 3.1, residual scaling; zhang2019, Fixup",
    why="Each of 20 residual blocks adds its whole variance: gradients of 4e4, of 0.03 with scaled branches.",
)  # fmt: skip
def enlarger(seed: int, scale: float = 1.0) -> Setup:
    whole = samples.digit_table()[0].view(-1, 1, 8, 8)
    return sgd(Enlarger(20, scale), samples.stream(F.avg_pool2d(whole, 2), whole, seed, size=32), F.mse_loss, rate=0.05)


cured("enlarger-twenty-blocks", why="Branches times 0.1.")(partial(enlarger, scale=0.1))


class Rounded(torch.autograd.Function):
    """Rounding to a grid, straight through on the way back, or by the inverse of the grid's width."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: float, back: float) -> Tensor:
        """Return the nearest point of the grid."""
        ctx.back = back
        return torch.round(x / width) * width

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient times `back`."""
        return gradients[0] * ctx.back, None, None


class Quantised(nn.Module):
    """A network whose activations lie on a grid of sixteenths."""

    def __init__(self, back: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(5)])
        self.head, self.back = nn.Linear(64, 10), back
        for layer in self.layers:
            he(layer.weight)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for layer in self.layers:
            x = Rounded.apply(F.relu(layer(x)), 1 / 16, self.back)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        return self.head(x)  # pyright: ignore[reportUnknownArgumentType]


@case(
    "activations-on-a-grid", label="exploding-gradient", root="", steps=300, fixes=("straight through",),
    source="bengio2013; esser2020, LSQ; common mistake",
    why="The rounding's hand-written derivative divides by the grid's width: sixteenfold at each of five layers, 8e5 at the first.",
)  # fmt: skip
def on_a_grid(seed: int, back: float = 16.0) -> Setup:
    return sgd(Quantised(back), samples.digits(seed), rate=0.05)


cured("activations-on-a-grid", why="The gradient is passed straight through.")(partial(on_a_grid, back=1.0))


class Unrolled(nn.Module):
    """Iterative shrinkage for a sparse code, unrolled, with matrices of its own for each turn."""

    def __init__(self, mixing: Tensor, step: float, turns: int) -> None:
        super().__init__()
        forth = (step * mixing.T).repeat(turns, 1, 1)
        again = (torch.eye(mixing.shape[1]) - step * mixing.T @ mixing).repeat(turns, 1, 1)
        self.forth, self.again = nn.Parameter(forth), nn.Parameter(again)
        self.theta = nn.Parameter(torch.full((turns,), 0.05 * step))

    def forward(self, seen: Tensor) -> Tensor:
        """Return the code [batch, 48]."""
        code = torch.zeros(len(seen), self.again.shape[1])
        for forth, again, theta in zip(self.forth, self.again, self.theta, strict=True):
            code = seen @ forth.T + code @ again.T
            code = code.sign() * F.relu(code.abs() - theta)
        return code


@case(
    "shrinkage-unrolled", label="exploding-gradient", root="", steps=200, fixes=("divide the step by the largest eigenvalue",),
    source="gregor2010, LISTA, section 2; beck2009, on the step",
    why="The step is 1 where the largest eigenvalue is 5: each of ten unrolled turns expands; gradients of 2e9.",
)  # fmt: skip
def unrolled(seed: int, step: float = 1.0) -> Setup:
    draw = samples.generator(seed + 71)
    mixing = F.normalize(torch.randn(24, 48, generator=draw), dim=0)
    codes = torch.randn(1024, 48, generator=draw) * (torch.rand(1024, 48, generator=draw) < 0.08)
    return adam(Unrolled(mixing, step, 10), samples.stream(codes @ mixing.T, codes, seed), F.mse_loss, rate=2e-3)


cured("shrinkage-unrolled", why="A step of 0.15.")(partial(unrolled, step=0.15))


class Linearised(nn.Module):
    """Attention in linear time, q (k' v), with or without the sum of the weights below it."""

    def __init__(self, depth: int, *, divided: bool, width: int = 32) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(12, width), nn.Parameter(torch.randn(12, width) * 0.5)
        self.qkv = nn.ModuleList([nn.Linear(width, 3 * width, bias=False) for _ in range(depth)])
        self.head, self.divided = nn.Linear(width, 12), divided

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 12] of the last place."""
        h = self.embed(tokens) + self.place
        for layer in self.qkv:
            q, k, v = (part.unflatten(-1, (4, 8)) for part in layer(h).chunk(3, -1))
            q, k = F.elu(q) + 1.0, F.elu(k) + 1.0
            read = torch.einsum("bqhd,bhde->bqhe", q, torch.einsum("bkhd,bkhe->bhde", k, v))
            if self.divided:
                read = read / (torch.einsum("bqhd,bhd->bqh", q, k.sum(1))[..., None] + 1e-6)
            h = h + read.flatten(-2)
        return self.head(h[:, -1])


@case(
    "linear-time-reader", label="exploding-gradient", root="", steps=300, fixes=("divide by the sum of the weights",),
    source="katharopoulos2020, equation 5; common mistake",
    why="The sum of the weights is not divided by: each layer is cubic in the one before, gradients are 7e5 instead of 0.3.",
)  # fmt: skip
def linear_time(seed: int, *, divided: bool = False) -> Setup:
    text = torch.randint(12, (1024, 12), generator=samples.generator(seed + 72))
    return adam(Linearised(2, divided=divided), samples.stream(text, text[:, 3], seed, size=32), rate=5e-3)


cured("linear-time-reader", why="It is divided by.")(partial(linear_time, divided=True))


class Waves(nn.Module):
    """Dilated convolutions in time; each block's output and input are added and the sum is scaled."""

    def __init__(self, blocks: int, scale: float) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(samples.KINDS + 1, 16, 1), nn.Linear(16, samples.KINDS)
        self.blocks = nn.ModuleList([nn.Conv1d(16, 16, 2, dilation=2 ** (i % 4)) for i in range(blocks)])
        for block in self.blocks:
            he(block.weight)  # pyright: ignore[reportArgumentType]
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        h = self.first(x.transpose(1, 2))
        for block in self.blocks:
            new = F.relu(block(F.pad(h, (block.dilation[0], 0))))  # pyright: ignore
            h = (h + new) * self.scale
        return self.last(h[..., -1])


@case(
    "dilated-averages", label="vanishing-gradient", root="", steps=300, fixes=("multiply by sqrt(0.5)", "plain sum"),
    source="oord2016, WaveNet; common mistake, the average for the sum",
    why="Every block averages its input and its output: the gradient is 1e-2 at the last of 16 and 3e-4 at the first.",
)  # fmt: skip
def dilated(seed: int, scale: float = 0.5) -> Setup:
    return sgd(Waves(16, scale), samples.recall(seed, length=12), rate=0.05)


cured("dilated-averages", why="The sum times the root of a half.")(partial(dilated, scale=0.5**0.5))


def _squash(s: Tensor) -> Tensor:
    n2 = s.square().sum(-1, keepdim=True)
    return n2 / (1.0 + n2) * s / torch.sqrt(n2 + 1e-9)


def _unit(s: Tensor) -> Tensor:
    return s / torch.sqrt(s.square().sum(-1, keepdim=True) + 1e-9)


class Capsules(nn.Module):
    """Layers of sixteen capsules of four numbers; the length of the last ten is read as the score."""

    def __init__(self, depth: int, bend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        shapes = [(16, 16)] * (depth - 1) + [(16, 10)]
        self.votes = nn.ParameterList([nn.Parameter(torch.randn(a, b, 4, 4) / (4 * a) ** 0.5) for a, b in shapes])
        self.bend = bend

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, 10]."""
        u = self.bend(x.unflatten(1, (16, 4)))
        for index, votes in enumerate(self.votes):
            s = torch.einsum("bid,ijde->bje", u, votes)
            u = self.bend(s) if index < len(self.votes) - 1 else s
        return 6.0 * u[..., 0]


@case(
    "capsules-six-deep", label="vanishing-gradient", root="", steps=300, fixes=("unit length", "fewer layers"),
    source="sabour2017, equation 1; xi2017, on stacking capsules",
    why="The squashing of a short vector squares its length: after six layers the scores are 2e-6 and the gradients 7e-6.",
)  # fmt: skip
def capsules(seed: int, bend: Callable[[Tensor], Tensor] = _squash) -> Setup:
    return sgd(Capsules(6, bend), samples.digits(seed), rate=0.03)


cured("capsules-six-deep", why="Vectors of length 1.")(partial(capsules, bend=_unit))


class HandMomentum(torch.optim.Optimizer):
    """Gradient descent with momentum, written by hand."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, mu: float = 0.9) -> None:
        super().__init__(list(params), {"lr": lr, "mu": mu})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter by its velocity."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    v = self.state[p].setdefault("v", torch.zeros_like(p))
                    v.mul_(group["mu"]).add_(p.grad)
                    p.sub_(group["lr"] * v)


def _shares(x: Tensor) -> Tensor:
    return torch.softmax(x, dim=1)


class Written(nn.Module):
    """Weights and biases in a dictionary, and a loop over them."""

    def __init__(self, bend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        sizes, self.bend = (64, 64, 64, 64, 10), bend
        self.p = nn.ParameterDict()
        for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
            self.p[f"w{i}"] = nn.Parameter(torch.randn(a, b) * (2.0 / a) ** 0.5)
            self.p[f"b{i}"] = nn.Parameter(torch.zeros(b))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for i in range(3):
            x = self.bend(torch.addmm(self.p[f"b{i}"], x, self.p[f"w{i}"]))
        return torch.addmm(self.p["b3"], x, self.p["w3"])


@case(
    "shares-between-layers", label="vanishing-gradient", root="", steps=300, fixes=("relu",),
    source="Stack Overflow 37588632, softmax in hidden layers; common mistake",
    why="A softmax after each hidden layer: the gradient is 1e-2 at the head and 3e-5 at the first layer.",
)  # fmt: skip
def shares(seed: int, bend: Callable[[Tensor], Tensor] = _shares) -> Setup:
    model = Written(bend)
    return Setup(model, samples.digits(seed), F.cross_entropy, HandMomentum(model.parameters(), lr=0.02))


cured("shares-between-layers", why="ReLU.")(partial(shares, bend=torch.relu))
