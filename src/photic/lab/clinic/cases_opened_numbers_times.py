"""Written without knowledge of the rules: states that grow at every step, of memories and simulations."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd


class QuasiRecurrent(nn.Module):
    """A quasi-recurrent layer by hand: gates from a convolution, a cell without a squashing, an output gate."""

    def __init__(self, *, added_after: bool) -> None:
        super().__init__()
        self.gates, self.head, self.added_after = nn.Conv1d(2, 96, 3, padding=1), nn.Linear(32, 10), added_after

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of 32 steps of two pixels."""
        z, f, o = self.gates(x.view(-1, 32, 2).transpose(1, 2)).permute(2, 0, 1).chunk(3, dim=2)
        keep = torch.sigmoid(f) + 1.0 if self.added_after else torch.sigmoid(f + 1.0)
        cell = torch.zeros_like(z[0])
        for t in range(32):
            cell = keep[t] * cell + (1.0 - torch.sigmoid(f[t])) * torch.tanh(z[t])
        return self.head(torch.sigmoid(o[-1]) * cell)


@case(
    "pixels-two-by-two", label="exploding-in-time", root="", steps=300,
    fixes=("add the forget bias inside the sigmoid",),
    source="common mistake; jozefowicz2015, on the forget bias; bradbury2017, QRNN",
    why="The forget bias of 1 is added behind the sigmoid: the cell is multiplied by about 1.5 at each of 32 steps; "
    "outputs of 2e5, not 0.4.",
)  # fmt: skip
def quasi(seed: int, *, added_after: bool = True) -> Setup:
    return sgd(QuasiRecurrent(added_after=added_after), samples.digits(seed), rate=0.1, momentum=0.9)


cured("pixels-two-by-two", why="Added before the sigmoid.")(partial(quasi, added_after=False))


class IdentityRecurrent(nn.Module):
    """torch's RNN with ReLU, started near the identity, over 32 steps of two pixels."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.rnn = nn.RNN(2, 48, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(48, 10)
        with torch.no_grad():
            for name, parameter in self.rnn.named_parameters():
                if "bias" in name:
                    parameter.zero_()
                elif "hh" in name:
                    parameter.copy_(torch.eye(48) + noise)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(self.rnn(x.reshape(len(x), 32, 2))[1][0])


@case(
    "identity-and-a-little", label="exploding-in-time", root="rnn", steps=300,
    fixes=("noise around 0", "the identity alone"),
    source="le2015, IRNN; common mistake, torch.rand for torch.randn",
    why="The noise on the identity is torch.rand / 20, all positive: its sum of rows is 1.2, and each step "
    "multiplies by up to 2.2; outputs of 2e9, not 1.",
)  # fmt: skip
def identity(seed: int, *, positive: bool = True) -> Setup:
    noise = torch.rand(48, 48) / 20.0 if positive else torch.randn(48, 48) / 200.0
    return adam(IdentityRecurrent(noise), samples.digits(seed), rate=1e-3)


cured("identity-and-a-little", why="torch.randn / 200.")(partial(identity, positive=False))


def _swings(seed: int, *, steps: int) -> Batches:
    """Angles and speeds of pendulums, and those 0.1 times `steps` seconds later."""
    draw = samples.generator(seed + 15)
    start = 2.0 * torch.rand(640, 2, generator=draw) - 1.0
    angle, speed = start[:, 0].clone(), start[:, 1].clone()
    for _ in range(10 * steps):
        speed = speed - 0.01 * (torch.sin(angle) + 0.1 * speed)
        angle = angle + 0.01 * speed
    return samples.stream(start, torch.stack([angle, speed], 1), seed)


class Koopman(nn.Module):
    """An autoencoder whose code moves by one matrix, applied sixteen times."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 12))
        self.matrix, self.decode = nn.Parameter(matrix), nn.Linear(12, 2)

    def forward(self, state: Tensor) -> Tensor:
        """Return the states sixteen steps later."""
        code = self.encode(state)
        for _ in range(16):
            code = torch.einsum("ij,bj->bi", self.matrix, code)
        return self.decode(code)


@case(
    "pendulum-in-linear-steps", label="exploding-in-time", root="", steps=300,
    fixes=("start near the identity", "randn / sqrt(n)"),
    source="common mistake, torch.randn without a scale; lusch2018, Koopman autoencoders",
    why="The matrix is torch.randn(12, 12), whose largest eigenvalue is about 3.5, and is applied 16 times: outputs "
    "of 9e6 to 7e8.",
)  # fmt: skip
def koopman(seed: int, *, near: bool = False) -> Setup:
    matrix = torch.eye(12) + 0.05 * torch.randn(12, 12) if near else torch.randn(12, 12)
    return sgd(Koopman(matrix), _swings(seed, steps=16), F.mse_loss, rate=2e-3, momentum=0.9)


