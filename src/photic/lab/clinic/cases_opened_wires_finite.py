"""Numbers that are not finite, forward or only on the way back: distances, mixtures, graphs, bags, policies."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured


class Twins(nn.Module):
    """A Siamese network: the distance of the codes of two images."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
        self.floor = floor

    def forward(self, pairs: Tensor) -> Tensor:
        """Return distances [batch] of pairs [batch, 2, 64]."""
        left, right = self.embed(pairs[:, 0]), self.embed(pairs[:, 1])
        return torch.sqrt((left - right).pow(2).sum(1) + self.floor)


def contrastive(distance: Tensor, apart: Tensor) -> Tensor:
    """Return the contrastive loss with a margin of 2."""
    return ((1.0 - apart) * distance.pow(2) + apart * F.relu(2.0 - distance).pow(2)).mean()


@case(
    "siamese-digit-pairs", label="non-finite", root="", steps=300,
    fixes=("an epsilon under the root", "squared distance"),
    source="pytorch/pytorch#2421; pytorch/pytorch#2721",
    why="One pair in 25 is an image with itself: the distance is 0, where the root has an infinite slope; "
    "nan at step 1.",
)  # fmt: skip
def siamese(seed: int, floor: float = 0.0) -> Setup:
    x, y = samples.digit_table()
    draw = samples.generator(seed + 5)
    left = torch.randint(len(x), (1280,), generator=draw)
    right = torch.randint(len(x), (1280,), generator=draw)
    for row in range(0, 1280, 2):  # every other pair is of one class
        alike = (y == y[left[row]]).nonzero().flatten()
        right[row] = alike[torch.randint(len(alike), (1,), generator=draw)]
    right[::25] = left[::25]
    apart = (y[left] != y[right]).float()
    model = Twins(floor)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return Setup(model, samples.stream(torch.stack((x[left], x[right]), 1), apart, seed), contrastive, optimizer)


cured("siamese-digit-pairs", why="1e-8 under the root.")(partial(siamese, floor=1e-8))


class Mixture(nn.Module):
    """A mixture density network: logits, centres and log widths of five bells."""

    def __init__(self, bells: int = 5) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 3 * bells))

    def forward(self, x: Tensor) -> Tensor:
        """Return parameters [batch, 3, bells]."""
        return self.net(x).view(len(x), 3, -1)


def density_loss(out: Tensor, y: Tensor) -> Tensor:
    """Return the negative logarithm of the density, as the formula has it."""
    share, width = F.softmax(out[:, 0], -1), out[:, 2].exp()
    bell = torch.exp(-0.5 * ((y - out[:, 1]) / width) ** 2) / (width * math.sqrt(2.0 * math.pi))
    return -torch.log((share * bell).sum(-1)).mean()


def log_density_loss(out: Tensor, y: Tensor) -> Tensor:
    """Return the same by logsumexp."""
    log_bell = -0.5 * ((y - out[:, 1]) * torch.exp(-out[:, 2])) ** 2 - out[:, 2] - 0.5 * math.log(2.0 * math.pi)
    return -torch.logsumexp(F.log_softmax(out[:, 0], -1) + log_bell, -1).mean()


@case(
    "mixture-density-arcs", label="non-finite", root="", steps=300, fixes=("logsumexp", "standardise the target"),
    source="hardmaru's mixture density tutorial; tonyduan/mdn",
    why="Targets up to 25 lie so far from every bell that all densities are 0 in float32, and the logarithm "
    "is -inf at step 0.",
)  # fmt: skip
def mixture(seed: int, loss: LossFunction = density_loss) -> Setup:
    draw = samples.generator(seed + 9)
    y = torch.rand(1024, 1, generator=draw) * 50.0 - 25.0
    x = torch.sin(0.25 * y) + y / 25.0 + 0.05 * torch.randn(1024, 1, generator=draw)
    model = Mixture()
    return Setup(model, samples.stream(x, y, seed), loss, torch.optim.Adam(model.parameters(), lr=1e-2))


cured("mixture-density-arcs", why="The logarithm is taken of each bell before they are added.")(
    partial(mixture, loss=log_density_loss)
)


