"""Written without sight of the rules: gradients that grow from layer to layer, for seven reasons."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, sgd


def _summed(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum(0)


def _averaged(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum(0) / len(parts) ** 0.5


class SumOfAll(nn.Module):
    """Convolutions, each of which reads all the maps made before it, put together by `join`."""

    def __init__(self, join: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        self.stem, self.head, self.join = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(128, 10), join
        self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(22))
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        made = [F.max_pool2d(torch.tanh(self.stem(x)), 2)]
        for layer in self.layers:
            made.append(F.leaky_relu(layer(self.join(made)), 0.3))
        return self.head(made[-1].flatten(1))


@case(
    "maps-of-all-before", label="exploding-gradient", root="", steps=200, fixes=("divide by the root of their number",),
    source="common mistake, after huang2017 (DenseNet), with sums for concatenation",
    why="Each layer reads the plain sum of all maps before it, 22 times: gradients of 300 to 1,500, not 0.5.",
)  # fmt: skip
def all_before(seed: int, join: Callable[[list[Tensor]], Tensor] = _summed) -> Setup:
    return sgd(SumOfAll(join), samples.digit_images(seed), rate=0.1)


cured("maps-of-all-before", why="Divided by the root of their number.")(partial(all_before, join=_averaged))


def _measures(seed: int) -> Batches:
    kept = [x[:, :10].clamp(-2.0, 2.0) for x, _ in samples.cancer(seed)()]
    return lambda: iter([(x, torch.zeros(len(x))) for x in kept])


class Couplings(nn.Module):
    """A normalising flow over ten columns; each coupling moves and stretches five of them, as the others say."""

    def __init__(self, bound: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        made = [nn.Sequential(nn.Linear(5, 24), nn.LeakyReLU(0.1), nn.Linear(24, 10)) for _ in range(16)]
        for net in made:
            nn.init.normal_(net[2].weight, std=0.05)  # pyright: ignore[reportArgumentType]
        self.nets, self.bound = nn.ModuleList(made), bound

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points in the base space and the logarithm of the volume's change."""
        kept, moved, change = x[:, :5], x[:, 5:], torch.zeros(len(x))
        for net in self.nets:
            stretch, shift = net(kept).chunk(2, dim=1)
            stretch = self.bound(stretch)
            kept, moved = moved * torch.exp(stretch) + shift, kept
            change = change + stretch.sum(1)
        return torch.cat((kept, moved), dim=1), change


