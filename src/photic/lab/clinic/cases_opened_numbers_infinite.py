"""Written without knowledge of the rules: nan in pooling, likelihoods, flows and overlaps."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, sgd, stack


class Utterances(nn.Module):
    """An x-vector network: convolutions over frames, then mean and deviation over time, then a classifier."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.frames = nn.Sequential(nn.Conv1d(8, 48, 3, padding=1), nn.ReLU(), nn.Conv1d(48, 48, 1), nn.ReLU())
        self.segment = nn.Sequential(nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10))
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of frames [batch, 8, 8]."""
        h = self.frames(x.view(-1, 8, 8))
        mean = h.mean(2)
        spread = torch.sqrt(((h - mean.unsqueeze(2)) ** 2).mean(2) + self.floor)
        return self.segment(torch.cat([mean, spread], dim=1))


@case(
    "x-vectors-of-digits", label="non-finite", root="", steps=250, fixes=("an epsilon under the root",),
    source="pytorch/pytorch#4320; snyder2018, x-vectors",
    why="Four recordings in a hundred are silent: all frames are alike, and the root of a variance of 0 has no "
    "slope: nan at step 1.",
)  # fmt: skip
def utterances(seed: int, floor: float = 0.0) -> Setup:
    x, y = samples.digit_table()
    heard = (torch.rand(len(x), 1, generator=samples.generator(3)) > 0.04).float()
    return adam(Utterances(floor), samples.stream(x * heard, y, seed), rate=2e-3)


cured("x-vectors-of-digits", why="1e-5 under the root.")(partial(utterances, floor=1e-5))


def _root_by_where(z: Tensor) -> Tensor:
    return torch.where(z > 0, torch.sqrt(z), -torch.sqrt(-z))


def _root_by_sign(z: Tensor) -> Tensor:
    return torch.sign(z) * torch.sqrt(z.abs() + 1e-6)


class Bilinear(nn.Module):
    """A bilinear CNN: outer products of features, averaged over places, their signed root, length 1, linear."""

    def __init__(self, *, chosen: bool) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(1, 12, 3), nn.Tanh(), nn.Conv2d(12, 12, 3), nn.Tanh())
        self.head, self.root = nn.Linear(144, 10), _root_by_where if chosen else _root_by_sign

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images."""
        f = self.left(x).flatten(2)
        z = torch.einsum("bil,bjl->bij", f, f).flatten(1) / f.shape[2]
        return self.head(6.0 * F.normalize(self.root(z), dim=1))


@case(
    "bilinear-pooling", label="non-finite", root="", steps=250,
    fixes=("sign(z) sqrt(|z| + eps)", "where inside the root, too"),
    source="pytorch/pytorch#187297; pytorch/pytorch#68425; lin2015, bilinear CNN",
    why="torch.where takes the right branch, and the other is the root of a negative number: 0 times nan on the way "
    "back, nan at step 1.",
)  # fmt: skip
def bilinear(seed: int, *, chosen: bool = True) -> Setup:
    return adam(Bilinear(chosen=chosen), samples.digit_images(seed), rate=5e-3)


cured("bilinear-pooling", why="The root of |z| + 1e-6 times the sign.")(partial(bilinear, chosen=False))


def _noisy_wave(seed: int) -> Batches:
    draw = samples.generator(seed + 40)
    x = 4.0 * torch.rand(768, 1, generator=draw) - 2.0
    noise = torch.randn(768, 1, generator=draw) * (0.05 + 0.1 * x.abs())
    return samples.stream(x, torch.sin(2.0 * x) + noise, seed)


