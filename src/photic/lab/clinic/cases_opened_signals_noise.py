"""Written without sight of the rules: deep networks whose gradient is like noise with respect to the input."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd


class Wave(nn.Module):
    """A layer of SIREN: sin(30 (W x + b)), with its own start or with that of nn.Linear."""

    def __init__(self, before: int, after: int, *, own: bool, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        if own:
            bound = 1.0 / before if first else math.sqrt(6.0 / before) / 30.0
            nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, after]."""
        return torch.sin(30.0 * self.linear(x))


def _picture(seed: int) -> Batches:
    draw = samples.generator(seed + 1)
    place = 2.0 * torch.rand(4096, 2, generator=draw) - 1.0
    x, y = place.unbind(1)
    grey = torch.sin(5.0 * x + 2.0 * y) + torch.cos(7.0 * (x.square() + y.square())) + (x > y).float()
    return samples.stream(place, samples.standardised(grey[:, None]), seed, size=128)


@case(
    "picture-from-places", label="shattered-gradient", root="", steps=300, fixes=("SIREN's own start",),
    source="lucidrains/siren-pytorch#1; sitzmann2020, section 3.2",
    why="nn.Linear's start with sin(30 z): a hundredth of noise leaves a cosine of 0.0 between gradients, not 0.95.",
)  # fmt: skip
def picture(seed: int, *, own: bool = False) -> Setup:
    layers = [Wave(2, 64, own=own, first=True)] + [Wave(64, 64, own=own) for _ in range(3)]
    return adam(nn.Sequential(*layers, nn.Linear(64, 1)), _picture(seed), F.mse_loss, rate=1e-3)


cured("picture-from-places", why="SIREN's start: U(-sqrt(6 / n) / 30, sqrt(6 / n) / 30).")(partial(picture, own=True))


class Highway(nn.Module):
    """A highway layer: the gate T lets the transformed through, 1 - T what came in."""

    def __init__(self, width: int, bias: float) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.normal_(self.change.weight, std=2.0 / width**0.5)
        nn.init.normal_(self.gate.weight, std=0.1 / width**0.5)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, width]."""
        passing = torch.sigmoid(self.gate(x))
        return passing * torch.tanh(self.change(x)) + (1.0 - passing) * x


@case(
    "highway-of-forty", label="shattered-gradient", root="", steps=300, fixes=("gate biases of -3",),
    source="srivastava2015, section 2.2, with the sign of the bias turned; balduzzi2017",
    why="The gates' biases are 5 for -3: nothing is carried past forty tanh layers of variance 4; a cosine of 0.1.",
)  # fmt: skip
def highway(seed: int, bias: float = 5.0) -> Setup:
    layers = [Highway(48, bias) for _ in range(40)]
    return sgd(nn.Sequential(nn.Linear(64, 48), *layers, nn.Linear(48, 10)), samples.digits(seed), rate=0.05)


cured("highway-of-forty", why="Biases of -3: most is carried.")(partial(highway, bias=-3.0))


def _folded(x: Tensor, period: float) -> Tensor:
    """A triangle wave from -1 to 1: x itself between -1 and 1 if the period is 4."""
    phase = torch.remainder(x + period / 4.0, period)
    return (phase - period / 2.0).abs() * (-4.0 / period) + 1.0


class Folds(nn.Module):
    """A segmenter: 3 by 3 convolutions with a triangle wave as activation, and a 1 by 1 head."""

    def __init__(self, period: float, depth: int = 9) -> None:
        super().__init__()
        self.stem, self.head, self.period = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 1), period
        self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(depth))
        for layer in self.layers:
            weight = nn.init.dirac_(torch.empty(8, 8, 3, 3))
            layer.weight = nn.Parameter(weight + 0.05 * torch.randn(8, 8, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same size."""
        x = _folded(self.stem(x), self.period)
        for layer in self.layers:
            x = _folded(layer(x), self.period)
        return self.head(x)


def _outlines(seed: int) -> Batches:
    draw = samples.generator(seed + 3)
    kept = []
    for x, _ in samples.stream(samples.digit_table()[0].view(-1, 1, 8, 8), torch.zeros(1797), seed, size=16)():
        goal = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1) - x
        kept.append((x + 0.1 * torch.randn(x.shape, generator=draw), torch.tanh(goal)))
    return lambda: iter(kept)


