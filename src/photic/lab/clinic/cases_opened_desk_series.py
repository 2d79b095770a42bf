"""From the desk: series. Mistakes of everyday code in forecasters, recurrent cells, temporal convolutions and sensors."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam


class Probabilistic(nn.Module):
    """A forecaster: a GRU over the past, and means and deviations for the next four values."""

    def __init__(self, *, positive: bool) -> None:
        super().__init__()
        self.rnn, self.mean, self.sigma = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 4), nn.Linear(32, 4)
        self.positive = positive

    def forward(self, past: Tensor) -> Tensor:
        """Return means and deviations [batch, 2, 4] of a past [batch, time, 1]."""
        states, _ = self.rnn(past)
        last = states[:, -1]
        sigma = self.sigma(last)
        return torch.stack([self.mean(last), F.softplus(sigma) + 1e-3 if self.positive else sigma], dim=1)


def _likelihood(output: Tensor, target: Tensor) -> Tensor:
    mean, sigma = output.unbind(dim=1)
    return (torch.log(sigma) + 0.5 * ((target - mean) / sigma) ** 2).mean() + 0.5 * math.log(2.0 * math.pi)


def _waves(seed: int, rows: int = 960, length: int = 24) -> Tensor:
    draw = samples.generator(seed + 320)
    phase, speed = 6.3 * torch.rand(rows, 1, generator=draw), 0.3 + 0.4 * torch.rand(rows, 1, generator=draw)
    return torch.sin(phase + speed * torch.arange(length)) + 0.05 * torch.randn(rows, length, generator=draw)


@case(
    "forecast-with-a-deviation", label="non-finite", root="sigma", steps=300, fixes=("softplus", "predict log sigma"),
    source="common mistake: salinas2020 (DeepAR) without its softplus",
    why="The deviation comes from a linear layer as it is: half of the first are negative, or more; their logarithm is NaN.",
)  # fmt: skip
def forecast(seed: int, *, positive: bool = False) -> Setup:
    x = _waves(seed)
    return adam(
        Probabilistic(positive=positive), samples.stream(x[:, :-4, None], x[:, -4:], seed), _likelihood, rate=5e-3
    )


cured("forecast-with-a-deviation", why="Softplus.")(partial(forecast, positive=True))


class Simulator(nn.Module):
    """A pendulum step by step: a net tells the next state in standardised numbers, and is fed its own answer."""

    def __init__(self, mean: Tensor, std: Tensor, *, standardised: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 48), nn.ReLU(), nn.Linear(48, 2))
        self.mean, self.std = nn.Buffer(mean), nn.Buffer(std)
        self.standardised = standardised

    def forward(self, state: Tensor) -> Tensor:
        """Return the next ten states, in degrees and degrees per second, [batch, 10, 2]."""
        states: list[Tensor] = []
        for _ in range(10):
            seen = (state - self.mean) / self.std if self.standardised or not states else state
            state = self.net(seen) * self.std + self.mean
            states.append(state)
        return torch.stack(states, dim=1)


def _pendulum(rows: int, seed: int) -> Tensor:
    """Return states [rows, 11, 2] of a pendulum that is let go at some angle, 0.1 seconds apart."""
    draw = samples.generator(seed + 321)
    angle, speed = torch.randn(2, rows, generator=draw)
    states: list[Tensor] = []
    for _ in range(11):
        states.append(torch.stack([angle, speed], dim=1) * 57.3)
        for _ in range(10):
            speed = speed - 0.04 * torch.sin(angle)
            angle = angle + 0.01 * speed
    return torch.stack(states, dim=1)


@case(
    "pendulum-fed-its-own-answers", label="exploding-in-time", root="net", steps=300,
    fixes=("standardise the state before each step",),
    source="common mistake: a forecast in raw units goes back into a net that was made for standardised ones",
    why="Answers are in degrees, and go back as they are: ten steps later they are 7e8 to 1e13 degrees.",
)  # fmt: skip
def pendulum(seed: int, *, standardised: bool = False) -> Setup:
    states = _pendulum(960, seed)
    mean, std = states.mean(dim=(0, 1)), states.std(dim=(0, 1))

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss((output - mean) / std, (target - mean) / std)

    model = Simulator(mean, std, standardised=standardised)
    return adam(model, samples.stream(states[:, 0], states[:, 1:], seed), loss, rate=3e-3)


cured("pendulum-fed-its-own-answers", why="Each state is standardised first.")(partial(pendulum, standardised=True))


class ResidualCell(nn.Module):
    """A recurrent network whose state is added to at each step."""

    def __init__(self, *, shared: bool, inputs: int = 2, width: int = 64) -> None:
        super().__init__()
        self.inward, self.recurrent = nn.Linear(inputs, width), nn.Linear(width, width, bias=False)
        self.head, self.shared = nn.Linear(width, 10), shared

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of [batch, time, inputs]."""
        time = x.shape[1]
        h = x.new_zeros(len(x), self.recurrent.in_features)
        for step in range(time):
            update = F.relu(self.inward(x[:, step]) + self.recurrent(h))
            h = h + (update / time if self.shared else update)
        return self.head(h)


