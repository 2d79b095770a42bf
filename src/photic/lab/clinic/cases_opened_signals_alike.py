"""Written without sight of the rules: features, units, places or examples that all become one."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd


class Units(nn.Module):
    """A hidden layer made of single units in a ModuleList, as for a network that is to grow later."""

    def __init__(self, *, copied: bool) -> None:
        super().__init__()
        made = [nn.Linear(64, 1)] * 24 if copied else [nn.Linear(64, 1) for _ in range(24)]
        self.units = nn.ModuleList(made)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.classifier(F.softplus(torch.cat([unit(x) for unit in self.units], dim=1)))


@case(
    "units-in-a-list", label="rank-collapse", root="units", steps=300, fixes=("a list comprehension",),
    source="Python FAQ, on [[None] * 2] * 3; discuss.pytorch.org, on nn.ModuleList([layer] * n)",
    why="[nn.Linear(64, 1)] * 24 is one unit named 24 times: the hidden layer has rank 1.",
)  # fmt: skip
def units(seed: int, *, copied: bool = True) -> Setup:
    return adam(Units(copied=copied), samples.digits(seed), rate=1e-2)


cured("units-in-a-list", why="Twenty-four units of their own.")(partial(units, copied=False))


def _turned(seed: int) -> Batches:
    draw = samples.generator(seed + 5)
    turn = nn.init.orthogonal_(torch.empty(16, 16), generator=samples.generator(6))
    x = torch.randn(1280, 16, generator=draw)
    return samples.stream(x, x @ turn, seed)


class Factors(nn.Module):
    """A linear map written as a product of many matrices, the signal brought back to its size after each."""

    def __init__(self, depth: int, *, orthogonal: bool) -> None:
        super().__init__()
        drawn = [torch.randn(16, 16) / 4.0 for _ in range(depth)]
        self.factors = nn.ParameterList(nn.init.orthogonal_(m) if orthogonal else m for m in drawn)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, 16]."""
        for factor in self.factors:
            x = x @ factor
            x = x / x.square().mean().sqrt()
        return x


@case(
    "product-of-fifty-matrices", label="rank-collapse", root="", steps=300, fixes=("orthogonal matrices", "skips"),
    source="saxe2014, section 3; daneshmand2020",
    why="A product of fifty Gaussian matrices has one large singular value: outputs have a stable rank of 1.04.",
)  # fmt: skip
def product(seed: int, *, orthogonal: bool = False) -> Setup:
    return sgd(Factors(50, orthogonal=orthogonal), _turned(seed), F.mse_loss, rate=0.1)


cured("product-of-fifty-matrices", why="Orthogonal ones: all singular values are 1.")(partial(product, orthogonal=True))


def _heaps(seed: int) -> Batches:
    draw = samples.generator(seed + 7)
    centres = 3.0 * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    centres = centres + 0.4 * torch.randn(640, 4, 2, generator=draw)
    points = centres[:, torch.arange(24) % 4] + 0.3 * torch.randn(640, 24, 2, generator=draw)
    return samples.stream(points, points, seed, size=32)


class Slots(nn.Module):
    """Slot attention: four slots share out the points of a set among them, three times, and each names a place."""

    def __init__(self, *, spread: float) -> None:
        super().__init__()
        self.slots = nn.Parameter(spread * torch.randn(4, 24))
        self.embed = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24))
        self.query, self.key, self.value = (nn.Linear(24, 24, bias=False) for _ in range(3))
        self.update, self.norm, self.place = nn.GRUCell(24, 24), nn.LayerNorm(24), nn.Linear(24, 2)

    def forward(self, points: Tensor) -> Tensor:
        """Return four places for each set, [batch, 4, 2]."""
        x = self.embed(points)
        slots = self.slots.expand(len(points), 4, 24)
        for _ in range(3):
            scores = self.query(self.norm(slots)) @ self.key(x).transpose(1, 2) / 24**0.5
            shares = torch.softmax(scores, dim=1) + 1e-6
            shares = shares / shares.sum(2, keepdim=True)
            told = shares @ self.value(x)
            slots = self.update(told.flatten(0, 1), slots.flatten(0, 1)).view(-1, 4, 24)
        return self.place(slots)