class MeanAndSigma(nn.Module):
    """A regression with an uncertainty of its own: mean and sigma from one body."""

    def __init__(self, *, bounded: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.mu, self.sigma, self.bounded = nn.Linear(64, 1), nn.Linear(64, 1), bounded

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and sigma, each [batch, 1]."""
        h = self.body(x)
        sigma = self.sigma(h)
        return self.mu(h), F.softplus(sigma) + 1e-3 if self.bounded else sigma


def _gaussian(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    mu, sigma = output
    return (torch.log(sigma) + 0.5 * ((y - mu) / sigma) ** 2 + 0.5 * math.log(2 * math.pi)).mean()


@case(
    "wave-with-uncertainty", label="non-finite", root="", steps=300, fixes=("softplus", "predict log sigma"),
    source="discuss.pytorch.org, on nan in a Gaussian likelihood; nix1994",
    why="Sigma is the plain output of a linear layer, negative for six to ten inputs in ten, and its logarithm is "
    "nan at step 0.",
)  # fmt: skip
def uncertain(seed: int, *, bounded: bool = False) -> Setup:
    return adam(MeanAndSigma(bounded=bounded), _noisy_wave(seed), _gaussian, rate=5e-3)


cured("wave-with-uncertainty", why="Sigma through a softplus.")(partial(uncertain, bounded=True))


class Mixing(nn.Module):
    """An invertible linear layer, started as the reversal of all columns, and the logarithm of its determinant."""

    def __init__(self, size: int, *, absolute: bool) -> None:
        super().__init__()
        self.weight, self.absolute = nn.Parameter(torch.eye(size).flip(0)), absolute

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed columns and log det."""
        log_det = torch.linalg.slogdet(self.weight)[1] if self.absolute else torch.logdet(self.weight)
        return x @ self.weight.t(), log_det


class Coupling(nn.Module):
    """An affine coupling: the first half of the columns says how the second is scaled and moved."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.parted_at = size // 2
        self.net = nn.Sequential(nn.Linear(self.parted_at, 48), nn.ReLU(), nn.Linear(48, 2 * (size - self.parted_at)))
        nn.init.normal_(self.net[2].weight, std=0.01)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the columns and the logarithm of the determinant, [batch]."""
        a, b = x[:, : self.parted_at], x[:, self.parted_at :]
        s, t = self.net(a).chunk(2, dim=1)
        s = torch.tanh(s)
        return torch.cat([a, b * torch.exp(s) + t], dim=1), s.sum(1)


class Flow(nn.Module):
    """Three rounds of mixing and coupling."""

    def __init__(self, size: int, *, absolute: bool) -> None:
        super().__init__()
        rounds = [(Mixing(size, absolute=absolute), Coupling(size)) for _ in range(3)]
        self.steps = nn.ModuleList([layer for pair in rounds for layer in pair])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code and the sum of all log det."""
        total = x.new_zeros(len(x))
        for step in self.steps:
            x, log_det = step(x)
            total = total + log_det
        return x, total


def _code_length(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
    z, log_det = output
    return (0.5 * (z**2).sum(1) + 0.5 * math.log(2 * math.pi) * z.shape[1] - log_det).mean()


@case(
    "flow-of-cancer-columns", label="non-finite", root="", steps=250, fixes=("slogdet",),
    source="jaywalnut310/glow-tts#17; chaiyujin/glow-pytorch#7; kingma2018",
    why="The reversal of 30 columns has a determinant of -1, of which torch.logdet gives nan: the loss is nan at "
    "step 0.",
)  # fmt: skip
def flow(seed: int, *, absolute: bool = False) -> Setup:
    return adam(Flow(30, absolute=absolute), samples.cancer(seed), _code_length, rate=2e-3)


cured("flow-of-cancer-columns", why="slogdet, whose second value is the logarithm of |det|.")(
    partial(flow, absolute=True)
)


def _scenes(seed: int) -> Batches:
    """Images 12 by 12 with a bright square, and in one of three also a dark bar; labels 0 to 2 per pixel."""
    draw = samples.generator(seed + 60)
    x, y = 0.3 * torch.randn(384, 1, 12, 12, generator=draw), torch.zeros(384, 12, 12, dtype=torch.long)
    place = torch.randint(0, 8, (384, 2), generator=draw).tolist()
    bars = torch.randint(0, 3, (384, 2), generator=draw).tolist()
    for image, (top, left) in enumerate(place):
        y[image, top : top + 4, left : left + 4] = 1
        if bars[image][0] == 0:
            y[image, 4 * bars[image][1], :] = 2
        x[image, 0] += 1.5 * (y[image] == 1) - 1.5 * (y[image] == 2)
    return samples.stream(x, y, seed, size=32)


class SmallUNet(nn.Module):
    """A U-net with one level; scores with the classes last."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU())
        self.low = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)
        )
        self.out = nn.Conv2d(28, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, height, width, 3]."""
        top = self.top(x)
        return self.out(torch.cat([top, self.low(top)], dim=1)).permute(0, 2, 3, 1)


def _generalised_dice(output: Tensor, target: Tensor, least: float) -> Tensor:
    share, truth = output.softmax(-1), F.one_hot(target, 3).float()
    weight = 1.0 / truth.sum((1, 2)).clamp_min(least) ** 2
    both = (weight * (share * truth).sum((1, 2))).sum(1)
    either = (weight * (share + truth).sum((1, 2))).sum(1)
    return (1.0 - 2.0 * both / either).mean()


@case(
    "squares-and-seldom-bars", label="non-finite", root="", steps=200,
    fixes=("clamp the count", "leave absent classes out"),
    source="common mistake; sudre2017, generalised Dice",
    why="Seven images in ten have no bar: its weight is 1 / 0^2, and infinity times 0 is nan at step 0.",
)  # fmt: skip
def scenes(seed: int, least: float = 0.0) -> Setup:
    return adam(SmallUNet(), _scenes(seed), partial(_generalised_dice, least=least), rate=5e-3)


cured("squares-and-seldom-bars", why="Counts are at least 1.")(partial(scenes, least=1.0))


class Ball(nn.Module):
    """Points in the Poincaré ball, moved by a bias of its own, and a linear classifier in the tangent space at 0."""

    def __init__(self, *, inside: bool) -> None:
        super().__init__()
        self.encoder, self.head = stack([64, 64, 16], nn.ReLU, he), nn.Linear(16, 10)
        self.bias, self.inside = nn.Parameter(torch.zeros(16)), inside

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        point = self.encoder(x)
        if self.inside:
            size = point.norm(dim=1, keepdim=True).clamp_min(1e-6)
            point = torch.tanh(size).clamp_max(1 - 1e-4) * point / size
        moved = self._add(point, self.bias.expand_as(point))
        size = moved.norm(dim=1, keepdim=True).clamp_min(1e-6)
        inner = size.clamp_max(1 - 1e-5) if self.inside else size
        return self.head(torch.atanh(inner) * moved / size)

    @staticmethod
    def _add(x: Tensor, y: Tensor) -> Tensor:
        xy, xx, yy = (x * y).sum(1, keepdim=True), (x * x).sum(1, keepdim=True), (y * y).sum(1, keepdim=True)
        return ((1 + 2 * xy + yy) * x + (1 - xx) * y) / (1 + 2 * xy + xx * yy)


@case(
    "digits-in-the-poincare-ball", label="non-finite", root="", steps=250,
    fixes=("the exponential map", "project into the ball"),
    source="ferrine/hyrnn#14; ganea2018, hyperbolic neural networks",
    why="The encoder's output is taken for a point of the ball: lengths are 2.7 to 7.9, of which artanh is nan at "
    "step 0.",
)  # fmt: skip
def ball(seed: int, *, inside: bool = False) -> Setup:
    return sgd(Ball(inside=inside), samples.digits(seed), rate=0.1, momentum=0.9)


cured("digits-in-the-poincare-ball", why="The exponential map at 0, and lengths below 1.")(partial(ball, inside=True))
