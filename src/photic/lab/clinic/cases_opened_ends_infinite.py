"""Opened: noise, likelihoods, matchings, solvers and schedules that end in inf or nan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, stack


class GumbelCodes(nn.Module):
    """Eight symbols of an alphabet of eight, drawn by Gumbel noise in float16; a decoder draws the digit again."""

    def __init__(self, low: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.low = stack([64, 64, 64]), stack([64, 64, 64]), low

    def forward(self, x: Tensor) -> Tensor:
        """Return images [batch, 64]."""
        scores = self.encoder(x).view(-1, 8, 8)
        if self.training:
            drawn = (1.0 - torch.rand(scores.shape, dtype=torch.float16)).float()  # so that there is never a 0
            drawn = drawn.clamp(self.low, 1.0 - self.low)
            scores = scores - torch.log(-torch.log(drawn))
        return self.decoder(torch.softmax(scores / 0.7, -1).flatten(1))


def _mirrored(seed: int, x: Tensor) -> Batches:
    return samples.stream(x, x, seed)


@case(
    "symbols-for-digits", label="non-finite", root="", steps=300, fixes=("clamp the noise", "draw it in float32"),
    source="jang2017; pytorch/pytorch#34372 and #22442 (gumbel_softmax gives nan)",
    why="1 - rand in float16 is exactly 1 in one draw of 2,048: log(1) = 0, infinite noise, nan at step 0 or 1.",
)  # fmt: skip
def symbols(seed: int, low: float = 0.0) -> Setup:
    return adam(GumbelCodes(low), _mirrored(seed, samples.digit_table()[0]), F.mse_loss, rate=3e-3)


cured("symbols-for-digits", why="Draws are kept 1e-4 away from 0 and 1.")(partial(symbols, low=1e-4))


class Focal(nn.Module):
    """Focal loss: the cross entropy, weighted by a power of what is missing to 1."""

    def __init__(self, gamma: float, top: float) -> None:
        super().__init__()
        self.gamma, self.top = gamma, top

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the batch."""
        p = logits.softmax(1).gather(1, target[:, None]).clamp(1e-8, self.top)
        return -((1.0 - p) ** self.gamma * p.log()).mean()


@case(
    "images-by-focal-loss", label="non-finite", root="", steps=300, fixes=("clamp below 1", "a gamma of 1 or more"),
    source="common mistake; lin2017 with gamma 0.5, threads on focal loss and nan",
    why="With a gamma of 0.5 the slope is infinite at p = 1: the first sure image, at step 156 to 188, gives nan.",
)  # fmt: skip
def focal(seed: int, top: float = 1.0) -> Setup:
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return adam(model, samples.digit_images(seed), Focal(0.5, top), rate=1e-2)


cured("images-by-focal-loss", why="Probabilities are clamped to 1 - 1e-5.")(partial(focal, top=1.0 - 1e-5))


