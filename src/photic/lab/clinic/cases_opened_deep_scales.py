"""Written without sight of the rules: losses that are flat where training starts, and weights drawn too large."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd


class Segmenter(nn.Module):
    """A U-Net of two levels; the bias of its output is that of a rare class."""

    def __init__(self, prior: float) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1, stride=2)
        self.up, self.merge = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 8, 3, padding=1)
        self.out = nn.Conv2d(8, 1, 1)
        nn.init.constant_(self.out.bias, -math.log((1.0 - prior) / prior))  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """Return the probability [batch, height, width] of each pixel."""
        fine = F.relu(self.down1(x))
        coarse = F.relu(self.down2(fine))
        joined = torch.cat([fine, F.relu(self.up(coarse))], 1)
        return torch.sigmoid(self.out(F.relu(self.merge(joined))))[:, 0]


@case(
    "rare-pixels", label="loss-saturation", root="", steps=200, fixes=("binary cross entropy", "bias of 0"),
    source="lin2017, section 4.1, on the prior; nielsen2015, chapter 3, on the quadratic cost",
    why="The squared error of a sigmoid that starts at 1e-5: gradients are 2e-6, the loss stays at 0.098.",
)  # fmt: skip
def rare_pixels(seed: int, loss: LossFunction = F.mse_loss) -> Setup:
    draw = samples.generator(seed + 80)
    x = 0.5 * torch.randn(256, 1, 16, 16, generator=draw)
    rows, columns = torch.randint(2, 14, (2, 256, 1, 1), generator=draw)
    grid = torch.arange(16)
    inside = ((grid[:, None] - rows).abs() <= 2) & ((grid[None] - columns).abs() <= 2)
    x[:, 0] += 1.5 * inside
    return sgd(Segmenter(1e-5), samples.stream(x, inside.float(), seed, size=16), loss, rate=0.1, momentum=0.9)


cured("rare-pixels", why="Binary cross entropy.")(partial(rare_pixels, loss=F.binary_cross_entropy))


class Towers(nn.Module):
    """Two towers, one for the upper and one for the lower half of an image, and their codes of norm 1."""

    def __init__(self) -> None:
        super().__init__()
        self.upper = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.lower = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of both halves."""
        return F.normalize(self.upper(x[:, :32]), dim=-1), F.normalize(self.lower(x[:, 32:]), dim=-1)


def _matching(output: tuple[Tensor, Tensor], _: Tensor, factor: float) -> Tensor:
    scores = output[0] @ output[1].T * factor
    mates = torch.arange(len(scores))
    return 0.5 * (F.cross_entropy(scores, mates) + F.cross_entropy(scores.T, mates))


@case(
    "halves-matched", label="loss-saturation", root="", steps=300, fixes=("divide by the temperature",),
    source="chen2020, SimCLR, on the temperature; common mistake, loss stuck at ln(batch)",
    why="Cosines are multiplied by the temperature of 0.07: the softmax is flat, the loss cannot leave ln 64 = 4.16.",
)  # fmt: skip
def halves(seed: int, factor: float = 0.07) -> Setup:
    return adam(Towers(), samples.digits(seed), partial(_matching, factor=factor), rate=3e-3)


cured("halves-matched", why="They are divided by it.")(partial(halves, factor=1.0 / 0.07))


class Mixture(nn.Module):
    """A mixture density network: shares, centres and widths of five round clouds in four dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.share, self.centre, self.width = nn.Linear(64, 5), nn.Linear(64, 20), nn.Linear(64, 5)
        nn.init.constant_(self.width.bias, -3.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return shares, centres and the logarithms of the widths."""
        h = self.body(x)
        return self.share(h), self.centre(h).unflatten(1, (5, 4)), self.width(h)


