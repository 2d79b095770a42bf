"""Sealed, sixth part: graphs, experts, factors, fields, games, several tasks. Written without the rules. All are held out."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, begin, he, sgd, stack

Norm = Literal["none", "both", "mean"]
_NODES = 240


def _graph(inside: float, outside: float, *, lonely: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = samples.generator(61)
    labels = torch.randint(4, (_NODES,), generator=draw)
    chance = torch.where(labels[:, None] == labels, inside, outside)
    upper = (torch.rand(_NODES, _NODES, generator=draw) < chance).float().triu(1)
    edges = upper + upper.T
    if lonely:
        edges[:lonely] = 0.0
        edges[:, :lonely] = 0.0
    x = F.one_hot(labels, 4).float() + 1.5 * torch.randn(_NODES, 4, generator=draw)
    return edges, torch.cat([x, torch.randn(_NODES, 4, generator=draw)], 1), labels


class Graph(nn.Module):
    """Graph convolutions: each node adds up what its neighbours say, then a layer, then a ReLU."""

    def __init__(self, edges: Tensor, depth: int, norm: Norm, *, loops: bool = True, skip: bool = False) -> None:
        super().__init__()
        if loops:
            edges = edges + torch.eye(_NODES)
        degree = edges.sum(1)
        if norm == "both":
            edges = degree.pow(-0.5)[:, None] * edges * degree.pow(-0.5)
        elif norm == "mean":
            edges = edges / degree[:, None]
        self.register_buffer("edges", edges)
        sizes = [8, *[32] * depth]
        self.layers = nn.ModuleList(
            begin(nn.Sequential(nn.Linear(a, b)), he) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.head, self.skip = nn.Linear(32, 4), skip

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [nodes, 4] of features [nodes, 8]."""
        for index, layer in enumerate(self.layers):
            new = torch.relu(layer(self.edges @ x))
            x = x + new if self.skip and index else new
        return self.head(x)


@case(
    "neighbours-summed", label="exploding-gradient", root="", steps=300, fixes=("divide by the degrees", "layer-normalisation"),
    source="kipf2017, section 3.1; pyg-team/pytorch_geometric, questions on normalize=False",
    why="Four layers add up neighbours, about fifteen each, without dividing: signal and gradient grow tenfold at each. (A norm is missing.)",
)  # fmt: skip
def neighbours(seed: int, norm: Norm = "none") -> Setup:
    edges, x, y = _graph(0.2, 0.02)
    return sgd(Graph(edges, 4, norm), lambda: iter([(x, y)]), rate=0.2)


cured("neighbours-summed", why="Divided by the roots of both degrees.")(partial(neighbours, norm="both"))


@case(
    "graph-smoothed-over", label="rank-collapse", root="", steps=200, fixes=("fewer layers", "skips around the layers"),
    source="li2018, section 3.2; oono2020",
    why="Thirty-two layers average over neighbours: all nodes come to say the same, whatever they said at first.",
)  # fmt: skip
def smoothed(seed: int, depth: int = 32) -> Setup:
    edges, x, y = _graph(0.12, 0.04)
    return adam(Graph(edges, depth, "mean"), lambda: iter([(x, y)]), rate=3e-3)


cured("graph-smoothed-over", why="Two layers.")(partial(smoothed, depth=2))


@case(
    "nodes-without-neighbours", label="non-finite", root="", steps=100, fixes=("add self-loops",),
    source="pyg-team/pytorch_geometric and dmlc/dgl, nan with isolated nodes",
    why="A node without an edge has the degree 0, whose root is divided by; infinity times 0 is nan, and the loss with it.",
)  # fmt: skip
def lonely(seed: int, *, loops: bool = False) -> Setup:
    edges, x, y = _graph(0.12, 0.03, lonely=3)
    return adam(Graph(edges, 2, "both", loops=loops), lambda: iter([(x, y)]), rate=1e-2)


cured("nodes-without-neighbours", why="Each node is its own neighbour.")(partial(lonely, loops=True))