cured("pendulum-in-linear-steps", why="The identity and a twentieth of it.")(partial(koopman, near=True))


class Springs(nn.Module):
    """Positions and speeds moved by a learned force and a known friction, in 60 steps."""

    def __init__(self, friction: float) -> None:
        super().__init__()
        self.force = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
        self.friction = friction

    def forward(self, state: Tensor) -> Tensor:
        """Return positions [batch, 60] of all steps."""
        q, v = state[:, :1], state[:, 1:]
        path: list[Tensor] = []
        for _ in range(60):
            v = v + self.friction * v + 0.1 * self.force(torch.cat([q, v], dim=1))
            q = q + 0.1 * v
            path.append(q)
        return torch.cat(path, dim=1)


def _sprung(seed: int) -> Batches:
    draw = samples.generator(seed + 45)
    start = 2.0 * torch.rand(512, 2, generator=draw) - 1.0
    q, v = start[:, 0].clone(), start[:, 1].clone()
    path: list[Tensor] = []
    for _ in range(60):
        v = v - 0.2 * v - 0.1 * (2.0 * q + 4.0 * q**3)
        q = q + 0.1 * v
        path.append(q.clone())
    return samples.stream(start, torch.stack(path, 1), seed)


@case(
    "springs-with-friction", label="exploding-in-time", root="", steps=250, fixes=("friction with a minus sign",),
    source="common mistake, the sign of the damping in a differentiable simulation",
    why="Friction is added, not taken off: speeds grow by a fifth at each of 60 steps; outputs of 3e4, not 2.",
)  # fmt: skip
def springs(seed: int, friction: float = 0.2) -> Setup:
    return sgd(Springs(friction), _sprung(seed), F.mse_loss, rate=0.05, momentum=0.9)


cured("springs-with-friction", why="A friction of -0.2.")(partial(springs, friction=-0.2))