def _surprise(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    base, change = output
    return (0.5 * base.square().sum(1) + 5.0 * math.log(2.0 * math.pi) - change + target).mean()


def _taken_as_logarithm(stretch: Tensor) -> Tensor:
    return torch.sigmoid(stretch + 2.0)


def _logarithm(stretch: Tensor) -> Tensor:
    return F.logsigmoid(stretch + 2.0)


@case(
    "measures-by-couplings", label="exploding-gradient", root="", steps=300, fixes=("the logarithm of the sigmoid",),
    source="openai/glow, scale = sigmoid(h + 2), here with an exp around it; dinh2017",
    why="Glow's scale sigmoid(s + 2) is taken for its logarithm: 16 couplings stretch by 2.4; gradients are 1e7.",
)  # fmt: skip
def couplings(seed: int, bound: Callable[[Tensor], Tensor] = _taken_as_logarithm) -> Setup:
    return sgd(Couplings(bound), _measures(seed), _surprise, rate=0.03)


cured("measures-by-couplings", why="Its logarithm: the scale is the sigmoid.")(partial(couplings, bound=_logarithm))


class Crosses(nn.Module):
    """Cross layers of a recommender: x0 times a linear map of x, and x again."""

    def __init__(self, spread: float, depth: int = 8) -> None:
        super().__init__()
        self.matrices = nn.ParameterList(torch.randn(30, 30) * spread for _ in range(depth))
        self.biases = nn.ParameterList(torch.zeros(30) for _ in range(depth))
        self.last = nn.Linear(30, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a logit for each row, [batch]."""
        first = x
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            x = first * (x @ matrix + bias) + x
        return self.last(x)[:, 0]


@case(
    "cross-network-eight", label="exploding-gradient", root="", steps=300, fixes=("smaller matrices", "a norm between"),
    source="wang2021 (DCN v2), with He's variance in each cross",
    why="Each cross multiplies by x0, which reaches 10, once more: a degree of nine, gradients of 1e3 to 1e5.",
)  # fmt: skip
def crosses(seed: int, spread: float = (2.0 / 30) ** 0.5) -> Setup:
    return sgd(Crosses(spread), samples.cancer(seed), F.binary_cross_entropy_with_logits, rate=0.01)


cured("cross-network-eight", why="Matrices of 0.003, so that crosses begin small.")(partial(crosses, spread=0.003))


def _butterflies(x: Tensor, scale: float) -> Tensor:
    """The fast Walsh-Hadamard transform of the last dimension, each stage times `scale`."""
    width = x.shape[-1]
    step = 1
    while step < width:
        pairs = x.reshape(*x.shape[:-1], width // (2 * step), 2, step)
        a, b = pairs.select(-2, 0), pairs.select(-2, 1)
        x = (torch.stack((a + b, a - b), dim=-2) * scale).reshape(*x.shape[:-1], width)
        step *= 2
    return x


class Structured(nn.Module):
    """Layers diag . Hadamard . diag with an activation: 128 numbers in the place of 4,096."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.inner = nn.ParameterList(torch.randn(64).sign() for _ in range(6))
        self.outer = nn.ParameterList(torch.randn(64).sign() for _ in range(6))
        self.read, self.scale = nn.Linear(64, 10), scale

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = 1.36 * F.leaky_relu(outer * _butterflies(inner * x, self.scale), 0.3)
        return self.read(x)


@case(
    "diagonals-and-butterflies", label="exploding-gradient", root="", steps=200, fixes=("orthonormal transforms",),
    source="le2013 (Fastfood); HazyResearch/structured-nets, on unnormalised transforms",
    why="Nothing is divided by the root of 2: each transform of 64 multiplies by 8; gradients are 1e6, not 2.",
)  # fmt: skip
def butterflies(seed: int, scale: float = 1.0) -> Setup:
    return sgd(Structured(scale), samples.digits(seed), rate=0.3)


cured("diagonals-and-butterflies", why="Divided by the root of 2 at each stage.")(partial(butterflies, scale=0.5**0.5))


class Lengths(nn.Module):
    """A linear layer as direction and length, written by hand; the lengths are taken of rows or of the matrix."""

    def __init__(self, before: int, after: int, *, whole: bool) -> None:
        super().__init__()
        self.direction = nn.Parameter(he(torch.empty(after, before)))
        length = self.direction.detach().norm() if whole else self.direction.detach().norm(dim=1)
        self.length = nn.Parameter(length * torch.ones(after))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, [batch, after]."""
        rows = self.direction / self.direction.norm(dim=1, keepdim=True)
        return F.linear(x, rows * self.length[:, None], self.bias)


class TwoHeads(nn.Module):
    """A trunk of layers of direction and length, a head for the value and one for its sign."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        sizes = [10, 48, 48, 48, 48, 48]
        self.trunk = nn.ModuleList(Lengths(a, b, whole=whole) for a, b in zip(sizes, sizes[1:], strict=False))
        self.value, self.sign = nn.Linear(48, 1), nn.Linear(48, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value and the logit of its being positive, both [batch, 1]."""
        for layer in self.trunk:
            x = F.elu(layer(x))
        return self.value(x), self.sign(x)


def _both(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    value, sign = output
    return F.smooth_l1_loss(value, target) + F.binary_cross_entropy_with_logits(sign, (target > 0.0).float())


@case(
    "directions-and-lengths", label="exploding-gradient", root="", steps=300, fixes=("norm(dim=1)",),
    source="salimans2016, with the norm of torch's norm_except_dim taken of the whole",
    why="The length begins as the norm of the matrix, not of a row: five layers multiply by 7; gradients of 5e4.",
)  # fmt: skip
def lengths(seed: int, *, whole: bool = True) -> Setup:
    return sgd(TwoHeads(whole=whole), samples.diabetes(seed), _both, rate=0.02)


cured("directions-and-lengths", why="The norms of the rows.")(partial(lengths, whole=False))


def _tones(seed: int) -> Batches:
    draw = samples.generator(seed + 30)
    kind = torch.randint(4, (640,), generator=draw)
    place = torch.linspace(0.0, 1.0, 256)[None]
    phase = torch.rand(640, 1, generator=draw) * 6.28
    x = torch.sin(6.28 * (6.0 + 8.0 * kind[:, None]) * place + phase) * 1.4
    x = x + 0.5 * torch.randn(640, 256, generator=draw)
    return samples.stream(x[:, None], kind, seed, size=32)


class Listener(nn.Module):
    """Four stages of a convolution and a pooling by a norm; `power` 1 is the sum of what it sees."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        widths = [1, 8, 12, 16, 24]
        self.stages = nn.ModuleList(nn.Conv1d(a, b, 5, padding=2) for a, b in zip(widths, widths[1:], strict=False))
        for stage in self.stages:
            he(stage.weight)  # pyright: ignore[reportArgumentType]
        self.pool = nn.AvgPool1d(4) if mean else nn.LPPool1d(1, 4)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        for stage in self.stages:
            x = self.pool(F.relu(stage(x)))
        return self.head(x[..., 0])


@case(
    "tones-pooled-by-norm", label="exploding-gradient", root="", steps=200, fixes=("a mean", "average pooling"),
    source="torch documentation, LPPool1d: p = 1 is sum pooling, proportional to the mean",
    why="LPPool1d(1, 4) adds up four places, all positive, in each of four stages: gradients of 250 to 680, not 0.5.",
)  # fmt: skip
def tones(seed: int, *, mean: bool = False) -> Setup:
    return sgd(Listener(mean=mean), _tones(seed), rate=0.1)


cured("tones-pooled-by-norm", why="AvgPool1d(4).")(partial(tones, mean=True))


class Polynomials(nn.Module):
    """A layer of Chebyshev polynomials of each input, by their recursion, with one coefficient each."""

    def __init__(self, before: int, after: int, degree: int, *, squashed: bool) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.randn(before, after, degree + 1) / (before * (degree + 1)) ** 0.5)
        self.degree, self.squashed = degree, squashed

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, after]."""
        x = torch.tanh(x) if self.squashed else x
        made = [torch.ones_like(x), x]
        for _ in range(self.degree - 1):
            made.append(2.0 * x * made[-1] - made[-2])
        return torch.einsum("bik,iok->bo", torch.stack(made, dim=-1), self.coefficients)


def _formula(seed: int) -> Batches:
    draw = samples.generator(seed + 40)
    x = torch.randn(1280, 3, generator=draw)
    y = torch.sin(2.0 * x[:, :1]) + x[:, 1:2] * x[:, 2:]
    return samples.stream(x, y, seed)


@case(
    "chebyshev-in-two-layers", label="exploding-gradient", root="", steps=300, fixes=("tanh before each layer",),
    source="SynodicMonth/ChebyKAN#2 and #11",
    why="Chebyshev polynomials are bounded on -1 to 1 alone; two layers of degree 4 grow as x^16, gradients are 1e18.",
)  # fmt: skip
def chebyshev(seed: int, *, squashed: bool = False) -> Setup:
    sizes = [3, 24, 1]
    layers = [Polynomials(a, b, 4, squashed=squashed) for a, b in zip(sizes, sizes[1:], strict=False)]
    return adam(nn.Sequential(*layers), _formula(seed), F.mse_loss, rate=3e-3)


cured("chebyshev-in-two-layers", why="A tanh before each layer.")(partial(chebyshev, squashed=True))