def _log_parts(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
    share, centre, log_width = output
    far = (y[:, None] - centre).square().sum(-1) / (2.0 * (2.0 * log_width).exp())
    return share.log_softmax(1) - far - 4.0 * log_width - 2.0 * math.log(2.0 * math.pi)


def _clamped(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
    density = _log_parts(output, y).exp().sum(1)
    return -torch.log(torch.clamp(density, min=1e-10)).mean()


def _summed(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
    return -_log_parts(output, y).logsumexp(1).mean()


@case(
    "clouds-in-four", label="loss-saturation", root="", steps=300, fixes=("logsumexp", "wider start"),
    source="sagelywizard/pytorch-mdn#6; bishop1994; common mistake, loss stuck at 23.03",
    why="The density is clamped at 1e-10 before the logarithm, and all targets lie below: the loss is 23.03 and all gradients are 0.",
)  # fmt: skip
def clouds(seed: int, loss: LossFunction = _clamped) -> Setup:
    draw = samples.generator(seed + 81)
    x, sign = torch.randn(1024, 3, generator=draw), torch.randint(2, (1024, 1), generator=draw) * 2.0 - 1.0
    bent = 1.0 + 0.5 * torch.tanh(x @ torch.randn(3, 4, generator=draw))
    y = sign * bent + 0.05 * torch.randn(1024, 4, generator=draw)
    return adam(Mixture(), samples.stream(x, y, seed), loss, rate=3e-3)


cured("clouds-in-four", why="logsumexp of the logarithms.")(partial(clouds, loss=_summed))


class Centroid(nn.Module):
    """A deep set: points, a network for each, their mean, and where an object is in three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, points: Tensor) -> Tensor:
        """Return a position [batch, 3]."""
        return self.rho(self.phi(points).mean(1))


def _welsch(output: Tensor, target: Tensor, c: float) -> Tensor:
    r2 = (output - target).square().sum(1)
    return (1.0 - torch.exp(-r2 / (2.0 * c * c))).mean()


@case(
    "object-in-clutter", label="loss-saturation", root="", steps=300, fixes=("wider loss", "huber loss"),
    source="barron2019, on redescending losses; dennis1978",
    why="Welsch's robust loss with a scale of 0.1, where errors begin at 1.7: flat there, the loss stays at 0.99.",
)  # fmt: skip
def clutter(seed: int, c: float = 0.1) -> Setup:
    draw = samples.generator(seed + 82)
    position = torch.randn(1024, 3, generator=draw)
    marked = (torch.rand(1024, 24, 1, generator=draw) < 0.5).float()
    near = position[:, None] + 0.1 * torch.randn(1024, 24, 3, generator=draw)
    points = torch.where(marked > 0.0, near, torch.randn(1024, 24, 3, generator=draw))
    seen = torch.cat([points, marked], -1)
    return adam(Centroid(), samples.stream(seen, position, seed), partial(_welsch, c=c), rate=3e-3)


cured("object-in-clutter", why="A scale of 2.")(partial(clutter, c=2.0))


class Denoiser(nn.Module):
    """Predicts the noise in an image from the image and how much of it there is."""

    def __init__(self, scaled: bool) -> None:
        super().__init__()
        sizes = ((65, 128), (128, 128), (128, 64))
        self.weights = nn.ParameterList([torch.randn(a, b) / (a**0.5 if scaled else 1.0) for a, b in sizes])
        self.biases = nn.ParameterList([torch.zeros(b) for _, b in sizes])

    def forward(self, x: Tensor) -> Tensor:
        """Return noise [batch, 64]."""
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ w + b
            if i < 2:
                x = F.silu(x)
        return x


@case(
    "denoiser-in-matrices", label="weights-too-large", root="", steps=300, fixes=("divide by the root of fan_in",),
    source="common mistake, nn.Parameter(torch.randn(...)); ho2020",
    why="Matrices are drawn by torch.randn and not scaled: outputs deviate by 550 where the noise does by 1.",
)  # fmt: skip
def denoiser(seed: int, *, scaled: bool = False) -> Setup:
    draw = samples.generator(seed + 83)
    clean = samples.digit_table()[0]
    noise, level = torch.randn(clean.shape, generator=draw), torch.rand(len(clean), 1, generator=draw)
    seen = torch.cat([clean * (1.0 - level).sqrt() + noise * level.sqrt(), level], 1)
    return adam(Denoiser(scaled), samples.stream(seen, noise, seed), F.mse_loss, rate=2e-3)


cured("denoiser-in-matrices", why="Divided by the root of fan_in.")(partial(denoiser, scaled=True))


class Generated(nn.Module):
    """A network whose three matrices are written, for each example, by another network from the example's context."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(6, 64), nn.ReLU())
        self.write = nn.Linear(64, 2 * 16 + 16 * 16 + 16)
        nn.init.normal_(self.write.weight, std=std)
        nn.init.zeros_(self.write.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return a value [batch, 1] for the point in the last two columns, in the context of the first six."""
        first, second, third = self.write(self.read(x[:, :6])).split((32, 256, 16), 1)
        h = torch.einsum("bi,bio->bo", x[:, 6:], first.view(-1, 2, 16))
        h = torch.einsum("bi,bio->bo", F.relu(h), second.view(-1, 16, 16))
        return torch.einsum("bi,bio->bo", F.relu(h), third.view(-1, 16, 1))


@case(
    "matrices-from-context", label="weights-too-large", root="write", steps=300, fixes=("scale by both fans", "hyperfan"),
    source="chang2020, principled initialisation for hypernetworks",
    why="The writing layer is drawn from N(0, 1), so the matrices that it writes deviate by 3.6: outputs by 797, not 0.8.",
)  # fmt: skip
def from_context(seed: int, std: float = 1.0) -> Setup:
    draw = samples.generator(seed + 85)
    x = torch.randn(2048, 8, generator=draw)
    y = x[:, 6:7] * torch.tanh(x[:, :1] + x[:, 1:2]) + x[:, 7:8].abs() * torch.tanh(x[:, 2:3])
    return adam(Generated(std), samples.stream(x, samples.standardised(y), seed), F.mse_loss, rate=3e-3)


cured("matrices-from-context", why="A deviation of 0.1: matrices of He's size.")(partial(from_context, std=0.1))


class Machine(nn.Module):
    """A factorisation machine over six columns of twenty categories."""

    offsets: Tensor

    def __init__(self, std: float, factors: int = 64) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.arange(6) * 20)
        self.linear, self.factor = nn.Embedding(120, 1), nn.Embedding(120, factors)
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.factor.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """Return a score [batch]."""
        ids = x + self.offsets
        v = self.factor(ids)
        pairs = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
        return self.linear(ids).sum((1, 2)) + pairs


@case(
    "machine-of-categories", label="weights-too-large", root="factor", steps=300, fixes=("std of 0.01 to 0.1",),
    source="rendle2010; shenweichen/DeepCTR-Torch, init_std",
    why="nn.Embedding's own start of N(0, 1): fifteen pairs of 64 factors add up to scores that deviate by 31.",
)  # fmt: skip
def machine(seed: int, std: float = 1.0) -> Setup:
    draw = samples.generator(seed + 84)
    x = torch.randint(20, (4096, 6), generator=draw)
    truth = torch.randn(120, 3, generator=draw)[x + torch.arange(6) * 20]
    y = 0.5 * (truth.sum(1).square() - truth.square().sum(1)).sum(1)
    y = samples.standardised(y[:, None])[:, 0]
    return adam(Machine(std), samples.stream(x, y, seed, size=256), F.mse_loss, rate=1e-2)


cured("machine-of-categories", why="A deviation of 0.1.")(partial(machine, std=0.1))


class Unfolded(nn.Module):
    """Convolutions written with unfold and a product, their weights from a generator of numbers."""

    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        self.kernels = nn.ParameterList()
        for fan, out in ((9, 16), (144, 16), (144, 16)):
            drawn = torch.rand(out, fan)
            self.kernels.append(nn.Parameter((2.0 * drawn - 1.0) * (6.0 / fan) ** 0.5 if centred else drawn))
        self.head = nn.Linear(16 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return row and column [batch, 2] of what is bright."""
        for kernel in self.kernels:
            patches = F.unfold(x, 3, padding=1)
            x = F.relu(kernel @ patches).unflatten(2, (8, 8))
        return self.head(x.flatten(1))


@case(
    "kernels-by-rand", label="weights-too-large", root="", steps=120, fixes=("centre and scale", "kaiming_uniform_"),
    source="common mistake, torch.rand for a start",
    why="Kernels from torch.rand lie in 0 to 1, all positive: each layer multiplies by 70, the first error is 3e6.",
)  # fmt: skip
def by_rand(seed: int, *, centred: bool = False) -> Setup:
    draw = samples.generator(seed + 86)
    place = torch.rand(512, 2, generator=draw) * 7.0
    grid = torch.arange(8.0)
    near = (grid[:, None] - place[:, :1, None]).square() + (grid - place[:, 1:, None]).square()
    x = 2.0 * torch.exp(-near / 2.0)[:, None] + 0.3 * torch.randn(512, 1, 8, 8, generator=draw)
    batches = samples.stream(x, samples.standardised(place), seed, size=32)
    return adam(Unfolded(centred=centred), batches, F.mse_loss, rate=1e-3)


cured("kernels-by-rand", why="Uniform around 0, of He's size.")(partial(by_rand, centred=True))