class TwoPoint(torch.optim.Optimizer):
    """Barzilai and Borwein's step: the last move times the gradient's change, over the change's squared length."""

    def __init__(self, params: Any, lr: float = 0.05, most: float = 0.2, *, begin: bool = False) -> None:
        super().__init__(params, {"lr": lr, "most": most, "begin": begin})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move each parameter by its own step."""
        for group in self.param_groups:
            for p in group["params"]:
                state, gradient, rate = self.state[p], p.grad, torch.tensor(group["lr"])
                if not state:
                    state["point"], state["gradient"] = p.clone(), gradient.clone()
                    first = True
                else:
                    first = False
                if not (first and group["begin"]):
                    move, change = p - state["point"], gradient - state["gradient"]
                    rate = ((move * change).sum().abs() / (change * change).sum()).clamp(max=group["most"])
                state["point"].copy_(p)
                state["gradient"].copy_(gradient)
                p.sub_(rate * gradient)


@case(
    "table-by-two-point-steps", label="non-finite", root="", steps=300, fixes=("a plain first step",),
    source="common mistake; barzilai1988, in which two points must differ",
    why="At the first step the last point is the present one: 0 / 0, and all weights are nan after one step.",
)  # fmt: skip
def two_point(seed: int, *, begin: bool = False) -> Setup:
    model = stack([10, 32, 32, 1], nn.Tanh)
    x, y = (torch.cat(parts) for parts in zip(*samples.diabetes(seed)(), strict=True))
    optimizer = TwoPoint(model.parameters(), begin=begin)
    return Setup(model, lambda: iter([(x, y)]), F.mse_loss, optimizer)


cured("table-by-two-point-steps", why="The first step is plain.")(partial(two_point, begin=True))


class Disc(nn.Module):
    """u(r) on a disc, 0 at the rim, even in r; what comes out is its Laplacian in polar coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.net = stack([1, 32, 32, 1], nn.Tanh)

    def forward(self, r: Tensor) -> Tensor:
        """Return u'' + u' / r at [batch, 1] radii."""
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            r = r.detach().requires_grad_()
            u = (1.0 - r**2) * self.net(4.0 * r**2 - 2.0)
            (slope,) = torch.autograd.grad(u.sum(), r, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), r, create_graph=True)
            laplacian = bend + slope / r
        return laplacian if training else laplacian.detach()


@case(
    "drum-in-polar-coordinates", label="non-finite", root="", steps=300, fixes=("no point at the centre",),
    source="raissi2019, as first written by many: the singular point of polar coordinates",
    why="One of 256 collocation points is the centre, where u' / r is 0 / 0: nan at its first batch, of four.",
)  # fmt: skip
def drum(seed: int, start: float = 0.0) -> Setup:
    r = torch.linspace(0.0, 1.0, 257)[:-1, None] + start / 256.0
    return adam(Disc(), samples.stream(r, 8.0 * torch.cos(5.0 * r), seed), F.mse_loss, rate=1e-2)


cured("drum-in-polar-coordinates", why="Points in the middle of their cells.")(partial(drum, start=0.5))


class CodingRate(nn.Module):
    """Minus the gain in coding rate: what all features take, less what each class takes."""

    def __init__(self, identity: float) -> None:
        super().__init__()
        self.identity = identity

    def forward(self, z: Tensor, target: Tensor) -> Tensor:
        """Return the loss of features [batch, 16] and classes, one-hot [batch, 10]."""
        eye, scale = self.identity * torch.eye(z.shape[1]), z.shape[1] / 0.5
        whole = 0.5 * torch.logdet(eye + scale / len(z) * z.T @ z)
        for member in target.T:
            count = member.sum()
            parted = torch.einsum("ni,n,nj->ij", z, member, z)
            whole = whole - 0.5 * count / len(z) * torch.logdet(eye + scale / count.clamp_min(1.0) * parted)
        return -whole


@case(
    "features-by-coding-rate", label="non-finite", root="", steps=200, fixes=("add the identity",),
    source="yu2020 (maximal coding rate reduction), with the identity left out",
    why="Six images a class in 16 dimensions have a singular matrix, whose logdet is -inf or nan, at step 0.",
)  # fmt: skip
def coding(seed: int, identity: float = 0.0) -> Setup:
    x, y = samples.digit_table()
    model = nn.Sequential(stack([64, 64, 16], nn.ReLU, he), _Sphere())
    return adam(model, samples.stream(x, F.one_hot(y, 10).float(), seed), CodingRate(identity), rate=3e-3)


