"""Sick networks whose gradient grows towards the input, one mechanism each, with their cured twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd, token_loss


class Waves(nn.Module):
    """Sine layers from two coordinates to a brightness, every one with a frequency of 30 in front of its angle."""

    def __init__(self, draw: Callable[[nn.Linear, bool], None], omega: float = 30.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 64), *[nn.Linear(64, 64) for _ in range(4)]])
        self.head, self.omega = nn.Linear(64, 1), omega
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            draw(layer, index == 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return brightness [batch, 1]."""
        for layer in self.layers:
            x = torch.sin(self.omega * layer(x))
        return self.head(x)


def _as_torch_does(layer: nn.Linear, first: bool) -> None:
    """Leave the layer as it was made."""


def _as_the_paper_does(layer: nn.Linear, first: bool) -> None:
    bound = 1.0 / layer.in_features if first else math.sqrt(6.0 / layer.in_features) / 30.0
    nn.init.uniform_(layer.weight, -bound, bound)


@case(
    "picture-of-coordinates", label="exploding-gradient", root="", steps=300,
    fixes=("the start of SIREN", "lower omega"),
    source="sitzmann2020, section 3.2",
    why="Sine layers with a factor of 30 keep nn.Linear's own start: the first layer's gradient is 3e4, not 1.6, the "
    "head's 0.8.",
)  # fmt: skip
def picture(seed: int, draw: Callable[[nn.Linear, bool], None] = _as_torch_does) -> Setup:
    points = 2.0 * torch.rand(12800, 2, generator=samples.generator(5)) - 1.0
    bright = torch.sin(4.0 * points[:, :1]) * torch.cos(5.0 * points[:, 1:]) + 0.5 * torch.sin(9.0 * points[:, 1:])
    return adam(Waves(draw), samples.stream(points, bright, seed), F.mse_loss, rate=3e-4)


cured("picture-of-coordinates", why="Weights divided by omega.")(partial(picture, draw=_as_the_paper_does))


def _in_channels(weight: Tensor) -> int:
    return weight.shape[1]


def _all_inputs(weight: Tensor) -> int:
    return weight[0].numel()