@case(
    "segmenter-of-triangles", label="shattered-gradient", root="", steps=300, fixes=("a period of 4", "skips"),
    source="common mistake with periodic units; parascandolo2017, Taming the waves",
    why="A period of 2, not 4: slopes of 2 and -2, ten times over; a hundredth of noise leaves a cosine of 0.0.",
)  # fmt: skip
def triangles(seed: int, period: float = 2.0) -> Setup:
    return adam(Folds(period), _outlines(seed), F.mse_loss, rate=3e-3)


cured("segmenter-of-triangles", why="A period of 4: the identity, folded at its ends.")(partial(triangles, period=4.0))


class Doubled(nn.Module):
    """Layers of concatenated rectifiers, [relu(x), relu(-x)], and matrices drawn alone or as mirrored pairs."""

    def __init__(self, depth: int, *, mirrored: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 24), nn.Linear(24, 10)
        self.norms = nn.ModuleList(nn.BatchNorm1d(24) for _ in range(depth))
        made: list[Tensor] = []
        for _ in range(depth):
            half = nn.init.orthogonal_(torch.empty(24, 24))
            other = -half if mirrored else nn.init.orthogonal_(torch.empty(24, 24))
            made.append(torch.cat((half, other), dim=1))
        self.matrices = nn.ParameterList(made)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        x = self.stem(x)
        for matrix, norm in zip(self.matrices, self.norms, strict=True):
            x = norm(x)
            x = torch.cat((x.relu(), (-x).relu()), dim=1) @ matrix.T
        return self.head(x)


@case(
    "rectifiers-concatenated", label="shattered-gradient", root="", steps=300, fixes=("a looks-linear start", "skips"),
    source="balduzzi2017, section 4; shang2016",
    why="34 layers of BatchNorm and [relu(x), relu(-x)] with halves drawn apart: a cosine of 0.04 for neighbours.",
)  # fmt: skip
def doubled(seed: int, *, mirrored: bool = False) -> Setup:
    return sgd(Doubled(34, mirrored=mirrored), samples.digits(seed), rate=0.02)


cured("rectifiers-concatenated", why="Mirrored halves: linear at the start.")(partial(doubled, mirrored=True))


class PointTower(nn.Module):
    """A set model: one deep network for every point, normalised over all points, a mean, and a head."""

    def __init__(self, depth: int, *, skips: bool) -> None:
        super().__init__()
        self.stem, self.head, self.skips = nn.Linear(3, 24), nn.Linear(24, 4), skips
        self.layers = nn.ModuleList(nn.Linear(24, 24, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(24, affine=False) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4] for points [batch, number, 3]."""
        count = x.shape[1]
        x = self.stem(x.flatten(0, 1))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = layer(F.relu(norm(x)))
            x = x + 0.3 * y if self.skips else y
        return self.head(x.unflatten(0, (-1, count)).mean(1))


def _bodies(seed: int) -> Batches:
    draw = samples.generator(seed + 4)
    kind = torch.randint(4, (768,), generator=draw)
    points = torch.randn(768, 3, 12, generator=draw)
    ball = points / points.norm(dim=1, keepdim=True)
    box = points / points.abs().amax(1, keepdim=True)
    disc = points * torch.tensor([1.0, 1.0, 0.3])[:, None]
    rod = points * torch.tensor([0.3, 0.3, 1.4])[:, None]
    made = torch.stack((ball, box, disc, rod))[kind, torch.arange(768)]
    made = made.transpose(1, 2).contiguous()
    return samples.stream(made + 0.05 * torch.randn(made.shape, generator=draw), kind, seed, size=16)


@case(
    "bodies-of-points", label="shattered-gradient", root="", steps=300, fixes=("skips",),
    source="balduzzi2017; qi2017 (PointNet), made fifty layers deep",
    why="Fifty layers of BatchNorm and ReLU per point, no skip: a hundredth of noise leaves a cosine of 0.0, not 0.98.",
)  # fmt: skip
def bodies(seed: int, *, skips: bool = False) -> Setup:
    return sgd(PointTower(50, skips=skips), _bodies(seed), rate=0.02)


cured("bodies-of-points", why="A skip around each layer.")(partial(bodies, skips=True))