class _Sphere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Return rows of length 1."""
        return F.normalize(x, dim=1)


cured("features-by-coding-rate", why="The identity is added, as in the paper.")(partial(coding, identity=1.0))


class Denoiser(nn.Module):
    """Digits between image and noise at a random time; the image is told from the guessed noise, or the velocity."""

    def __init__(self, *, velocity: bool) -> None:
        super().__init__()
        self.net, self.velocity = stack([65, 128, 64], nn.SiLU), velocity
        root = torch.linspace(0.9999**0.5, 0.05, 20)
        self.register_buffer("root", (root - root[-1]) * root[0] / (root[0] - root[-1]))  # no signal at the last time
        self.root: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return images [batch, 64]."""
        time = torch.randint(20, (len(x), 1))
        a, noise = self.root[time], torch.randn_like(x)
        b = (1.0 - a**2).sqrt()
        mixed = a * x + b * noise
        told = self.net(torch.cat([mixed, time / 20.0], 1))
        return a * mixed - b * told if self.velocity else (mixed - b * told) / a


@case(
    "denoiser-to-the-last-step", label="non-finite", root="", steps=300, fixes=("predict the velocity",),
    source="lin2024 (common diffusion noise schedules are flawed)",
    why="The schedule ends at a signal of exactly 0, by which the guessed image is divided: inf at step 0.",
)  # fmt: skip
def denoiser(seed: int, *, velocity: bool = False) -> Setup:
    return adam(Denoiser(velocity=velocity), _mirrored(seed, samples.digit_table()[0]), F.mse_loss, rate=3e-3)


cured("denoiser-to-the-last-step", why="The velocity is guessed, which needs no division.")(
    partial(denoiser, velocity=True)
)


class Generated(nn.Module):
    """Weights of a layer come from a small network of the layer's code, and are given rows of length 1."""

    def __init__(self, *, zeros: bool) -> None:
        super().__init__()
        self.code = nn.Parameter(torch.randn(1, 8))
        self.hyper, self.gain = (
            nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 64 * 48)),
            nn.Parameter(torch.ones(48, 1)),
        )
        self.head = nn.Linear(48, 10)
        if zeros:
            for parameter in self.hyper[2].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        w = self.hyper(self.code).view(48, 64)
        w = self.gain * w / w.pow(2).sum(1, keepdim=True).sqrt()
        return self.head(torch.relu(F.linear(x, w)))


@case(
    "weights-from-a-code", label="non-finite", root="", steps=300, fixes=("start it as usual",),
    source="ha2017 and salimans2016, put together; zero start as for FiLM or ControlNet",
    why="The generator's last layer starts at 0, so each row of the generated weights has length 0: 0 / 0 at step 0.",
)  # fmt: skip
def generated(seed: int, *, zeros: bool = True) -> Setup:
    return adam(Generated(zeros=zeros), samples.digits(seed), rate=3e-3)


cured("weights-from-a-code", why="The usual start.")(partial(generated, zeros=False))


def _boxed(seed: int, rows: int = 640) -> Batches:
    """Images [batch, 1, 16, 16] of one rectangle each, and its centre, width and height, from 0 to 1."""
    draw = samples.generator(seed + 50)
    size = 0.2 + 0.25 * torch.rand(rows, 2, generator=draw)
    centre = size / 2 + (1.0 - size) * torch.rand(rows, 2, generator=draw)
    at = (torch.arange(16) + 0.5) / 16
    inside = [(at - centre[:, k, None]).abs() < size[:, k, None] / 2 for k in (0, 1)]
    image = (inside[1][:, :, None] & inside[0][:, None, :]).float()
    image = image + 0.1 * torch.randn(rows, 16, 16, generator=draw)
    return samples.stream(image[:, None], torch.cat([centre, size], 1), seed)