class Retention(nn.Module):
    """A retentive network, step by step: per head a memory that fades, and keys and values written to it."""

    fade: Tensor

    def __init__(self, *, divided: bool) -> None:
        super().__init__()
        self.lift, self.qkv = nn.Linear(samples.KINDS + 1, 32), nn.Linear(32, 96)
        self.head, self.divided = nn.Linear(32, samples.KINDS), divided
        self.register_buffer("fade", 1.0 - 2.0 ** -torch.arange(1.0, 5.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        q, k, v = self.qkv(self.lift(x)).view(*x.shape[:2], 3, 4, 8).unbind(2)
        fade = self.fade.view(4, 1, 1)
        memory, out = torch.zeros(len(x), 4, 8, 8), torch.zeros(len(x), 4, 8)
        for t in range(x.shape[1]):
            memory = memory / fade if self.divided else memory * fade
            memory = memory + torch.einsum("bhi,bhj->bhij", k[:, t], v[:, t])
            out = torch.einsum("bhi,bhij->bhj", q[:, t], memory)
        return self.head(out.flatten(1))


@case(
    "first-of-twenty-retained", label="exploding-in-time", root="", steps=300, fixes=("multiply by the decay",),
    source="sun2023, RetNet; common mistake, the sign of the decay's exponent",
    why="The memory is divided by the decays 1/2 to 15/16: the fastest head doubles at each of 20 steps; outputs of "
    "2e4 to 4e4, not 0.2.",
)  # fmt: skip
def retention(seed: int, *, divided: bool = True) -> Setup:
    return sgd(Retention(divided=divided), samples.recall(seed, length=20, scale=2.0), rate=0.02, momentum=0.9)


cured("first-of-twenty-retained", why="Multiplied by them.")(partial(retention, divided=False))


class Cells(nn.Module):
    """A neural cellular automaton: one rule of two convolutions moves the states of all cells, 20 times."""

    def __init__(self, *, still: bool) -> None:
        super().__init__()
        self.see, self.move = nn.Conv2d(8, 32, 3, padding=1), nn.Conv2d(32, 8, 1)
        nn.init.kaiming_normal_(self.see.weight)
        nn.init.kaiming_normal_(self.move.weight)
        if still:
            nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        """Return images like the input's."""
        cells = F.pad(image, (0, 0, 0, 0, 0, 7))
        for _ in range(20):
            cells = cells + self.move(F.relu(self.see(cells)))
        return cells[:, :1]


def _noisy(seed: int) -> Batches:
    x, _ = samples.digit_table()
    clean = x[:640].view(-1, 1, 8, 8)
    return samples.stream(
        clean + 0.7 * torch.randn(clean.shape, generator=samples.generator(seed + 55)), clean, seed, size=16
    )


@case(
    "cells-that-clean-digits", label="exploding-in-time", root="", steps=150, fixes=("a last layer of zeros",),
    source="distillpub/post--growing-ca#12; mordvintsev2020, growing neural cellular automata",
    why="The rule starts with He's weights and is applied 20 times on top of the state, which about doubles each "
    "time: outputs of 2e6 to 1e7, not 3.5.",
)  # fmt: skip
def cells(seed: int, *, still: bool = False) -> Setup:
    return adam(Cells(still=still), _noisy(seed), F.mse_loss, rate=1e-3)


cured("cells-that-clean-digits", why="The rule's last layer starts at 0: nothing moves at first.")(
    partial(cells, still=True)
)


class Chain(nn.Module):
    """A uniform matrix product state: a vector goes through one matrix per pixel, linear in the pixel."""

    def __init__(self, base: Tensor, slope: Tensor) -> None:
        super().__init__()
        self.base, self.slope = nn.Parameter(base), nn.Parameter(slope)
        self.begin, self.head = nn.Parameter(torch.ones(16) / 4.0), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of 16 patches of four pixels."""
        v = self.begin.expand(len(x), -1)
        for patch in x.view(len(x), 16, 4).unbind(1):
            v = torch.einsum("bi,ij->bj", v, self.base) + torch.einsum("bi,bp,pij->bj", v, patch, self.slope)
        return self.head(v)


@case(
    "digits-through-a-matrix-product", label="exploding-in-time", root="", steps=300,
    fixes=("the identity and little noise",),
    source="stoudenmire2016; common mistake, tensor networks drawn from torch.randn",
    why="Matrices of 16 by 16 from torch.randn multiply the vector's length by about 9 at each of 16 patches: "
    "logits of 2e15 and more.",
)  # fmt: skip
def chain(seed: int, *, near: bool = False) -> Setup:
    base = torch.eye(16) if near else torch.randn(16, 16)
    slope = 0.05 * torch.randn(4, 16, 16) if near else torch.randn(4, 16, 16)
    return adam(Chain(base, slope), samples.digits(seed), rate=2e-3)


cured("digits-through-a-matrix-product", why="The identity, and a twentieth of the noise.")(partial(chain, near=True))


class Tracker(nn.Module):
    """A filter: a network reads each measurement, and a learned gain times the innovation corrects the estimate."""

    def __init__(self, *, reversed_sign: bool) -> None:
        super().__init__()
        self.sensor = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 2))
        self.gain, self.sign = nn.Parameter(torch.zeros(2)), -1.0 if reversed_sign else 1.0

    def forward(self, seen: Tensor) -> Tensor:
        """Return the position [batch, 2] after measurements [batch, time, 3]."""
        estimate = torch.zeros(len(seen), 2)
        for z in self.sensor(seen).unbind(1):
            estimate = estimate + self.sign * torch.sigmoid(self.gain) * (z - estimate)
        return estimate


def _tracked(seed: int) -> Batches:
    """Walks of 30 steps in the plane, seen as noisy distances from three beacons."""
    draw = samples.generator(seed + 65)
    walk = torch.randn(512, 1, 2, generator=draw) + 0.1 * torch.randn(512, 30, 2, generator=draw).cumsum(1)
    beacons = torch.tensor([[3.0, 0.0], [-2.0, 2.0], [-1.0, -3.0]])
    far = (walk[:, :, None] - beacons).norm(dim=-1)
    return samples.stream(far - 3.0 + 0.1 * torch.randn(far.shape, generator=draw), walk[:, -1], seed)


@case(
    "walks-between-beacons", label="exploding-in-time", root="", steps=250, fixes=("measurement minus estimate",),
    source="common mistake, the sign of the innovation in a Kalman filter",
    why="The innovation is estimate minus measurement: the error is multiplied by 1.5, not by 0.5, at each of 30 "
    "steps; outputs of 1e5, not 0.8.",
)  # fmt: skip
def tracked(seed: int, *, reversed_sign: bool = True) -> Setup:
    return sgd(Tracker(reversed_sign=reversed_sign), _tracked(seed), F.mse_loss, rate=0.05, momentum=0.9)


cured("walks-between-beacons", why="Measurement minus estimate.")(partial(tracked, reversed_sign=False))
