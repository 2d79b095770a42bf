"""Written without sight of the rules: representations that collapse to one direction, and gradients that shatter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd


class Attending(nn.Module):
    """Layers of self-attention and a tagger of every token; what it read is added to what was there, or replaces it."""

    def __init__(self, depth: int, *, skip: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 32)
        self.layers = nn.ModuleList([nn.MultiheadAttention(32, 4, batch_first=True) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(depth)])
        self.tags, self.skip = nn.Linear(32, 12), skip

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 12]."""
        h = self.embed(tokens)
        for attend, norm in zip(self.layers, self.norms, strict=True):
            read = attend(h, h, h, need_weights=False)[0]
            h = norm(h + read if self.skip else read)
        return self.tags(h)


def _tag_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.reshape(-1, 12), target.reshape(-1))


@case(
    "attention-tagger", label="rank-collapse", root="", steps=200, fixes=("add the input to each layer's output",),
    source="dong2021, attention is not all you need",
    why="Six layers of attention without the sum: every layer averages over the tokens, until all are alike (rank 1.0).",
)  # fmt: skip
def tagger(seed: int, *, skip: bool = False) -> Setup:
    draw = samples.generator(seed + 60)
    text = torch.randint(12, (768, 16), generator=draw)
    tags = torch.randperm(12, generator=draw)[text]
    return adam(Attending(6, skip=skip), samples.stream(text, tags, seed, size=32), _tag_loss)


cured("attention-tagger", why="The input is added.")(partial(tagger, skip=True))


class Smoothed(nn.Module):
    """A graph network that averages over neighbours with index_add; `anchor` is the share of the first features kept."""

    source: Tensor
    target: Tensor

    def __init__(self, edges: Tensor, depth: int, anchor: float) -> None:
        super().__init__()
        self.register_buffer("source", edges[0])
        self.register_buffer("target", edges[1])
        self.into, self.out = nn.Linear(16, 32), nn.Linear(32, 4)
        self.mix = nn.ModuleList([nn.Linear(32, 32, bias=False) for _ in range(depth)])
        for layer in self.mix:
            nn.init.orthogonal_(layer.weight, 1.4)  # pyright: ignore[reportArgumentType]
        self.anchor = anchor

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [nodes, 4]."""
        first = h = F.relu(self.into(x))
        degree = torch.zeros(len(x), 1).index_add(0, self.target, torch.ones(len(self.target), 1))
        for layer in self.mix:
            mean = torch.zeros_like(h).index_add(0, self.target, h[self.source]) / degree.clamp_min(1.0)
            h = F.relu(layer((1.0 - self.anchor) * mean + self.anchor * first))
        return self.out(h)


@case(
    "neighbours-sixteen-hops", label="rank-collapse", root="", steps=200, fixes=("initial residual", "fewer hops"),
    source="li2018, on over-smoothing; chen2020gcnii",
    why="Sixteen averages over the neighbours of a small dense graph: all nodes end with the same features, rank 1.0.",
)  # fmt: skip
def hops(seed: int, anchor: float = 0.0) -> Setup:
    draw = samples.generator(seed + 61)
    kinds = torch.arange(128) % 4
    same = kinds[:, None] == kinds[None]
    linked = torch.rand(128, 128, generator=draw) < torch.where(same, 0.15, 0.08)
    linked = linked | linked.T | torch.eye(128, dtype=torch.bool)
    x = torch.randn(4, 16, generator=draw)[kinds] + torch.randn(128, 16, generator=draw)
    model = Smoothed(linked.nonzero().T.contiguous(), 16, anchor)
    return adam(model, lambda: iter([(x, kinds)]), rate=3e-3)


cured("neighbours-sixteen-hops", why="Half of the first features is kept at each hop.")(partial(hops, anchor=0.5))


class Siamese(nn.Module):
    """SimSiam with a probe: two noisy views, an encoder, a predictor; a linear classifier of the code looks on."""

    def __init__(self, *, stop: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 32))
        self.predictor = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
        self.probe, self.stop = nn.Linear(32, 10), stop

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        """Return the similarity of the views and the probe's logits while it trains, else the logits."""
        if not self.training:
            return self.probe(F.normalize(self.encoder(x), dim=1))
        one, two = (self.encoder(x + 0.3 * torch.randn_like(x)) for _ in range(2))
        goal_one, goal_two = (one.detach(), two.detach()) if self.stop else (one, two)
        alike = F.cosine_similarity(self.predictor(one), goal_two).mean()
        alike = 0.5 * (alike + F.cosine_similarity(self.predictor(two), goal_one).mean())
        return alike, self.probe(F.normalize(one.detach(), dim=1))