@case(
    "digits-by-a-residual-cell", label="exploding-in-time", root="recurrent", steps=300,
    fixes=("divide by the number of steps", "a gate", "a normalisation of the state"),
    source="common mistake: a skip connection added to a recurrent cell",
    why="h = h + relu(W x + U h), 32 times: the state grows with each step, and logits begin at 7e3 to 3e4.",
)  # fmt: skip
def residual_cell(seed: int, *, shared: bool = False) -> Setup:
    x, y = samples.digit_table()
    return adam(ResidualCell(shared=shared), samples.stream(x.view(-1, 32, 2), y, seed), rate=1e-2)


cured("digits-by-a-residual-cell", why="Updates are divided by 32.")(partial(residual_cell, shared=True))


class Temporal(nn.Module):
    """Causal convolutions with strides between the taps of 1, 2, 4 and 8; the last place is read."""

    def __init__(self, *, chained: bool) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, 24, 1)
        self.convs = nn.ModuleList(nn.Conv1d(24, 24, 2, dilation=2**index) for index in range(4))
        self.head, self.chained = nn.Linear(24, 1), chained

    def forward(self, x: Tensor) -> Tensor:
        """Return one number for each series [batch, time, 1]."""
        x = self.enter(x.transpose(1, 2))
        out = x
        for conv in self.convs:
            padded = F.pad(out if self.chained else x, (conv.dilation[0], 0))
            out = F.relu(conv(padded))
        return self.head(out[:, :, -1])


def _echoes(seed: int, rows: int = 1280) -> Batches:
    """Noise, and the product of two and the difference of two of its last values."""
    x = torch.randn(rows, 16, generator=samples.generator(seed + 321))
    wanted = x[:, -1] + x[:, -3] - x[:, -6].abs() + x[:, -12] - x[:, -16]
    return samples.stream(x[:, :, None], wanted[:, None] / 2.0, seed)


@case(
    "echoes-by-convolutions", label="idle-layer", root="convs.0", steps=300, fixes=("conv(out)",),
    source="common mistake: out = layer(x) in a loop over layers; 'only the last layer changes'",
    why="Each layer of the loop is given x and not what the one before returned: only the last one counts and changes.",
)  # fmt: skip
def echoes(seed: int, *, chained: bool = False) -> Setup:
    return adam(Temporal(chained=chained), _echoes(seed), F.mse_loss, rate=5e-3)


cured("echoes-by-convolutions", why="Each is given what the last returned.")(partial(echoes, chained=True))


