"""Opened: networks to which every input is alike, or tells nothing: priors and means are all they learn."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, stack


def _centred() -> Tensor:
    """Digits less the mean image, with a deviation of 1 over all pixels, so that the mean image explains nothing."""
    x = samples.digit_table()[0]
    x = x - x.mean(0)
    return x / x.std()


class Variational(nn.Module):
    """A variational autoencoder of 8 numbers; the spread of the code begins at 1 and its mean at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = stack([64, 64, 16], nn.Tanh), stack([8, 64, 64], nn.Tanh)
        for parameter in self.encoder[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, means and logarithms of variances."""
        mean, spread = self.encoder(x).chunk(2, 1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return self.decoder(mean + noise * (0.5 * spread).exp()), mean, spread


def _bound(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor, share: float) -> Tensor:
    image, mean, spread = outputs
    divergence = 0.5 * (mean.pow(2) + spread.exp() - 1.0 - spread).sum(1).mean()
    return F.mse_loss(image, x) + share * divergence


@case(
    "digits-through-eight-numbers", label="class-prior-only", root="", steps=300, fixes=("average it as well",),
    source="common mistake; higgins2017, section on the normalised beta; lucas2019 (don't blame the ELBO)",
    why="The error is averaged over 64 pixels, the divergence is not: codes deviate by 0.01, images by 0.001.",
)  # fmt: skip
def variational(seed: int, share: float = 1.0) -> Setup:
    x = _centred()
    loss: Any = partial(_bound, share=share)
    return adam(Variational(), samples.stream(x, x, seed), loss, rate=5e-3)


cured("digits-through-eight-numbers", why="The divergence is divided by the 64 pixels.")(
    partial(variational, share=1.0 / 64)
)


@case(
    "images-and-labels-zipped", label="class-prior-only", root="", steps=300, fixes=("one order for both",),
    source="common mistake: two loaders with shuffle=True; discuss.pytorch.org on zip of two DataLoaders",
    why="Images and labels come from two loaders that shuffle on their own: the loss stays at 2.30 = log 10.",
)  # fmt: skip
def zipped(seed: int, *, apart: bool = True) -> Setup:
    x, y = samples.digit_table()
    draw, kept = samples.generator(seed), []
    for _ in range(11):
        rows = torch.randperm(len(x), generator=draw)
        other = torch.randperm(len(x), generator=draw) if apart else rows
        kept += [(x[a].view(-1, 1, 8, 8), y[b]) for a, b in zip(rows.split(64), other.split(64), strict=True)]
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten()]
    return adam(nn.Sequential(*layers, nn.Linear(128, 10)), lambda: iter(kept), rate=1e-3)


cured("images-and-labels-zipped", why="One order for both.")(partial(zipped, apart=False))


class MaskedText(nn.Module):
    """A small transformer that fills in masked tokens; it masks them itself while it trains."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(21, 32), nn.Parameter(0.1 * torch.randn(16, 32))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.head, self.ratio = nn.Linear(32, 20), ratio

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        if self.training:
            text = text.masked_fill(torch.rand(text.shape) < self.ratio, 20)
        x = self.embed(text) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def _classes(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.transpose(1, 2), target)


def _texts(seed: int) -> Batches:
    x = torch.cat([text for text, _ in samples.language(seed)()])
    return samples.stream(x, x, seed, size=32)


@case(
    "text-with-blanks", label="class-prior-only", root="", steps=300, fixes=("0.15",),
    source="common mistake: devlin2019's 15 %, compared with torch.rand as 15",
    why="The ratio is 15, and torch.rand is always below: each token is the mask, the loss ends at 2.99 = log 20.",
)  # fmt: skip
def blanks(seed: int, ratio: float = 15.0) -> Setup:
    return adam(MaskedText(ratio), _texts(seed), _classes, rate=3e-3)


cured("text-with-blanks", why="A ratio of 0.15.")(partial(blanks, ratio=0.15))


class Picture(nn.Module):
    """A picture as a function of place, by random Fourier features; pixels are told by their number."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.register_buffer("waves", 2.0 * torch.randn(2, 32))
        self.waves: Tensor
        self.net, self.whole = stack([64, 64, 3], nn.ReLU, he), whole

    def forward(self, number: Tensor) -> Tensor:
        """Return colours [batch, 3]."""
        row, column = number // 32, number % 32
        if self.whole:
            at = torch.stack([row // 32, column // 32], 1).float()
        else:
            at = torch.stack([row / 32, column / 32], 1)
        turn = 2.0 * math.pi * at @ self.waves
        return self.net(torch.cat([turn.sin(), turn.cos()], 1))


def _pixels(seed: int) -> Batches:
    number = torch.arange(1024)
    row, column = (number // 32) / 32.0, (number % 32) / 32.0
    disc = ((row - 0.4) ** 2 + (column - 0.6) ** 2 < 0.06).float()
    stripes = 0.5 + 0.5 * torch.sin(12.0 * row + 5.0 * column)
    return samples.stream(number, torch.stack([disc, stripes, row * column], 1), seed)


@case(
    "picture-by-place", label="class-prior-only", root="", steps=300, fixes=("a true division",),
    source="tancik2020; common mistake, // carried over from code that was meant for whole numbers",
    why="Rows and columns 0 to 31 are divided by 32 with //: each pixel stands at 0, 0 and gets one colour.",
)  # fmt: skip
def picture(seed: int, *, whole: bool = True) -> Setup:
    return adam(Picture(whole=whole), _pixels(seed), F.mse_loss, rate=5e-3)


cured("picture-by-place", why="A true division.")(partial(picture, whole=False))


class Causal(nn.Module):
    """A causal reader, written by hand, with a token in front that is classified, or the last one."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.embed, self.spot = nn.Embedding(12, 32), nn.Parameter(0.1 * torch.randn(13, 32))
        self.front = nn.Parameter(0.1 * torch.randn(32))
        self.qkv = nn.ModuleList(nn.Linear(32, 96) for _ in range(2))
        self.mix = nn.ModuleList(nn.Sequential(nn.LayerNorm(32), stack([32, 64, 32], nn.GELU)) for _ in range(2))
        self.head, self.place = nn.Linear(32, 4), place

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        x = torch.cat([self.front.expand(len(text), 1, -1), self.embed(text)], 1) + self.spot
        later = torch.ones(13, 13, dtype=torch.bool).triu(1)
        for qkv, mix in zip(self.qkv, self.mix, strict=True):
            q, k, v = qkv(F.layer_norm(x, (32,))).view(len(x), 13, 3, 4, 8).unbind(2)
            scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / 8**0.5
            seen = scores.masked_fill(later, float("-inf")).softmax(-1)
            x = x + torch.einsum("bhqk,bkhd->bqhd", seen, v).flatten(2)
            x = x + mix(x)
        return self.head(x[:, self.place])


def _themes(seed: int, rows: int = 640) -> Batches:
    """Texts of twelve tokens and which of four kinds stands in them most often."""
    draw = samples.generator(seed + 70)
    theme = torch.randint(4, (rows,), generator=draw)
    text = torch.randint(12, (rows, 12), generator=draw)
    own = 3 * theme[:, None] + torch.randint(3, (rows, 12), generator=draw)
    return samples.stream(torch.where(torch.rand(rows, 12, generator=draw) < 0.4, own, text), theme, seed, size=32)


@case(
    "themes-by-a-causal-reader", label="class-prior-only", root="", steps=300, fixes=("read the last place",),
    source="rasbt/MachineLearning-QandAI-book#18; athms/learning-from-brains#3",
    why="The class is read at the first place, which under a causal mask sees itself alone: always one answer.",
)  # fmt: skip
def causal(seed: int, place: int = 0) -> Setup:
    return adam(Causal(place), _themes(seed), rate=3e-3)


cured("themes-by-a-causal-reader", why="The last place, which sees all.")(partial(causal, place=-1))


class Cleaner(nn.Module):
    """A denoiser with DDPM's betas that tells the clean image at a random one of 50 times; the third in eval."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        betas = torch.linspace(1e-3, 0.1, 50)
        self.register_buffer("signal", torch.cumprod(1.0 - betas if kept else betas, 0).sqrt())
        self.signal: Tensor
        self.down, self.time = nn.Conv2d(1, 16, 3, 2, 1), nn.Embedding(50, 16)
        self.inner, self.up = nn.Conv2d(16, 16, 3, 1, 1), nn.ConvTranspose2d(16, 16, 2, 2)
        self.out = nn.Conv2d(17, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return images [batch, 1, 8, 8]."""
        t = torch.randint(50, (len(x),)) if self.training else torch.full((len(x),), 2)
        signal = self.signal[t, None, None, None]
        mixed = signal * x + (1.0 - signal**2).sqrt() * torch.randn_like(x)
        low = torch.relu(self.down(mixed) + self.time(t)[:, :, None, None])
        low = torch.relu(self.inner(low))
        return self.out(torch.cat([self.up(low), mixed], 1))


@case(
    "digits-cleaned-at-fifty-times", label="class-prior-only", root="", steps=300, fixes=("multiply up 1 - beta",),
    source="ho2020, section 2; common mistake in hand-written schedules",
    why="Betas are multiplied up, not 1 - beta: the signal is 0.03 at the first of 50 times and 1e-4 at the third.",
)  # fmt: skip
def cleaned(seed: int, *, kept: bool = False) -> Setup:
    x = _centred().view(-1, 1, 8, 8)
    return adam(Cleaner(kept=kept), samples.stream(x, x, seed), F.mse_loss, rate=5e-3)


cured("digits-cleaned-at-fifty-times", why="1 - beta is multiplied up.")(partial(cleaned, kept=True))


class Clock(nn.Module):
    """The load of a grid from the hour, as a sine and a cosine, by a net of small tanh layers."""

    def __init__(self, period: float) -> None:
        super().__init__()
        self.hidden, self.out, self.period = nn.Linear(4, 48), nn.Linear(48, 1), period

    def forward(self, hour: Tensor) -> Tensor:
        """Return loads [batch, 1] for hours [batch, 1], 0 to 167 of a week."""
        day, week = hour % 24, torch.div(hour, 24, rounding_mode="floor")
        turns = [2.0 * math.pi * day / self.period, 2.0 * math.pi * week / (self.period if self.period == 1.0 else 7.0)]
        waves = [f(turn) for turn in turns for f in (torch.sin, torch.cos)]
        return self.out(torch.tanh(self.hidden(torch.cat(waves, 1))))


def _load(seed: int, rows: int = 960) -> Batches:
    draw = samples.generator(seed + 71)
    hour = torch.randint(168, (rows, 1), generator=draw).float()
    day, work = hour % 24, (hour < 120).float()
    load = work * torch.exp(-((day - 18.0) ** 2) / 18.0) + 0.7 * torch.exp(-((day - 8.0) ** 2) / 8.0)
    load = (load - load.mean()) / load.std() + 0.1 * torch.randn(rows, 1, generator=draw)
    return samples.stream(hour, load, seed)


@case(
    "load-by-the-clock", label="class-prior-only", root="", steps=300, fixes=("divide by 24 and by 7",),
    source="common mistake; stackoverflow and blog posts on cyclical features",
    why="sin(2 pi hour): hours are whole, so it is 0 and the cosine 1 for all; loads deviate by 5e-6, not 1.",
)  # fmt: skip
def clock(seed: int, period: float = 1.0) -> Setup:
    return adam(Clock(period), _load(seed), F.mse_loss, rate=1e-2)


cured("load-by-the-clock", why="24 hours, and seven days, are one turn.")(partial(clock, period=24.0))


class Ratings(nn.Module):
    """Rows of user, film and year in one table of floats; ids are looked up, after the table was scaled or before."""

    def __init__(self, *, scaled: bool) -> None:
        super().__init__()
        self.user, self.film, self.year = nn.Embedding(80, 8), nn.Embedding(60, 8), nn.Embedding(30, 8)
        self.net, self.scaled = stack([24, 64, 1], nn.ReLU, he), scaled
        self.register_buffer("most", torch.tensor([80.0, 60.0, 30.0]))
        self.most: Tensor

    def forward(self, table: Tensor) -> Tensor:
        """Return ratings [batch, 1]."""
        if self.scaled:
            table = table / self.most
        user, film, year = table.long().unbind(1)
        return self.net(torch.cat([self.user(user), self.film(film), self.year(year)], 1))


def _table(seed: int, rows: int = 1920) -> Batches:
    draw = samples.generator(seed + 72)
    ids = torch.stack([torch.randint(n, (rows,), generator=draw) for n in (80, 60, 30)], 1)
    own = [torch.randn(n, generator=draw) for n in (80, 60, 30)]
    rating = own[0][ids[:, 0]] + own[1][ids[:, 1]] + 0.5 * own[2][ids[:, 2]]
    return samples.stream(ids.float(), rating[:, None] / 1.5, seed)


@case(
    "films-from-one-table", label="class-prior-only", root="", steps=300, fixes=("leave the ids as they are",),
    source="common mistake: MinMaxScaler over all columns, ids among them, in front of nn.Embedding",
    why="Ids are divided by their number, and .long() makes 0 of each: one user, film and year, one rating.",
)  # fmt: skip
def films(seed: int, *, scaled: bool = True) -> Setup:
    return adam(Ratings(scaled=scaled), _table(seed), F.mse_loss, rate=1e-2)


cured("films-from-one-table", why="Ids are not scaled.")(partial(films, scaled=False))


class Clouds(nn.Module):
    """PointNet for the size of things, from 64 points of the surface; clouds are put into the unit cube, or not."""

    def __init__(self, *, unit: bool) -> None:
        super().__init__()
        self.each, self.all, self.unit = stack([3, 32, 64], nn.ReLU, he), stack([64, 32, 3], nn.ReLU, he), unit

    def forward(self, points: Tensor) -> Tensor:
        """Return half axes [batch, 3]."""
        points = points - points.mean(1, keepdim=True)
        if self.unit:
            points = points / points.abs().amax(1, keepdim=True)
        return self.all(self.each(points).amax(1))


def _ellipsoids(seed: int, rows: int = 640) -> Batches:
    draw = samples.generator(seed + 73)
    axes = 0.5 + 1.5 * torch.rand(rows, 3, generator=draw)
    ball = F.normalize(torch.randn(rows, 64, 3, generator=draw), dim=2)
    return samples.stream(ball * axes[:, None], (axes - 1.25) / 0.43, seed, size=32)


@case(
    "half-axes-of-ellipsoids", label="class-prior-only", root="", steps=300, fixes=("leave out the scaling",),
    source="qi2017 (its unit sphere), taken over for a task in which size counts",
    why="Each cloud is divided by its extent along each axis, which is asked for: answers deviate by 0.1, not 1.",
)  # fmt: skip
def ellipsoids(seed: int, *, unit: bool = True) -> Setup:
    return adam(Clouds(unit=unit), _ellipsoids(seed), F.mse_loss, rate=3e-3)


cured("half-axes-of-ellipsoids", why="Clouds keep their size.")(partial(ellipsoids, unit=False))
