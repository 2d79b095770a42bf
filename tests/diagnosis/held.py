"""Networks that a scale, a factor or a number holds where they start, others that only look so, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import check
from photic.records.findings import Checkup

draw = torch.Generator().manual_seed(5)

TEACHER = torch.randn(16, 4, generator=draw)

BATCHES = [(x, (x @ TEACHER).argmax(1)) for x in (torch.randn(32, 16, generator=draw) for _ in range(40))]


def classes(scale: float = 1.0) -> Callable[[], Iterator[Any]]:
    return lambda: iter([(scale * x, y) for x, y in BATCHES])


def asked(
    model: nn.Module,
    batches: Any = None,
    loss: Any = F.cross_entropy,
    *,
    rate: float = 1e-2,
    steps: int | None = None,
) -> Checkup:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    return check(model, classes() if batches is None else batches, loss, optimizer, steps=steps)


def alarms(checkup: Checkup) -> list[str]:
    return [finding.problem for finding in checkup.findings if finding.severity != "info"]


class Branch(nn.Module):
    """A plain layer and a branch beside it, times a factor."""

    def __init__(self, factor: float, *, learned: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.branch, self.head = nn.Linear(16, 2), nn.Linear(16, 32), nn.Linear(32, 4)
        self.up = nn.Linear(2, 4)
        self.factor: Any = nn.Parameter(torch.tensor(factor)) if learned else factor

    def gate(self) -> Any:
        return self.factor

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.way(x)) + self.gate() * self.head(torch.relu(self.branch(x)))


class Cut(Branch):
    def gate(self) -> Any:
        return torch.relu(self.factor)


class LeftOut(Branch):
    """Stochastic depth: the branch is there in every third step."""

    turn = 0

    def gate(self) -> Any:
        self.turn += 1
        return float(self.turn % 3 == 2)


def shuffled() -> Iterator[Any]:
    """The classes of an exclusive or, of which a linear way learns nothing."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(80):
        x = torch.randn(64, 16, generator=generator)
        yield x, 2 * (x[:, 0] > 0).long() + (x[:, 1] * x[:, 2] > 0).long()


class Corrected(nn.Module):
    """A frozen layer and a correction of low rank beside it."""

    def __init__(self, scaling: float, *, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(16, 4).requires_grad_(False)
        self.first = nn.Parameter(torch.zeros(16, 2) if both else torch.randn(16, 2) / 4.0)
        self.second, self.scaling = nn.Parameter(torch.zeros(2, 4)), scaling

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scaling * (x @ self.first @ self.second)


class Threshold(nn.Module):
    """The larger of the signal and a learned threshold, in the place of a ReLU."""

    def __init__(self, tau: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.above = nn.Linear(16, 32), nn.Linear(32, 4)
        self.tau, self.shift = nn.Parameter(torch.full((32,), tau)), nn.Parameter(torch.zeros(1, 32))

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.max(self.below(x) + self.shift, self.tau))


class Normalised(nn.Module):
    """Two layers with a normalisation between them, torch's or written out."""

    def __init__(self, kind: str, eps: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.above, self.kind, self.eps = nn.Linear(16, 32, bias=False), nn.Linear(32, 4), kind, eps
        self.norm: nn.Module = nn.Identity()
        if kind in ("batch", "layer"):
            self.norm = nn.BatchNorm1d(32, eps=eps) if kind == "batch" else nn.LayerNorm(32, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x)
        if self.kind == "length":
            h = 6.0 * F.normalize(h, dim=-1, eps=self.eps)
        elif self.kind == "root":
            h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + self.eps)
        return self.above(torch.tanh(self.norm(h)))


KINDS = ("batch", "layer", "length", "root")

SICK = {"batch": 1e-5, "layer": 1e-5, "length": 1e-3, "root": 1e-6}


class ByHand(nn.Module):
    """Codes of length 1, written out, and a head."""

    def __init__(self, *, divided: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.above, self.divided = nn.Linear(16, 32, bias=False), nn.Linear(32, 4), divided

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x)
        if self.divided:
            centred = h - h.mean(-1, keepdim=True)
            h = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-20).sqrt()
        return self.above(h)