class Leaky(nn.Module):
    """A recurrent network in continuous time: tau dh/dt = -h + f(x, h), in steps of dt."""

    def __init__(self, config: dict[str, float], width: int = 48) -> None:
        super().__init__()
        self.inward, self.recurrent = nn.Linear(5, width), nn.Linear(width, width)
        self.head, self.alpha = nn.Linear(width, 4), config["dt"] / config["tau"]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        h = x.new_zeros(len(x), self.recurrent.in_features)
        for step in range(x.shape[1]):
            h = (1.0 - self.alpha) * h + self.alpha * torch.tanh(self.inward(x[:, step]) + 0.1 * self.recurrent(h))
        return self.head(h)


@case(
    "kinds-by-leaky-units", label="vanishing-in-time", root="", steps=300, fixes=("tau as long as the trial",),
    source="song2016 (dt = 20 ms, tau = 100 ms), taken over for longer trials",
    why="alpha = dt / tau = 0.5 for trials of 40 steps: of the first step 0.5^40 = 1e-12 is left at the end.",
)  # fmt: skip
def leaky(seed: int, tau: float = 40.0) -> Setup:
    return adam(Leaky({"dt": 20.0, "tau": tau}), samples.recall(seed, length=40, scale=3.0), rate=5e-3)


cured("kinds-by-leaky-units", why="tau of 800 ms, 40 steps.")(partial(leaky, tau=800.0))


class TimeFirst(nn.Module):
    """A GRU that wants time first; batches come with the batch first."""

    def __init__(self, *, permuted: bool) -> None:
        super().__init__()
        self.rnn, self.head, self.permuted = nn.GRU(8, 48), nn.Linear(48, 10), permuted

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of [batch, time, 8]."""
        batch, time, width = x.shape
        x = x.permute(1, 0, 2) if self.permuted else x.reshape(time, batch, width)
        _, last = self.rnn(x)
        return self.head(last[0])


@case(
    "digits-by-a-gru-with-time-first", label="mixed-examples", root="rnn", steps=300, fixes=("permute(1, 0, 2)",),
    source="common mistake: view or reshape where permute is meant, discuss.pytorch.org",
    why="reshape(time, batch, 8) keeps the order in memory: each series is made of rows of eight images.",
)  # fmt: skip
def time_first(seed: int, *, permuted: bool = False) -> Setup:
    x, y = samples.digit_table()
    return adam(TimeFirst(permuted=permuted), samples.stream(x.view(-1, 8, 8), y, seed), rate=5e-3)


cured("digits-by-a-gru-with-time-first", why="permute.")(partial(time_first, permuted=True))


class PreActivated(nn.Module):
    """A block with the activation in front: x + conv(relu(conv(relu(x))))."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(before, after, 3, padding=1), nn.Conv1d(after, after, 3, padding=1)
        self.relu, self.skip = nn.ReLU(), before == after

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        out = self.second(self.relu(self.first(self.relu(x))))
        return x + out if self.skip else out


def _spectra(seed: int, *, scaled: bool, rows: int = 960) -> Batches:
    """Spectrograms in decibels below the loudest, [batch, 12 bands, 16 times], and which of five chirps they are of."""
    draw = samples.generator(seed + 322)
    kind = torch.randint(5, (rows,), generator=draw)
    start = 4.0 + 4.0 * torch.rand(rows, 1, 1, generator=draw)
    slope = (kind.float() - 2.0)[:, None, None] * 0.25
    centre = start + slope * (torch.arange(16.0) - 8.0)
    power = torch.exp(-0.5 * (torch.arange(12.0)[:, None] - centre) ** 2)
    power = power + 0.02 * torch.rand(rows, 12, 16, generator=draw)
    decibel = 10.0 * torch.log10(power / power.amax(dim=(1, 2), keepdim=True))
    x = (decibel - decibel.mean()) / decibel.std() if scaled else decibel
    return samples.stream(x, kind, seed)


