"""Networks in which one operation makes all examples of a batch the same, and others that only do something like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.diagnosis.held import BATCHES


class Front(nn.Module):
    """Two layers on what a function makes of the input."""

    def __init__(self, front: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front, self.layers = front, nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.front(x))


def whole(x: Tensor) -> Tensor:
    return (0.05 * x).round()


def cast(x: Tensor) -> Tensor:
    return (0.05 * x).to(torch.int32).float()


def floored(x: Tensor) -> Tensor:
    return (x - 6.0).clamp(min=0.0)


def within(x: Tensor) -> Tensor:
    return x.clamp(-1.0, 1.0)


def finely(x: Tensor) -> Tensor:
    return (20.0 * x).round() / 20.0


def itself(x: Tensor) -> Tensor:
    return x


class OneNumber(nn.Module):
    """A normalisation over the last axis of [batch, 16, 1], or over the 16 places."""

    def __init__(self, *, places: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm([16, 1] if places else [1])
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.norm(x[..., None]))


class Twice(nn.Module):
    """The distance of two codes: of both halves of the input, or of one half and itself."""

    def __init__(self, other: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code, self.head, self.other = nn.Linear(8, 24), nn.Linear(24, 4), other

    def forward(self, x: Tensor) -> Tensor:
        halves = x.view(-1, 2, 8)
        return self.head((self.code(halves[:, 0]) - self.code(halves[:, self.other])).abs())


class Pooled(nn.Module):
    """A code of each example and the mean of all; the head is given both, or the mean alone."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code, self.head, self.both = nn.Linear(16, 32), nn.Linear(32, 4), both

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.code(x))
        mean = h.mean(0, keepdim=True).expand(len(x), -1)
        return self.head(h - mean if self.both else mean)


class Dead(nn.Module):
    """A ReLU whose bias keeps all units at 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(16, 32), nn.Linear(32, 4)
        nn.init.constant_(self.first.bias, -30.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x)))


class Reader(nn.Module):
    """One query reads the words of a padded sentence; written out, with torch's attention, or with its fused one."""

    def __init__(self, how: str, *, turned: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.query = nn.Embedding(9, 16), nn.Parameter(torch.randn(1, 1, 16))
        self.attention, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 4)
        self.how, self.turned = how, turned

    def forward(self, tokens: Tensor) -> Tensor:
        x, query = self.words(tokens), self.query.expand(len(tokens), -1, -1)
        left_out = tokens.ne(0) if self.turned else tokens.eq(0)
        if self.how == "written":
            scores = (query @ x.transpose(1, 2)).masked_fill(left_out[:, None], -torch.inf)
            return self.head((scores.softmax(-1) @ x)[:, 0])
        weighed = self.how == "weighed"
        return self.head(self.attention(query, x, x, key_padding_mask=left_out, need_weights=weighed)[0][:, 0])


def sentences() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(60):
        topic = torch.randint(4, (32,), generator=generator)
        own = torch.rand(32, 8, generator=generator) < 0.7
        words = torch.where(
            own, 1 + 2 * topic[:, None] + torch.randint(2, (32, 8), generator=generator),
            torch.randint(1, 9, (32, 8), generator=generator),
        )  # fmt: skip
        length = torch.randint(3, 7, (32, 1), generator=generator)
        yield words * (torch.arange(8)[None] < length), topic


def pairs() -> Iterator[Any]:
    """Two halves; the class says how far apart they are."""
    for x, _ in BATCHES:
        apart = (x.view(-1, 2, 8)[:, 0] - x.view(-1, 2, 8)[:, 1]).square().sum(1)
        yield x, torch.bucketize(apart, torch.tensor([10.0, 15.0, 20.0]))
