"""Written without knowledge of the rules: inputs levelled to 0, and a class that counts for little."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam


def _quantised(x: Tensor, scale: Tensor) -> Tensor:
    """Whole multiples of the scale, with a slope of 1."""
    return x + (torch.round(x / scale).clamp(-127, 127) * scale - x).detach()


class EightBits(nn.Module):
    """Linear layers whose inputs and weights are held in eight bits, with straight-through slopes."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.right = right

    def _scale(self, x: Tensor) -> Tensor:
        most = x.detach().abs().amax().clamp_min(1e-6)
        return most / 127 if self.right else most * 127

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for index, layer in enumerate((self.first, self.second, self.third)):
            x = F.relu(x) if index else x
            weight = _quantised(layer.weight, self._scale(layer.weight))
            x = F.linear(_quantised(x, self._scale(x)), weight, layer.bias)
        return x


@case(
    "eight-bit-digits", label="class-prior-only", root="", steps=250, fixes=("divide by 127",),
    source="common mistake; jacob2018, section 2.1",
    why="The step is the largest number times 127, not by 127: all inputs and weights are rounded to 0, biases are "
    "all there is.",
)  # fmt: skip
def eight_bits(seed: int, *, right: bool = False) -> Setup:
    return adam(EightBits(right=right), samples.digits(seed), rate=3e-3)


cured("eight-bit-digits", why="The largest number divided by 127.")(partial(eight_bits, right=True))


class Spectrum(nn.Module):
    """The spectrum of a recording in decibels, cut off below a floor, convolutions over frequencies, a classifier."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.net = nn.Sequential(
            nn.Conv1d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(16, 16, 5, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 6),
        )  # fmt: skip

    def forward(self, wave: Tensor) -> Tensor:
        """Return logits [batch, 6] of recordings [batch, 64]."""
        power = torch.fft.rfft(wave * torch.hann_window(64), norm="forward").abs().square()[:, :32]
        level = (10.0 * torch.log10(power + 1e-10)).clamp(min=self.floor)
        return self.net((level / 40.0)[:, None])


def _recordings(seed: int) -> Batches:
    draw = samples.generator(seed + 25)
    kind = (torch.rand(640, generator=draw)[:, None] > torch.tensor([0.3, 0.5, 0.65, 0.8, 0.9])).sum(1)
    time = torch.arange(64)[None] / 64
    phase = 6.283 * torch.rand(640, 2, generator=draw)
    wave = torch.sin(6.283 * (3 + 4 * kind[:, None]) * time + phase[:, :1])
    wave = 0.3 * wave + 0.2 * torch.sin(6.283 * 12.5 * time + phase[:, 1:])
    return samples.stream(wave + 0.1 * torch.randn(640, 64, generator=draw), kind, seed)


@case(
    "recordings-in-decibels", label="class-prior-only", root="", steps=250, fixes=("a floor of -80 dB",),
    source="common mistake; librosa's power_to_db, top_db",
    why="No level is above -21 dB, and the floor is 0 dB: the spectrum is 0 at all frequencies.",
)  # fmt: skip
def recordings(seed: int, floor: float = 0.0) -> Setup:
    return adam(Spectrum(floor), _recordings(seed), rate=3e-3)


cured("recordings-in-decibels", why="A floor of -80 dB.")(partial(recordings, floor=-80.0))


def _anchors(seed: int) -> Batches:
    """Maps [batch, 1, 10, 10] with one or two faint blots, and which cells they cover; 8 % are."""
    draw = samples.generator(seed + 35)
    x, y = torch.randn(256, 1, 10, 10, generator=draw), torch.zeros(256, 10, 10, dtype=torch.long)
    place = torch.randint(0, 8, (256, 2, 2), generator=draw).tolist()
    for image, blots in enumerate(place):
        for top, left in blots:
            y[image, top : top + 2, left : left + 2] = 1
            x[image, 0, top : top + 2, left : left + 2] += 1.6
    return samples.stream(x, y, seed, size=32)


class Detector(nn.Module):
    """Three convolutions, and two scores per cell."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.c3 = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, 10, 10, 2]."""
        return self.c3(F.relu(self.c2(F.relu(self.c1(x))))).permute(0, 2, 3, 1)


def _focal(scores: Tensor, target: Tensor, alpha: float) -> Tensor:
    logp = scores.log_softmax(-1).gather(-1, target[..., None])[..., 0]
    weight = torch.where(target == 1, alpha, 1.0 - alpha)
    return (weight * (1.0 - logp.exp()) ** 2 * -logp).mean() / weight.mean()


@case(
    "blots-by-cells", label="class-prior-only", root="", steps=250, fixes=("alpha for the foreground",),
    source="unsky/focal-loss#9; fizyr/keras-retinanet#540; yatengLG/Focal-Loss-Pytorch#4",
    why="Alpha and 1 - alpha are the wrong way round: the 8 % of cells with a blot weigh 0.03, the others 0.97, and "
    "none is found.",
)  # fmt: skip
def blots(seed: int, alpha: float = 0.03) -> Setup:
    return adam(Detector(), _anchors(seed), partial(_focal, alpha=alpha), rate=5e-3)


cured("blots-by-cells", why="Both kinds of cells weigh alike.")(partial(blots, alpha=0.5))
