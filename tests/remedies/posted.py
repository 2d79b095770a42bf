"""Networks as people post them who ask why they do not train, each with a switch for the one change that cures it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batches = list[tuple[Any, Any]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(steps: int = 6, features: int = 8) -> Batches:
    """Rows of a picture, one after the other; the class is the row that shines."""
    g = generator(1)
    found: Batches = []
    for _ in range(24):
        y = torch.randint(0, steps, (32,), generator=g)
        x = 0.3 * torch.randn(32, steps, features, generator=g)
        x[torch.arange(32), y] += 1.0
        found.append((x, y))
    return found


class RowReader(nn.Module):
    """An LSTM with states of zeros that are made for the axis that it takes for the batch."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()
        self.axis = 0 if first else 1
        self.lstm = nn.LSTM(8, 32, batch_first=first)
        self.fc = nn.Linear(32, 6)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(1, x.size(self.axis), 32)
        c0 = torch.zeros(1, x.size(self.axis), 32)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1])


def waves(steps: int = 12) -> Batches:
    g = generator(2)
    found: Batches = []
    for _ in range(24):
        speed, phase = 0.3 + 0.5 * torch.rand(32, 1, generator=g), 6.28 * torch.rand(32, 1, generator=g)
        wave = torch.sin(speed * torch.arange(steps + 1.0) + phase)
        found.append((wave[:, :-1].contiguous(), wave[:, -1:].contiguous()))
    return found


class Windows(nn.Module):
    """(batch, time) brought to (time, batch, 1) by `view`, with or without the transposition before it."""

    def __init__(self, *, turned: bool) -> None:
        super().__init__()
        self.turned = turned
        self.gru, self.out = nn.GRU(1, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.t().contiguous() if self.turned else x
        return self.out(self.gru(x.view(12, -1, 1))[0][-1])


def words() -> Batches:
    g = generator(3)
    found: Batches = []
    for _ in range(20):
        said = torch.randint(1, 5, (16, 3), generator=g)
        frames = torch.stack([torch.zeros_like(said), said, said, torch.zeros_like(said)], 2).flatten(1)
        found.append((F.one_hot(frames, 5).float() + 0.2 * torch.randn(16, 12, 5, generator=g), said))
    return found


class Speech(nn.Module):
    """What is heard of each frame: probabilities, their logarithms, or raw scores."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self.last = last
        self.conv, self.out = nn.Conv1d(5, 32, 3, padding=1), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.out(F.hardtanh(self.conv(x.transpose(1, 2)), 0, 20).transpose(1, 2))
        return {"softmax": F.softmax, "log_softmax": F.log_softmax}[self.last](x, dim=-1) if self.last else x


def ctc(output: Tensor, said: Tensor) -> Tensor:
    sizes, lengths = torch.full((len(output),), output.shape[1]), torch.full((len(said),), said.shape[1])
    return F.ctc_loss(output.transpose(0, 1), said, sizes, lengths)


def contexts() -> Batches:
    g = generator(4)
    found: Batches = []
    for _ in range(24):
        word = torch.randint(0, 40, (64,), generator=g)
        near = word // 8 * 8 + torch.randint(0, 8, (64,), generator=g)
        found.append(((word, near, torch.randint(0, 40, (64, 4), generator=g)), torch.zeros(64)))
    return found


class SkipGram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Embedding(40, 16), nn.Embedding(40, 16)

    def forward(self, word: Tensor, near: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        u = self.u(word)
        return (u * self.v(near)).sum(1) / 4.0, (self.v(others) @ u.unsqueeze(2)).squeeze(2) / 4.0


def log_likelihood(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
    return (F.logsigmoid(output[0]) + F.logsigmoid(-output[1]).sum(1)).mean()


def sales() -> Batches:
    g = generator(5)
    found: Batches = []
    for _ in range(24):
        past, promoted = torch.randn(32, 8, generator=g), torch.randn(32, 4, 2, generator=g)
        found.append(((past, promoted), 0.3 * past[:, -1:] + 2.0 * torch.tanh(2.0 * promoted[:, :, 0])))
    return found


class Forecast(nn.Module):
    """A decoder beside a linear way, whose last normalisation goes over a single value."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
        self.norm = nn.LayerNorm(1) if norm else nn.Identity()
        self.straight = nn.Linear(8, 4)

    def forward(self, past: Tensor, promoted: Tensor) -> Tensor:
        return self.norm(self.decoder(promoted)).squeeze(2) + self.straight(past)


def halves() -> Batches:
    """Which half of the sequence weighs more?"""
    g = generator(6)
    found: Batches = []
    for _ in range(24):
        x = torch.randint(0, 12, (48, 8), generator=g)
        found.append((x, (x[:, :4].sum(1) > x[:, 4:].sum(1)).long()))
    return found


class Encoder(nn.Module):
    """One block of a transformer that adds row k of a table to example k, or to step k."""

    def __init__(self, *, table: str, first: bool) -> None:
        super().__init__()
        self.table, self.first = table, first
        self.tok, self.pos = nn.Embedding(12, 24), nn.Embedding(64, 24)
        self.register_buffer("pe", torch.randn(64, 1, 24, generator=generator(9)))
        self.block = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)
        self.head = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.table == "buffer":
            added = self.pe[: x.size(1)].transpose(0, 1) if self.first else self.pe[: x.size(0)]  # type: ignore[index]
        else:
            added = self.pos(torch.arange(x.size(1))[None] if self.first else torch.arange(x.size(0))[:, None])
        return self.head(self.block(self.tok(x) + added).mean(1))


