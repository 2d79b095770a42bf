"""Networks that go along the wrong axis, or pass a part of themselves by, and the same as they are meant; batches for them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.diagnosis.late_and_alike import Batches, generator


class Sorted(nn.Module):
    """Points sorted by each coordinate, along their own axis or along the batch."""

    def __init__(self, *, wrong: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.out, self.axis = nn.Linear(24, 3), 0 if wrong else 1

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.sort(dim=self.axis).values.flatten(1))


def clouds() -> tuple[Batches, Any]:
    drawn = [torch.randn(24, 8, 3, generator=generator(seed)) for seed in range(8)]
    return [(x, x.std(1).argmax(1)) for x in drawn], F.cross_entropy


class Map(nn.Module):
    """A class for every place of a picture, from rows of channels."""

    def __init__(self, *, wrong: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.out, self.wrong = nn.Conv2d(2, 6, 3, padding=1), nn.Linear(6, 3), wrong

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(x))
        return self.out((h if self.wrong else h.permute(0, 2, 3, 1)).reshape(-1, 6))


def maps() -> tuple[Batches, Any]:
    drawn = [torch.randn(8, 2, 5, 5, generator=generator(seed)) for seed in range(8)]
    return [(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()) for x in drawn], lambda o, y: F.cross_entropy(
        o, y.flatten()
    )


class Experts(nn.Module):
    """The best of four experts, times its share: of all, or of itself alone."""

    def __init__(self, *, wrong: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.router, self.experts, self.wrong = nn.Linear(6, 4), nn.Parameter(torch.randn(4, 6, 3) / 3), wrong

    def forward(self, x: Tensor) -> Tensor:
        scores = self.router(x)
        best, index = (scores if self.wrong else scores.softmax(-1)).topk(1, -1)
        share = best.softmax(-1) if self.wrong else best
        return share * torch.einsum("bi,bio->bo", x, self.experts[index[:, 0]])


def tariffs() -> tuple[Batches, Any]:
    drawn = [torch.randn(64, 6, generator=generator(seed)) for seed in range(8)]
    return [(x, (x[:, :3].abs() + x[:, 3:]).argmax(1)) for x in drawn], F.cross_entropy


class Crowd(nn.Module):
    """Each looks at the others, or at itself alone."""

    def __init__(self, *, wrong: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out, self.wrong = *(nn.Linear(6, 6) for _ in range(3)), nn.Linear(12, 2), wrong

    def forward(self, x: Tensor) -> Tensor:
        own = torch.eye(x.shape[1], dtype=torch.bool)
        scores = self.q(x) @ self.k(x).transpose(1, 2)
        seen = scores.masked_fill(~own if self.wrong else own, float("-inf")).softmax(-1) @ self.v(x)
        return self.out(torch.cat([x, seen], -1))


def crowds() -> tuple[Batches, Any]:
    drawn = [torch.randn(24, 5, 6, generator=generator(seed)) for seed in range(8)]
    return [(x, (x.sum(1, keepdim=True) - x)[..., :2] / 2) for x in drawn], F.mse_loss


class Tower(nn.Module):
    """Two towers side by side, of which a slice keeps the first alone."""

    def __init__(self, *, wrong: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mlp, self.gmf, self.kept = nn.Linear(6, 8), nn.Linear(6, 8), 8 if wrong else 16
        self.out = nn.Linear(self.kept, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep = torch.relu(self.mlp(x))
        return self.out(torch.cat([self.gmf(0.01 * x), deep], 1)[:, : self.kept]).squeeze(1)


def ratings() -> tuple[Batches, Any]:
    drawn = [torch.randn(48, 6, generator=generator(seed)) for seed in range(8)]
    return [(x, x[:, 0].abs() + x[:, 1]) for x in drawn], F.mse_loss


class Curve(nn.Module):
    """A cell in a loop, whose state is made before it, or anew at each turn."""

    def __init__(self, *, wrong: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head, self.wrong = nn.LSTMCell(2, 12), nn.Linear(12, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        state = (x.new_zeros(len(x), 12), x.new_zeros(len(x), 12))
        told: list[Tensor] = []
        for t in range(x.shape[1]):
            if self.wrong:
                state = (x.new_zeros(len(x), 12), x.new_zeros(len(x), 12))
            state = self.cell(x[:, t], state)
            told.append(self.head(state[0]))
        return torch.cat(told, 1)


def curves() -> tuple[Batches, Any]:
    drawn = [torch.randn(24, 8, 2, generator=generator(seed)) for seed in range(8)]
    return [(x, x[..., 0].cumsum(1) / 3) for x in drawn], F.mse_loss