class Products(nn.Module):
    """Layers written out with matrices of their own."""

    def __init__(self, start: Callable[[int, int], Tensor], *, positive: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ws = nn.ParameterList([nn.Parameter(start(a, b)) for a, b in ((16, 64), (64, 64), (64, 4))])
        self.positive = positive

    def forward(self, x: Tensor) -> Tensor:
        for index, w in enumerate(self.ws):
            x = x @ (w.exp() if self.positive else w)
            x = torch.relu(x) if index < 2 else x
        return x


def normal(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns)


def scaled(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) * (2.0 / rows) ** 0.5


def positive(rows: int, columns: int) -> Tensor:
    return torch.rand(rows, columns)


def numbers() -> Iterator[Any]:
    return iter([(x, torch.tanh(x @ TEACHER)) for x, _ in BATCHES])


class Tables(nn.Module):
    """A factorisation: the product of two rows."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = nn.Embedding(20, 256), nn.Embedding(20, 256)
        for table in (self.one, self.other):
            nn.init.normal_(table.weight, std=deviation)

    def forward(self, pair: Tensor) -> Tensor:
        return (self.one(pair[:, 0]) * self.other(pair[:, 1])).sum(1)


def pairs() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(20, 3, generator=generator) @ torch.randn(3, 20, generator=generator)
    for _ in range(60):
        pair = torch.randint(20, (64, 2), generator=generator)
        yield pair, table[pair[:, 0], pair[:, 1]]


class Codes(nn.Module):
    """Two codes of length 1, each of one half."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = (nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.one(x[:, :8]), dim=-1), F.normalize(self.other(x[:, 8:]), dim=-1)


def matching(factor: float) -> Callable[[Any, Any], Tensor]:
    def loss(output: tuple[Tensor, Tensor], _: Any) -> Tensor:
        return F.cross_entropy(factor * (output[0] @ output[1].T), torch.arange(len(output[0])))

    return loss


def halves() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(2)
    for _ in range(60):
        half = torch.randn(48, 8, generator=generator)
        yield torch.cat([half, half.flip(1)], 1), torch.zeros(48)


def welsch(scale: float) -> Callable[[Any, Any], Tensor]:
    return lambda output, target: (1.0 - torch.exp(-(output - target).square().sum(1) / (2.0 * scale**2))).mean()


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))


def noise() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(4)
    return iter([(x, torch.randn(32, 4, generator=generator)) for x, _ in BATCHES])


def sure(bias: float) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    nn.init.constant_(model[2].bias, bias)  # pyright: ignore[reportArgumentType]
    return model


def seldom() -> Iterator[Any]:
    return iter([(x, (x[:, :1] > 1.0).float()) for x, _ in BATCHES])


class Snakes(nn.Module):
    """x + sin(a x)^2 / a over many layers, with the logarithm of a learned."""

    def __init__(self, logarithm: float, *, depth: int = 12, encoded: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(2 if i == 0 else 24, 24) for i in range(depth)])
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        self.log_a = nn.Parameter(torch.full((24,), logarithm))
        self.head, self.encoded = nn.Linear(24, 1), encoded

    def forward(self, x: Tensor) -> Tensor:
        if self.encoded:
            x = torch.sin(200.0 * x)
        for layer in self.layers:
            x = layer(x)
            a = self.log_a.exp()
            x = x + torch.sin(a * x).square() / a
        return self.head(x)


def field() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(6)
    for _ in range(60):
        x = 2.0 * torch.rand(64, 2, generator=generator) - 1.0
        yield x, 1.6 * torch.sin(3.0 * x[:, :1]) * torch.cos(2.0 * x[:, 1:])


def waves() -> Iterator[Any]:
    return ((x, torch.sin(200.0 * x[:, :1])) for x, _ in field())


class Factors(nn.Module):
    """Users times items, and a head that tells the factors apart or none."""

    def __init__(self, start: Callable[[int, int], Tensor], *, head: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Embedding.from_pretrained(start(20, 8), freeze=False)
        self.other = nn.Embedding.from_pretrained(start(20, 8), freeze=False)
        self.head = nn.Linear(8, 1) if head else None

    def forward(self, pair: Tensor) -> Tensor:
        both = self.one(pair[:, 0]) * self.other(pair[:, 1])
        return both.sum(1) if self.head is None else self.head(both)[:, 0]


def alike(rows: int, columns: int) -> Tensor:
    return torch.full((rows, columns), 0.3)


def drawn(rows: int, columns: int) -> Tensor:
    return 0.3 * torch.randn(rows, columns)