def _siamese_loss(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return 1.0 - output[0] + F.cross_entropy(output[1], target)


@case(
    "two-views-probed", label="rank-collapse", root="encoder", steps=300, fixes=("detach the goals",),
    source="chen2021, SimSiam, figure 2, on collapse",
    why="The goals are not detached: the encoder gives every image the same code, with cosines of 0.998.",
)  # fmt: skip
def two_views(seed: int, *, stop: bool = False) -> Setup:
    return adam(Siamese(stop=stop), samples.digits(seed), _siamese_loss, rate=3e-3)


cured("two-views-probed", why="The goals are detached.")(partial(two_views, stop=True))


class Factors(nn.Module):
    """Users times items, with eight factors each."""

    def __init__(self, start: Callable[[int, int], Tensor]) -> None:
        super().__init__()
        self.users = nn.Embedding.from_pretrained(start(60, 8), freeze=False)
        self.items = nn.Embedding.from_pretrained(start(40, 8), freeze=False)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return the rating [batch] of (user, item)."""
        return torch.einsum("bk,bk->b", self.users(pairs[:, 0]), self.items(pairs[:, 1]))


def _alike(rows: int, factors: int) -> Tensor:
    return torch.full((rows, factors), 0.3)


def _drawn(rows: int, factors: int) -> Tensor:
    return 0.3 * torch.randn(rows, factors)


@case(
    "ratings-eight-factors", label="rank-collapse", root="", steps=300, fixes=("draw the factors",),
    source="goodfellow2016, section 8.4, on breaking symmetry; common mistake",
    why="All factors start at 0.3 and get the same gradient: eight of them stay one, where the ratings have rank 6.",
)  # fmt: skip
def ratings(seed: int, start: Callable[[int, int], Tensor] = _alike) -> Setup:
    draw = samples.generator(seed + 62)
    table = torch.randn(60, 6, generator=draw) @ torch.randn(6, 40, generator=draw) / 6**0.5
    pairs = torch.cartesian_prod(torch.arange(60), torch.arange(40))
    return adam(Factors(start), samples.stream(pairs, table.flatten(), seed, size=128), F.mse_loss, rate=2e-2)


cured("ratings-eight-factors", why="Factors drawn at random.")(partial(ratings, start=_drawn))


class Plain(nn.Module):
    """A deep convolutional network with BatchNorm before each ReLU; each layer may add its input."""

    def __init__(self, depth: int, *, skip: bool, channels: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1, stride=2)
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels) for _ in range(depth)])
        self.head, self.skip = nn.Linear(channels * 16, 10), skip

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        h = self.stem(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            new = F.relu(norm(conv(h)))
            h = h + new if self.skip else new
        return self.head(h.flatten(1))


@case(
    "plainnet-forty", label="shattered-gradient", root="", steps=150, fixes=("skip connections",),
    source="balduzzi2017, figure 1, with BatchNorm; he2016, plain networks",
    why="Forty BatchNorm-ReLU layers, no skip: a hundredth of noise leaves a cosine of 0.07 between input gradients, not 0.99.",
)  # fmt: skip
def plain(seed: int, *, skip: bool = False) -> Setup:
    return sgd(Plain(40, skip=skip), samples.digit_images(seed), rate=0.01)


cured("plainnet-forty", why="Each layer adds its input.")(partial(plain, skip=True))


class Snake(nn.Module):
    """x + sin(a x)^2 / a, with one a for each unit, kept as its logarithm."""

    def __init__(self, width: int, log_a: float) -> None:
        super().__init__()
        self.log_a = nn.Parameter(torch.full((width,), log_a))

    def forward(self, x: Tensor) -> Tensor:
        """Return the bent input."""
        a = self.log_a.exp()
        return x + torch.sin(a * x).square() / a


def _snakes(depth: int, width: int, log_a: float) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(2, width)]
    for _ in range(depth):
        layers += [Snake(width, log_a), nn.Linear(width, width)]
    model = nn.Sequential(*layers, Snake(width, log_a), nn.Linear(width, 1))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
    return model


@case(
    "snake-field", label="shattered-gradient", root="", steps=300, fixes=("a of 1",),
    source="ziyin2020; NVIDIA/BigVGAN, alpha_logscale",
    why="a was meant to be 5 and is exp(5) = 148: the output hardly changes, but each derivative is anything from 0 to 2.",
)  # fmt: skip
def snakes(seed: int, log_a: float = 5.0) -> Setup:
    x = 2.0 * torch.rand(1024, 2, generator=samples.generator(seed + 63)) - 1.0
    y = torch.sin(3.0 * x[:, :1]) * torch.cos(2.0 * x[:, 1:])
    return adam(_snakes(14, 32, log_a), samples.stream(x, samples.standardised(y), seed), F.mse_loss, rate=1e-3)


cured("snake-field", why="An a of 1.")(partial(snakes, log_a=0.0))


class Equilibrium(nn.Module):
    """One layer applied again and again to its own output, the image added each time."""

    def __init__(self, turns: int, gain: float) -> None:
        super().__init__()
        self.inject, self.turn, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        nn.init.orthogonal_(self.turn.weight, gain)
        self.turns = turns

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        u = 0.2 * self.inject(x)
        z = torch.zeros_like(u)
        for _ in range(self.turns):
            z = torch.sin(self.turn(z) + u)
        return self.head(z)


@case(
    "equilibrium-of-sines", label="shattered-gradient", root="turn", steps=300, fixes=("a contraction",),
    source="bai2019, on stability; sitzmann2020, on the start of sine layers",
    why="Ten turns of a sine layer that stretches by 3: a hundredth of noise leaves a cosine of 0.17 between the gradients.",
)  # fmt: skip
def equilibrium(seed: int, gain: float = 3.0) -> Setup:
    return adam(Equilibrium(10, gain), samples.digits(seed), rate=1e-3)


cured("equilibrium-of-sines", why="A gain of 0.8: the turns settle.")(partial(equilibrium, gain=0.8))