def recall() -> Batches:
    g = generator(7)
    found: Batches = []
    for _ in range(24):
        keys = torch.stack([torch.randperm(30, generator=g)[:12] for _ in range(32)])
        values, ask = torch.randint(0, 10, (32, 12), generator=g), torch.randint(0, 12, (32, 1), generator=g)
        found.append(((keys, values, keys.gather(1, ask)), values.gather(1, ask).squeeze(1)))
    return found


class Memory(nn.Module):
    """An attention whose scores are divided by the root of the width, or not."""

    def __init__(self, *, scaled: bool) -> None:
        super().__init__()
        self.scale = 1 / 16.0 if scaled else 1.0
        self.key, self.value = nn.Embedding(30, 256), nn.Embedding(10, 256)
        self.wq, self.wk = (nn.Parameter(torch.randn(256, 256) / 16.0) for _ in range(2))
        self.out = nn.Linear(256, 10)

    def forward(self, keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
        scores = self.scale * (self.key(query) @ self.wq) @ (self.key(keys) @ self.wk).transpose(1, 2)
        return self.out((scores.softmax(-1) @ self.value(values)).squeeze(1))


def opacities() -> Batches:
    g = generator(8)
    found: Batches = []
    for _ in range(24):
        x = torch.randn(32, 4, generator=g)
        found.append((x, torch.exp(-2.0 * F.softplus(x[:, :1] + x[:, 1:2]))))
    return found


class Density(nn.Module):
    """A density that a formula takes goes through a ReLU that is off at every example."""

    def __init__(self, bend: Any) -> None:
        super().__init__()
        self.bend, self.trunk, self.sigma = bend, nn.Linear(4, 32), nn.Linear(32, 1)
        nn.init.constant_(self.sigma.bias, -3.0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-self.bend(self.sigma(torch.tanh(self.trunk(x)))))


class Pixels(nn.Module):
    """Scores of each pixel, by `transpose(1, 3)`, which changes rows and columns over, or by `permute`."""

    def __init__(self, *, permuted: bool) -> None:
        super().__init__()
        self.permuted = permuted
        self.body, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.body(x))
        return self.head(x.permute(0, 2, 3, 1) if self.permuted else x.transpose(1, 3)).movedim(-1, 1)


class Twice(nn.Module):
    """Two pictures go through one encoder, one after the other, under `no_grad`."""

    def __init__(self, *, recorded: bool) -> None:
        super().__init__()
        self.recorded = recorded
        self.encoder, self.head = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)), nn.Linear(16, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.recorded and torch.is_grad_enabled()):
            one, other = self.encoder(a), self.encoder(b)
        return self.head(torch.cat([one, other], 1))


def rollouts() -> Batches:
    """States, and of the action that was taken there its number, how well it did (n, 1) and its old log probability (n,)."""
    g = generator(10)
    value = torch.randn(6, 4, generator=g)
    found: Batches = []
    for _ in range(24):
        state = torch.randn(64, 6, generator=g)
        action = torch.randint(0, 4, (64, 1), generator=g)
        gain = (state @ value).gather(1, action) - (state @ value).mean(1, keepdim=True)
        found.append((state, (action, (gain - gain.mean()) / gain.std(), torch.full((64,), 0.25).log())))
    return found


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4))

    def forward(self, state: Tensor) -> Tensor:
        return torch.log_softmax(self.body(state), 1)


def clipped(output: Tensor, target: tuple[Tensor, Tensor, Tensor], *, flat: bool) -> Tensor:
    action, gain, old = target
    ratio = torch.exp(output.gather(1, action).squeeze(1) - old)
    gain = gain.flatten() if flat else gain
    return -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()


def places() -> Batches:
    """Pictures [n, h, w, colours] and where the red point stands."""
    g = generator(11)
    found: Batches = []
    for _ in range(24):
        picture, at = 0.1 * torch.randn(32, 6, 6, 3, generator=g), torch.randint(0, 6, (32, 2, 3), generator=g)
        for colour in range(3):
            picture[torch.arange(32), at[:, 0, colour], at[:, 1, colour], colour] += 1.0
        found.append((picture, at[:, 0, 0]))
    return found


class Camera(nn.Module):
    """Pictures whose colours lie last are given to a convolution by `reshape`, or by `permute`."""

    def __init__(self, *, permuted: bool) -> None:
        super().__init__()
        self.permuted = permuted
        self.conv, self.out = nn.Conv2d(3, 8, 1), nn.Linear(8 * 6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if self.permuted else x.reshape(len(x), 3, 6, 6)
        return self.out(torch.relu(self.conv(x)).amax(3).flatten(1))


def ratings() -> Batches:
    g = generator(12)
    taste, kind = torch.randn(30, 6, generator=g), torch.randn(25, 6, generator=g)
    found: Batches = []
    for _ in range(30):
        u, i = torch.randint(0, 30, (64,), generator=g), torch.randint(0, 25, (64,), generator=g)
        found.append(((u, i), (taste[u] * kind[i]).sum(1)))
    return found


class Factors(nn.Module):
    """A factorisation whose factors all start at one number, or drawn."""

    def __init__(self, *, drawn: bool) -> None:
        super().__init__()
        start = (lambda *shape: 0.3 * torch.randn(*shape)) if drawn else (lambda *shape: torch.full(shape, 0.3))
        self.u, self.i = nn.Parameter(start(30, 12)), nn.Parameter(start(25, 12))

    def forward(self, u: Tensor, i: Tensor) -> Tensor:
        return (self.u[u] * self.i[i]).sum(1)