class Experts(nn.Module):
    """Linear experts and a softmax that says how much each of them counts."""

    def __init__(self, lead: float) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(2, 8), nn.ModuleList(nn.Linear(2, 2) for _ in range(8))
        with torch.no_grad():
            self.router.bias[0] = lead
            self.router.weight.mul_(4.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 2]."""
        said = torch.stack([expert(x) for expert in self.experts], 1)
        return (self.router(x).softmax(-1)[:, :, None] * said).sum(1)


@case(
    "one-expert-for-all", label="idle-layer", root="experts", steps=300, fixes=("a router without a favourite", "balance the load"),
    source="shazeer2017, section 4",
    why="The router starts with a lead of 40 for the first expert: the others get neither examples nor gradients. (Its softmax is saturated.)",
)  # fmt: skip
def favourite(seed: int, lead: float = 40.0) -> Setup:
    return adam(Experts(lead), samples.circles(seed), rate=3e-2)


cured("one-expert-for-all", why="No lead.")(partial(favourite, lead=0.0))


class Factors(nn.Module):
    """Ratings as products of what a user likes and what an item is."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(60, 8), nn.Embedding(40, 8)
        nn.init.normal_(self.users.weight, std=deviation)
        nn.init.normal_(self.items.weight, std=deviation)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Return ratings [batch]."""
        return (self.users(user) * self.items(item)).sum(-1)


def _ratings(seed: int) -> Batches:
    draw = samples.generator(67)
    likes, kinds = torch.randn(60, 3, generator=draw), torch.randn(40, 3, generator=draw)
    pairs = torch.cartesian_prod(torch.arange(60), torch.arange(40))
    pairs = pairs[torch.randperm(len(pairs), generator=samples.generator(seed))]
    marks = (likes[pairs[:, 0]] * kinds[pairs[:, 1]]).sum(-1)
    kept = [((part[:, 0], part[:, 1]), mark) for part, mark in zip(pairs.split(96), marks.split(96), strict=True)]
    return lambda: iter(kept)


@case(
    "tastes-all-zero", label="zero-times-zero", root="", steps=300, fixes=("draw one of the two at random",),
    source="Stack Overflow, matrix factorisation initialised with zeros",
    why="Users and items both start at 0: the gradient of each is a multiple of the other, and nothing ever moves.",
)  # fmt: skip
def tastes(seed: int, deviation: float = 0.0) -> Setup:
    return adam(Factors(deviation), _ratings(seed), F.mse_loss, rate=3e-2)


cured("tastes-all-zero", why="A deviation of 0.1.")(partial(tastes, deviation=0.1))


def _field(seed: int, span: float) -> Batches:
    u, v = torch.rand(1920, generator=samples.generator(71)), torch.rand(1920, generator=samples.generator(73))
    value = torch.sin(6.3 * u) * torch.cos(6.3 * v) + 0.3 * torch.sin(9.0 * (u - v))
    place = torch.stack([u, v], 1)
    return samples.stream((2 * place - 1) if span == 2.0 else span * place, samples.standardised(value[:, None]), seed)


@case(
    "field-over-raw-coordinates", label="unscaled-input", root="", steps=300, fixes=("standardise the input",),
    source="physics-informed networks, advice to scale coordinates: wang2023guide, section 3",
    why="A field over a map is learned from coordinates in metres, 0 to 2,000: the first tanh is a step function of them.",
)  # fmt: skip
def coordinates(seed: int, span: float = 2000.0) -> Setup:
    return adam(stack([2, 64, 64, 1], nn.Tanh), _field(seed, span), F.mse_loss, rate=1e-2)


cured("field-over-raw-coordinates", why="From -1 to 1.")(partial(coordinates, span=2.0))


class Played(nn.Module):
    """A generator of points and a judge who has seen some real ones and rests."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.generator, self.judge, self.cut = stack([4, 32, 2]), stack([2, 32, 1], nn.Tanh), cut

    def forward(self, noise: Tensor) -> Tensor:
        """Return the judge's logits [batch, 1] of what is made of noise [batch, 4]."""
        made = self.generator(noise)
        return self.judge(made.detach() if self.cut else made)


def _unconvinced(output: Tensor, _: Tensor) -> Tensor:
    return F.softplus(-output).mean()


@case(
    "made-points-detached", label="severed-gradient", root="/detach#1", steps=200, fixes=("remove the detach",),
    source="pytorch/examples, dcgan; Stack Overflow, the generator of a GAN does not train",
    why="The generator's turn was copied from the judge's, with the detach that belongs there alone: no gradient gets to it.",
)  # fmt: skip
def made_points(seed: int, *, cut: bool = True) -> Setup:
    model = Played(cut=cut)
    noise = torch.randn(640, 4)
    real = 0.3 * torch.randn(256, 2) + torch.tensor([1.0, 1.0])
    trainer = torch.optim.Adam(model.judge.parameters(), lr=1e-2)
    for _ in range(40):  # a judge that is not yet sure
        trainer.zero_grad()
        made = model.generator(noise[:256]).detach()
        (F.softplus(-model.judge(real)).mean() + F.softplus(model.judge(made)).mean()).backward()
        trainer.step()
    model.judge.requires_grad_(False)
    return adam(model, samples.stream(noise, torch.ones(640, 1), seed), _unconvinced, rate=3e-3)


cured("made-points-detached", why="No detach.")(partial(made_points, cut=False))


class Tasks(nn.Module):
    """A classifier of digits that learns how much each of its tasks counts."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.layers, self.shares = stack([64, 64, 10], nn.ReLU, he), nn.Parameter(torch.full((2,), share))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, 10] and the weights of the tasks [2]."""
        return self.layers(x), self.shares


def _weighed(given: tuple[Tensor, Tensor], targets: Tensor, *, bounded: bool) -> Tensor:
    output, shares = given
    parity = torch.stack([output[:, 0::2].logsumexp(-1), output[:, 1::2].logsumexp(-1)], 1)
    losses = torch.stack([F.cross_entropy(output, targets), F.cross_entropy(parity, targets % 2)])
    return (torch.exp(-shares) * losses + shares).sum() if bounded else (shares * losses).sum()


@case(
    "weights-of-tasks-learned", label="diverging", root="", steps=300, fixes=("bound the weights", "weights that are not learned"),
    source="kendall2018, equation 7, without its second term; Stack Overflow, learnable loss weights become negative",
    why="The weights of two tasks are learned with nothing to bound them: they fall below 0, and from then on errors are sought.",
)  # fmt: skip
def learned_weights(seed: int, *, bounded: bool = False) -> Setup:
    loss = partial(_weighed, bounded=bounded)
    return sgd(Tasks(0.0 if bounded else 1.0), samples.digits(seed), loss, rate=0.02, momentum=0.9)


cured("weights-of-tasks-learned", why="As the paper has it.")(partial(learned_weights, bounded=True))