class EqualConv(nn.Module):
    """A convolution with weights of N(0, 1) that are scaled when it runs, as progressive GANs have it."""

    def __init__(self, before: int, after: int, fan: Callable[[Tensor], int]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(after, before, 3, 3)), nn.Parameter(torch.zeros(after))
        self.gain = math.sqrt(2.0 / fan(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [batch, after, height, width]."""
        return F.leaky_relu(F.conv2d(x, self.weight * self.gain, self.bias, padding=1), 0.2)


@case(
    "maps-of-equal-rates", label="exploding-gradient", root="", steps=200,
    fixes=("count the kernel's places in fan-in",),
    source="karras2018, section 4.1; a common mistake in ports of it",
    why="Fan-in is taken as the number of channels, without the 9 places: eight convolutions multiply by 3 each; "
    "gradients of 600, not 0.03.",
)  # fmt: skip
def equalised(seed: int, fan: Callable[[Tensor], int] = _in_channels) -> Setup:
    body = [EqualConv(1 if index == 0 else 16, 16, fan) for index in range(8)]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    return sgd(model, samples.digit_images(seed), rate=0.1, momentum=0.9)


cured("maps-of-equal-rates", why="Fan-in of 9 times the channels.")(partial(equalised, fan=_all_inputs))


class Written(nn.Module):
    """A network of six layers whose matrices are written by another one, from a vector for each layer."""

    def __init__(self, divide: float) -> None:
        super().__init__()
        self.names = nn.Parameter(torch.randn(6, 8))
        self.writer = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 64 * 64))
        nn.init.xavier_normal_(self.writer[0].weight)
        nn.init.normal_(self.writer[2].weight, std=0.3)
        self.head, self.divide = nn.Linear(64, 10), divide

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for matrix in self.writer(self.names).view(6, 64, 64) / self.divide:
            x = F.relu(torch.einsum("bi,oi->bo", x, matrix))
        return self.head(x)


@case(
    "matrices-written-by-a-network", label="exploding-gradient", root="", steps=300,
    fixes=("divide by the root of fan-in",),
    source="chang2020, principled weight initialization for hypernetworks",
    why="A hypernetwork with a start meant for its own outputs writes six matrices 8 times too large: gradients of "
    "1e4, not 0.01.",
)  # fmt: skip
def written(seed: int, divide: float = 1.0) -> Setup:
    return sgd(Written(divide), samples.digits(seed), rate=0.05, momentum=0.9)


cured("matrices-written-by-a-network", why="Divided by the root of 64.")(partial(written, divide=8.0))


class ExpertLayer(nn.Module):
    """Eight experts on every row, each with its weight, added to what came in."""

    def __init__(self, share: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(8, 64, 64) * math.sqrt(2.0 / 64))
        self.gate, self.share = nn.Linear(64, 8), share
        nn.init.normal_(self.gate.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return rows [batch, 64]."""
        told = torch.einsum("bi,eio->beo", F.relu(x), self.up)
        return x + (self.share(self.gate(x)).unsqueeze(-1) * told).sum(1)


def _raised(scores: Tensor) -> Tensor:
    return torch.exp(scores.clamp(-2.0, 2.0))


@case(
    "all-eight-experts", label="exploding-gradient", root="", steps=300, fixes=("softmax over the experts",),
    source="common mistake: gates raised and never divided by their sum",
    why="The gates' exponentials are not divided by their sum: eight experts come in full, ten times over; gradients "
    "of 2e11, not 0.4.",
)  # fmt: skip
def experts(seed: int, share: Callable[[Tensor], Tensor] = _raised) -> Setup:
    model = nn.Sequential(*[ExpertLayer(share) for _ in range(10)], nn.Linear(64, 10))
    return adam(model, samples.digits(seed), rate=1e-3)


cured("all-eight-experts", why="A softmax.")(partial(experts, share=partial(torch.softmax, dim=-1)))


class Spectral(nn.Module):
    """A Fourier layer: the lowest eight modes are mixed, the rest is dropped, and a pointwise path is added."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.randn(width, width, 8, 2) / math.sqrt(2.0 * width))
        self.point, self.norm = nn.Conv1d(width, width, 1), norm

    def forward(self, x: Tensor) -> Tensor:
        """Return functions [batch, width, places]."""
        modes = torch.fft.rfft(x)
        mixed = torch.einsum("bik,iok->bok", modes[..., :8], torch.view_as_complex(self.real))
        full = F.pad(mixed, (0, modes.shape[-1] - 8))
        return F.gelu(torch.fft.irfft(full, n=x.shape[-1], norm=self.norm) + self.point(x))


class Operator(nn.Module):
    """Four Fourier layers between a lift and a projection."""

    def __init__(self, norm: str) -> None:
        super().__init__()
        self.lift, self.drop = nn.Conv1d(1, 16, 1), nn.Conv1d(16, 1, 1)
        self.body = nn.Sequential(*[Spectral(16, norm) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        """Return functions [batch, places]."""
        return self.drop(self.body(self.lift(x[:, None])))[:, 0]


@case(
    "heat-by-fourier-layers", label="exploding-gradient", root="", steps=300, fixes=("the same norm both ways",),
    source="li2021, Fourier neural operator; common mistake: norms of torch.fft that do not match",
    why="The inverse transform is called with norm='forward' and divides by nothing: four layers multiply by 32 "
    "each; gradients of 4e9, not 0.03.",
)  # fmt: skip
def heat(seed: int, norm: str = "forward") -> Setup:
    draw = samples.generator(21)
    modes = torch.fft.rfft(torch.randn(1024, 32, generator=draw))
    wave = torch.arange(17.0)
    start = torch.fft.irfft(modes * (wave < 7), n=32)
    later = torch.fft.irfft(modes * (wave < 7) * torch.exp(-0.05 * wave**2) * torch.exp(0.7j * wave), n=32)
    return adam(Operator(norm), samples.stream(start, later, seed), F.mse_loss, rate=3e-3)


cured("heat-by-fourier-layers", why="The default both ways.")(partial(heat, norm="backward"))


def _scaled(x: Tensor, factor: float) -> Tensor:
    """The same numbers going forward, `factor` times the gradient going back."""
    return x * factor + (x * (1.0 - factor)).detach()


class Exits(nn.Module):
    """Eight blocks with a classifier behind each; gradients of later exits are to be balanced going back."""

    def __init__(self, *, balanced: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 48)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(48, 48), nn.ReLU()) for _ in range(8)])
        self.exits = nn.ModuleList([nn.Linear(48, 10) for _ in range(8)])
        self.balanced = balanced

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 8, 10], one row an exit."""
        x, said = self.stem(x), []
        for depth, (block, leave) in enumerate(zip(self.blocks, self.exits, strict=True)):
            left = len(self.blocks) - depth
            x = x + _scaled(block(x), 1.0 / left if self.balanced else 1.0)
            said.append(leave(x))
            x = _scaled(x, 1.0 / left if self.balanced else float(left))
        return torch.stack(said, 1)


@case(
    "eight-exits", label="exploding-gradient", root="", steps=200, fixes=("scale by one over what is left",),
    source="li2019, improved techniques for training adaptive deep networks, gradient equilibrium",
    why="The gradient is multiplied, not divided, by the number of exits that are left: 8! on the way to the stem: "
    "3e4, not 0.1.",
)  # fmt: skip
def exits(seed: int, *, balanced: bool = False) -> Setup:
    kept = [(x, y[:, None].expand(-1, 8).contiguous()) for x, y in samples.digits(seed)()]
    return sgd(Exits(balanced=balanced), lambda: iter(kept), token_loss, rate=0.1)


cured("eight-exits", why="Divided.")(partial(exits, balanced=True))


class OwnSpectral(nn.Linear):
    """A linear layer that knows its matrix's largest singular value."""

    def __init__(self, before: int, after: int, power: float) -> None:
        super().__init__(before, after)
        nn.init.orthogonal_(self.weight, 2.0)
        self.power = power

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return rows [batch, after]."""
        sigma = torch.linalg.matrix_norm(self.weight, 2)
        return F.linear(x, self.weight * sigma**self.power, self.bias)


def _real_or_not(output: Tensor, target: Tensor) -> Tensor:
    return F.softplus(torch.where(target > 0.5, -output, output)).mean()


@case(
    "critic-of-shuffled-digits", label="exploding-gradient", root="", steps=300,
    fixes=("divide by the singular value",),
    source="miyato2018, with the quotient typed as a product",
    why="The critic's matrices are multiplied by their largest singular value, 2, not divided: gradients of 4e3, not "
    "0.2.",
)  # fmt: skip
def critic(seed: int, power: float = 1.0) -> Setup:
    x, _ = samples.digit_table()
    order = torch.stack([torch.randperm(64, generator=samples.generator(row)) for row in range(len(x))])
    both = torch.cat([x, x.gather(1, order)])
    real = torch.cat([torch.ones(len(x), 1), torch.zeros(len(x), 1)])
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [OwnSpectral(64, 64, power), nn.LeakyReLU(0.2)]
    model = nn.Sequential(*layers, OwnSpectral(64, 1, power))
    return sgd(model, samples.stream(both, real, seed), _real_or_not, rate=0.1, momentum=0.9)


cured("critic-of-shuffled-digits", why="Divided: a norm of 1.")(partial(critic, power=-1.0))


class Dilated(nn.Module):
    """A convolution in time over places that lie apart, with its skip."""

    def __init__(self, width: int, apart: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=apart, dilation=apart, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        """Return signals [batch, width, time]."""
        return x + 0.5 * F.relu(self.conv(x))


class Tones(nn.Module):
    """Sixteen dilated blocks over a signal, the mean over time, and a classifier."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv1d(1, 16, 5, padding=2, padding_mode="circular"), nn.Linear(16, 4)
        self.blocks = nn.ModuleList([Dilated(16, 2 ** (index % 4)) for index in range(16)])
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        x = self.stem(x[:, None])
        for block in self.blocks:
            x = x + block(x) if self.again else block(x)
        return self.head(F.relu(x).mean(-1))


@case(
    "pitch-by-dilated-blocks", label="exploding-gradient", root="", steps=200, fixes=("add the skip once",),
    source="common mistake: the skip is added inside the block and again around it",
    why="A block that has its own skip is added to its input once more: sixteen blocks double it; gradients of 2e4, "
    "not 1.",
)  # fmt: skip
def pitch(seed: int, *, again: bool = True) -> Setup:
    draw = samples.generator(31)
    kind = torch.randint(4, (768,), generator=draw)
    phase = 6.3 * torch.rand(768, 1, generator=draw)
    heard = torch.sin(6.2832 * (kind[:, None] + 2) * torch.arange(32) / 32 + phase)
    heard = heard + 0.5 * torch.randn(768, 32, generator=draw)
    return sgd(Tones(again=again), samples.stream(heard, kind, seed, size=32), rate=0.02)


cured("pitch-by-dilated-blocks", why="Added once.")(partial(pitch, again=False))


class PatchMixer(nn.Module):
    """Cuts maps into overlapping patches, mixes each, and lays them back where they were."""

    def __init__(self, width: int, *, counted: bool) -> None:
        super().__init__()
        self.mix = nn.Linear(width * 9, width * 9)
        nn.init.kaiming_normal_(self.mix.weight)
        count = F.fold(F.unfold(torch.ones(1, 1, 8, 8), 3, padding=1), (8, 8), 3, padding=1)
        self.register_buffer("count", count if counted else torch.ones(1, 1, 8, 8))
        self.count: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [batch, width, 8, 8]."""
        patches = self.mix(F.relu(F.unfold(x, 3, padding=1)).transpose(1, 2)).transpose(1, 2)
        return x + F.fold(patches, (8, 8), 3, padding=1) / self.count


@case(
    "patches-laid-back", label="exploding-gradient", root="", steps=150,
    fixes=("divide by how often a pixel is covered",),
    source="the documentation of torch.nn.Fold, on overlapping blocks and their divisor",
    why="Fold adds up the nine patches that cover a pixel and nobody divides: eight layers multiply by 3 each; "
    "gradients of 1e3, not 0.5.",
)  # fmt: skip
def patches(seed: int, *, counted: bool = False) -> Setup:
    body = [PatchMixer(4, counted=counted) for _ in range(8)]
    model = nn.Sequential(nn.Conv2d(1, 4, 1), *body, nn.Flatten(), nn.Linear(256, 10))
    kept = [(x[:24], y[:24]) for x, y in samples.digit_images(seed)()]
    return sgd(model, lambda: iter(kept), rate=0.02)


cured("patches-laid-back", why="Divided by the count.")(partial(patches, counted=True))