class Convolved(nn.Module):
    """A graph convolution of two layers over a given adjacency, normalised from both sides."""

    def __init__(self, adjacency: Tensor, *, guarded: bool) -> None:
        super().__init__()
        power = adjacency.sum(1).pow(-0.5)
        if guarded:
            power = power.masked_fill(power.isinf(), 0.0)
        self.register_buffer("spread", torch.einsum("i,ij,j->ij", power, adjacency, power))
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 10)
        self.own = nn.Linear(64, 32, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [nodes, 10]."""
        spread: Tensor = self.spread  # pyright: ignore[reportAssignmentType]
        hidden = F.relu(spread @ self.first(x) + self.own(x))
        return self.second(hidden)


@case(
    "graph-of-near-digits", label="non-finite", root="", steps=200, fixes=("set infinite powers to 0", "self-loops"),
    source="pyg-team/pytorch_geometric, gcn_norm; tkipf/pygcn, normalize",
    why="27 of 400 nodes have no neighbour: their degree to the power -1/2 is inf, and inf times 0 is nan.",
)  # fmt: skip
def graph(seed: int, *, guarded: bool = False) -> Setup:
    x, y = samples.digit_table()
    rows = torch.randperm(len(x), generator=samples.generator(seed))[:400]
    x, y = x[rows], y[rows]
    adjacency = (torch.cdist(x, x) < 4.5).float().fill_diagonal_(0.0)
    model = Convolved(adjacency, guarded=guarded)
    return Setup(model, lambda: iter([(x, y)]), F.cross_entropy, torch.optim.Adam(model.parameters(), lr=5e-3))


cured("graph-of-near-digits", why="Infinite powers are set to 0.")(partial(graph, guarded=True))


class Bags(nn.Module):
    """Attention over the members of a bag; the last column says which members are there."""

    def __init__(self, absent: float) -> None:
        super().__init__()
        self.member = nn.Sequential(nn.Linear(8, 32), nn.Tanh())
        self.score, self.head = nn.Linear(32, 1), nn.Linear(32, 2)
        self.absent = absent

    def forward(self, bag: Tensor) -> Tensor:
        """Return logits [batch, 2] of bags [batch, members, 9]."""
        hidden, there = self.member(bag[..., :8]), bag[..., 8] > 0.0
        bias = torch.zeros(there.shape).masked_fill_(~there, self.absent)
        weights = F.softmax(self.score(hidden).squeeze(-1) + bias, dim=-1)
        weights = torch.nan_to_num(weights) * there
        return self.head(torch.einsum("bm,bmh->bh", weights, hidden))


@case(
    "bags-with-attention", label="non-finite", root="", steps=300,
    fixes=("a large finite number for -inf", "no empty bags"),
    source="pytorch/pytorch#41508; pytorch/pytorch#94700",
    why="3 % of the bags are empty: softmax over -inf is nan, nan_to_num hides it going forward, and it "
    "comes back in backward.",
)  # fmt: skip
def bags(seed: int, absent: float = -math.inf) -> Setup:
    draw = samples.generator(seed + 3)
    x = torch.randn(1280, 6, 8, generator=draw)
    y = torch.randint(2, (1280,), generator=draw)
    count = torch.randint(1, 7, (1280,), generator=draw)
    count[torch.rand(1280, generator=draw) < 0.03] = 0
    there = (torch.arange(6) < count[:, None]).float()
    witness = (torch.rand(1280, generator=draw) * count).long()
    x[torch.arange(1280), witness, :3] += 4.0 * y[:, None]  # one member tells
    model = Bags(absent)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return Setup(model, samples.stream(torch.cat((x, there[..., None]), -1), y, seed), F.cross_entropy, optimizer)


cured("bags-with-attention", why="-1e4 for -inf.")(partial(bags, absent=-1e4))


class Squashed(nn.Module):
    """A policy: mean and log deviation of a Gaussian whose draws pass through tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.mean, self.log_std = nn.Linear(64, 2), nn.Linear(64, 2)

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log deviation, each [batch, 2]."""
        hidden = self.trunk(state)
        return self.mean(hidden), self.log_std(hidden).clamp(-5.0, 2.0)


class Cloning(nn.Module):
    """The negative log likelihood of recorded actions, limited to `edge` first."""

    def __init__(self, edge: float) -> None:
        super().__init__()
        self.edge = edge

    def forward(self, policy: tuple[Tensor, Tensor], action: Tensor) -> Tensor:
        """Return the mean over the batch."""
        action = action.clamp(-self.edge, self.edge)
        drawn = torch.atanh(action)
        log_likelihood = torch.distributions.Normal(policy[0], policy[1].exp()).log_prob(drawn)
        return -(log_likelihood - torch.log1p(-action.pow(2))).sum(-1).mean()


@case(
    "cloned-squashed-policy", label="non-finite", root="", steps=300, fixes=("keep actions inside the interval",),
    source="haarnoja2018; denisyarats/pytorch_sac, TanhTransform; ikostrikov/implicit_q_learning",
    why="A recorded action of exactly 1 has an infinite atanh, and its likelihood is infinity minus "
    "infinity: nan at step 0.",
)  # fmt: skip
def cloned(seed: int, edge: float = 1.0) -> Setup:
    draw = samples.generator(seed + 21)
    state = torch.randn(1024, 6, generator=draw)
    mix = torch.randn(6, 2, generator=samples.generator(4))
    action = (0.35 * state @ mix + 0.2 * torch.randn(1024, 2, generator=draw)).clamp(-1.0, 1.0)
    model = Squashed()
    return Setup(
        model, samples.stream(state, action, seed), Cloning(edge), torch.optim.Adam(model.parameters(), lr=3e-3)
    )


cured("cloned-squashed-policy", why="Actions are limited to 0.99.")(partial(cloned, edge=0.99))


class PowerMean(nn.Module):
    """Generalised-mean pooling over the places of a map, with a learned power."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))
        self.least = least

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, channels] of [batch, channels, height, width]."""
        return x.clamp(min=self.least).pow(self.power).mean((-2, -1)).pow(1.0 / self.power)


@case(
    "retrieval-power-mean", label="non-finite", root="3", steps=300, fixes=("clamp at 1e-6, not at 0",),
    source="radenovic2018; filipradenovic/cnnimageretrieval-pytorch, GeM",
    why="A channel that is 0 at all places has a mean of 0, where the third root has an infinite slope: nan "
    "on the way back.",
)  # fmt: skip
def power_mean(seed: int, least: float = 0.0) -> Setup:
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3), PowerMean(least), nn.Linear(32, 10)
    )
    return Setup(net, samples.digit_images(seed), F.cross_entropy, torch.optim.Adam(net.parameters(), lr=1e-2))


cured("retrieval-power-mean", why="The map is clamped at 1e-6.")(partial(power_mean, least=1e-6))