@case(
    "chirps-in-decibels", label="dead-units", root="0.relu", steps=300,
    fixes=("standardise the decibels", "a convolution in front of the first block"),
    source="he2016identity has a convolution in front; common mistake: log spectra as they are",
    why="Decibels below the loudest are never positive, and the net begins with a ReLU: it is 0 for each input.",
)  # fmt: skip
def chirps(seed: int, *, scaled: bool = False) -> Setup:
    blocks = [PreActivated(12, 24), PreActivated(24, 24)]
    model = nn.Sequential(*blocks, nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(96, 5))
    return adam(model, _spectra(seed, scaled=scaled), rate=3e-3)


cured("chirps-in-decibels", why="Decibels are standardised.")(partial(chirps, scaled=True))


def _brain(seed: int, unit: float, rows: int = 960) -> Batches:
    """Two channels of 32 samples, in volts times `unit`, and which one has the slower rhythm."""
    draw = samples.generator(seed + 323)
    label = torch.randint(2, (rows,), generator=draw)
    speed = torch.where(label[:, None].bool(), torch.tensor([0.4, 0.9]), torch.tensor([0.9, 0.4]))
    phase = 6.3 * torch.rand(rows, 2, 1, generator=draw)
    wave = torch.sin(phase + speed[:, :, None] * torch.arange(32.0))
    volts = 2e-5 * (wave + 0.5 * torch.randn(wave.shape, generator=draw))
    return samples.stream(volts * unit, label, seed)


@case(
    "rhythms-in-volts", label="unscaled-input", root="", steps=300, fixes=("microvolts / 20", "standardise"),
    source="common mistake: MNE gives volts; braindecode's tutorials scale to microvolts first",
    why="Potentials are given in volts, 2e-5 of them: next to biases of 0.1 they are nothing, the loss stays at 0.69.",
)  # fmt: skip
def rhythms(seed: int, unit: float = 1.0) -> Setup:
    layers = [nn.Conv1d(2, 16, 9), nn.ELU(), nn.AvgPool1d(2), nn.Conv1d(16, 16, 5), nn.ELU(), nn.AdaptiveMaxPool1d(1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 2))
    return adam(model, _brain(seed, unit), rate=3e-3)


cured("rhythms-in-volts", why="A scale of 1.")(partial(rhythms, unit=5e4))


class HandGRU(nn.Module):
    """A GRU by hand, with plain parameters."""

    def __init__(self, inputs: int, width: int, outputs: int, spread: float) -> None:
        super().__init__()
        self.w = nn.Parameter(spread * torch.randn(inputs, 3 * width))
        self.u = nn.Parameter(spread * torch.randn(width, 3 * width))
        self.b = nn.Parameter(torch.zeros(3 * width))
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs after the last step, [batch, outputs]."""
        h = x.new_zeros(len(x), self.u.shape[0])
        for step in range(x.shape[1]):
            wr, wz, wn = (x[:, step] @ self.w + self.b).chunk(3, dim=1)
            ur, uz, un = (h @ self.u).chunk(3, dim=1)
            r, z = torch.sigmoid(wr + ur), torch.sigmoid(wz + uz)
            h = (1.0 - z) * torch.tanh(wn + r * un) + z * h
        return self.head(h)


@case(
    "columns-by-a-hand-written-gru", label="saturated-gates", root="", steps=300, fixes=("divide by sqrt(width)",),
    source="common mistake: nn.Parameter(torch.randn(...)) for a matrix",
    why="Recurrent matrices are drawn with a deviation of 1, not 0.1: gates are fed 5, and 64 % are shut or open.",
)  # fmt: skip
def hand_gru(seed: int, spread: float = 1.0) -> Setup:
    draw = samples.generator(seed + 324)
    x = torch.randn(1280, 20, 4, generator=draw)
    return adam(HandGRU(4, 64, 1, spread), samples.stream(x, _told(x), seed), F.mse_loss, rate=2e-3)


def _told(x: Tensor) -> Tensor:
    """Return the sum of the last eight values of the first column, [batch, 1]."""
    return x[:, -8:, 0].sum(dim=1, keepdim=True) / 8.0**0.5


cured("columns-by-a-hand-written-gru", why="A deviation of 0.125.")(partial(hand_gru, spread=0.125))
