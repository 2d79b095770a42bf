"""Networks whose answers say nothing, or stand in the wrong place, others that only look so, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Averaged(nn.Module):
    """Convolutions, a normalisation of each image, a mean over its places, and a head."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.last = nn.Conv1d(1, 16, 3), nn.Linear(16, 4), last
        self.norm = nn.InstanceNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x[:, None])
        h = self.norm(torch.relu(h)) if self.last else torch.relu(self.norm(h))
        return self.head(h.mean(-1))


def tones() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(80):
        y = torch.randint(4, (48,), generator=generator)
        speed = torch.tensor([0.3, 0.9, 1.6, 2.6])[y][:, None]
        yield torch.sin(speed * torch.arange(24) + 6.0 * torch.rand(48, 1, generator=generator)), y


class Recurrent(nn.Module):
    """A recurrent layer over signals [batch, time], and a head on its last step, or on all of them."""

    def __init__(self, kind: Callable[..., nn.Module] = nn.GRU, *, batch_first: bool, every: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = kind(1, 24, batch_first=batch_first), nn.Linear(24, 4)
        self.batch_first, self.every = batch_first, every

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x[..., None])[0]
        return self.head(out).flatten(0, 1) if self.every else self.head(out[:, -1])


class TimeFirst(Recurrent):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.t()[..., None])[0][-1])


class Ordered(nn.Module):
    """A recurrent classifier of padded rows that sorts them by their length, and puts the answers back or not."""

    def __init__(self, *, back: bool, sorts: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.layer = nn.Embedding(8, 16), nn.GRU(16, 24, batch_first=True)
        self.head, self.back, self.sorts = nn.Linear(24, 3), back, sorts

    def forward(self, tokens: Tensor) -> Tensor:
        lengths, order = (tokens > 0).sum(1).sort(descending=True)
        if not self.sorts:
            lengths, order = (tokens > 0).sum(1), torch.arange(len(tokens))
        rows = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens[order]), lengths, batch_first=True, enforce_sorted=self.sorts
        )
        logits = self.head(self.layer(rows)[1][-1])
        return logits[order.argsort()] if self.back else logits


def words() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(8)
    for _ in range(80):
        lengths = torch.randint(2, 9, (48,), generator=generator)
        text = torch.randint(4, 8, (48, 8), generator=generator)
        y = torch.randint(3, (48,), generator=generator)
        text[:, 0] = y + 1
        text[torch.arange(8) >= lengths[:, None]] = 0
        yield text, y


class Views(nn.Module):
    """Two noisy views, an encoder and a predictor; the goal is detached or not. A head that is trained beside looks on."""

    def __init__(self, *, stop: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
        self.predictor = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
        self.head, self.stop = nn.Linear(16, 4), stop

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if not self.training:
            return self.head(self.encoder(x))
        one, two = (self.encoder(x + 0.3 * torch.randn_like(x)) for _ in range(2))
        goal = two.detach() if self.stop else two
        return F.cosine_similarity(self.predictor(one), goal).mean(), self.head(one.detach())


def alike_and_named(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return 1.0 - output[0] + F.cross_entropy(output[1], target)


def weighted(power: float) -> Callable[[Any, Any], Tensor]:
    weight = torch.tensor([0.6, 0.25, 0.1, 0.05]) ** power
    return lambda output, target: F.cross_entropy(output, target, weight=weight / weight.sum())


def uneven() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(9)
    centres = 2.0 * torch.randn(4, 16, generator=generator)
    for _ in range(80):
        y = torch.multinomial(torch.tensor([0.6, 0.25, 0.1, 0.05]), 128, replacement=True, generator=generator)
        yield centres[y] + torch.randn(128, 16, generator=generator), y