def _areas(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low1, high1, low2, high2 = (box[:, :2] + sign * box[:, 2:] / 2 for box in (one, two) for sign in (-1, 1))
    inner = (torch.minimum(high1, high2) - torch.maximum(low1, low2)).clamp_min(0.0).prod(1)
    hull = (torch.maximum(high1, high2) - torch.minimum(low1, low2)).prod(1)
    return inner, one[:, 2:].prod(1) + two[:, 2:].prod(1) - inner, hull


def _overlap_log(output: Tensor, target: Tensor) -> Tensor:
    inner, union, _ = _areas(output, target)
    return -torch.log(inner / union).mean()


def _generalised(output: Tensor, target: Tensor) -> Tensor:
    inner, union, hull = _areas(output, target)
    return (1.0 - inner / union + (hull - union) / hull).mean()


@case(
    "rectangles-found-by-overlap", label="non-finite", root="", steps=300, fixes=("1 - GIoU",),
    source="yu2016 (UnitBox), equation 1; rezatofighi2019",
    why="One box in twenty does not overlap with the first guess: the logarithm of 0 is -inf at step 0.",
)  # fmt: skip
def rectangles(seed: int, loss: LossFunction = _overlap_log) -> Setup:
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 4), nn.Sigmoid())
    return adam(model, _boxed(seed), loss, rate=3e-3)


cured("rectangles-found-by-overlap", why="The generalised overlap.")(partial(rectangles, loss=_generalised))


class Curves(nn.Module):
    """A learned gamma for each pixel, as exp(gamma log x), and two layers."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.gamma, self.floor, self.net = nn.Parameter(torch.ones(64)), floor, stack([64, 64, 10], nn.ReLU, he)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.net(torch.exp(self.gamma * torch.log(x + self.floor)))


@case(
    "brightness-curves", label="non-finite", root="", steps=300, fixes=("a floor under the logarithm",),
    source="common mistake; wang2017 on trainable PCEN, which adds an epsilon",
    why="48 % of the pixels are 0: exp(-inf) is a proper 0, but gamma's gradient is 0 times -inf, nan at step 0.",
)  # fmt: skip
def curves(seed: int, floor: float = 0.0) -> Setup:
    return adam(Curves(floor), samples.digit_pixels(seed, top=1.0), rate=3e-3)


cured("brightness-curves", why="1e-3 is added to each pixel.")(partial(curves, floor=1e-3))


def _transport(output: Tensor, target: Tensor, blur: float) -> Tensor:
    """Return the cost of moving eight points onto eight by Sinkhorn's turns."""
    cost = (output[:, :, None] - target.view(-1, 1, 8, 2)).pow(2).sum(-1)
    kernel, v = torch.exp(-cost / blur), torch.ones(len(output), 8)
    u = v
    for _ in range(10):
        u = 0.125 / torch.einsum("nij,nj->ni", kernel, v)
        v = 0.125 / torch.einsum("nij,ni->nj", kernel, u)
    return torch.einsum("ni,nij,nj,nij->n", u, kernel, v, cost).mean()


class Points(nn.Module):
    """An autoencoder of sets: points through one network, the mean, and eight points from it."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.all = stack([2, 64, 64], nn.ReLU, he), stack([64, 64, 16])

    def forward(self, x: Tensor) -> Tensor:
        """Return points [batch, 8, 2]."""
        return self.all(self.each(x).mean(1)).view(-1, 8, 2)


def _sets(seed: int) -> Batches:
    draw = samples.generator(seed + 51)
    x = 3.0 * torch.randn(640, 1, 2, generator=draw) + torch.randn(640, 8, 2, generator=draw)
    return samples.stream(x, x.flatten(1), seed)


@case(
    "sets-moved-onto-sets", label="non-finite", root="", steps=300, fixes=("a wider blur", "logarithms"),
    source="cuturi2013; peyre2019, section 4.4 on the log domain",
    why="At a blur of 0.05 and costs of 23 six points in ten have exp(-460) = 0 to all: 1 / 0, nan at step 0.",
)  # fmt: skip
def moved(seed: int, blur: float = 0.05) -> Setup:
    loss: Callable[[Tensor, Tensor], Tensor] = partial(_transport, blur=blur)
    return adam(Points(), _sets(seed), loss, rate=3e-3)


cured("sets-moved-onto-sets", why="A blur of 5.")(partial(moved, blur=5.0))