def _nearest(places: Tensor, points: Tensor) -> Tensor:
    """The squared distance of each point from the nearest place."""
    return (points[:, :, None] - places[:, None]).square().sum(3).amin(2).mean()


@case(
    "slots-for-four-heaps", label="rank-collapse", root="slots", steps=300, fixes=("slots drawn apart",),
    source="locatello2020, section 2.1, on slots that must be drawn, not begin alike",
    why="All slots begin at 0: they ask alike, get alike and are one slot at every step; the distance stays at 9.",
)  # fmt: skip
def slots(seed: int, spread: float = 0.0) -> Setup:
    return adam(Slots(spread=spread), _heaps(seed), _nearest, rate=3e-3)


cured("slots-for-four-heaps", why="Slots from N(0, 1).")(partial(slots, spread=1.0))


class Grid(nn.Module):
    """A segmenter whose features are smoothed over the image by a bilateral filter, before a 1 by 1 head."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 1))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(12, 2, 1))
        line = torch.linspace(0.0, 1.0, 8)
        place = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).view(64, 2)
        self.register_buffer("near", torch.cdist(place, place).square() / (2.0 * width**2))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 64, 2] of the pixels."""
        maps = self.enter(x).flatten(2)
        for _ in range(2):
            tone = maps.mean(1)
            far = (tone[:, :, None] - tone[:, None]).square() / 200.0 + self.get_buffer("near")
            maps = maps @ torch.softmax(-far, dim=1)
        return self.head(maps.unflatten(2, (8, 8))).flatten(2).transpose(1, 2)


def _strokes(seed: int) -> Batches:
    draw = samples.generator(seed + 8)
    kept = [
        (x + 0.7 * torch.randn(x.shape, generator=draw), (x > 0.0).long().flatten(1))
        for x, _ in samples.digit_images(seed)()
    ]
    return lambda: iter(kept)


def _pixels(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


@case(
    "strokes-by-bilateral-filter", label="rank-collapse", root="", steps=300, fixes=("a width of 0.1",),
    source="zheng2015 (CRF-RNN), with a width in pixels over places from 0 to 1",
    why="The filter is 3 wide, in pixels, on places from 0 to 1: all pixels become the mean, scores differ by 2e-6.",
)  # fmt: skip
def strokes(seed: int, width: float = 3.0) -> Setup:
    return adam(Grid(width), _strokes(seed), _pixels, rate=1e-2)


cured("strokes-by-bilateral-filter", why="A width of 0.1, most of a pixel.")(partial(strokes, width=0.1))


def _drawn(depth: int, spread: float) -> nn.ParameterDict:
    made: dict[str, Tensor] = {"in_w": torch.randn(48, 64) / 8.0, "in_b": torch.zeros(48)}
    for index in range(depth):
        made[f"{index}_w"] = torch.randn(48, 48) * (2.0 / 48) ** 0.5
        made[f"{index}_b"] = spread * torch.randn(48)
    made |= {"out_w": torch.randn(10, 48) / 48**0.5, "out_b": torch.zeros(10)}
    return nn.ParameterDict({name: nn.Parameter(value) for name, value in made.items()})


class Functional(nn.Module):
    """A deep network in functions, from a dictionary of matrices and biases."""

    def __init__(self, depth: int, spread: float) -> None:
        super().__init__()
        self.kept, self.depth = _drawn(depth, spread), depth

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of ten classes, [batch, 10]."""
        p = self.kept
        for name in ("in", *range(self.depth)):
            x = F.relu(F.linear(x, p[f"{name}_w"], p[f"{name}_b"]))
        return F.linear(x, p["out_w"], p["out_b"])


@case(
    "margins-from-a-dictionary", label="rank-collapse", root="", steps=300, fixes=("biases of 0", "skips"),
    source="common mistake: nn.init.normal_ over all of parameters(); schoenholz2017, on the ordered phase",
    why="Biases that deviate by 2 at each of 24 layers drown what tells images apart: features have a cosine of 0.998.",
)  # fmt: skip
def margins(seed: int, spread: float = 2.0) -> Setup:
    return sgd(Functional(24, spread), samples.digits(seed), F.multi_margin_loss, rate=0.05)


cured("margins-from-a-dictionary", why="Biases of 0.")(partial(margins, spread=0.0))
