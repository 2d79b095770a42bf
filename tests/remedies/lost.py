"""Networks that lose their gradient, their numbers or their state on the way, and batches for them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

draw = torch.Generator().manual_seed(0)
TEACHER = torch.randn(16, 4, generator=draw)
BATCHES = [(x, (x @ TEACHER).argmax(1)) for x in (torch.randn(32, 16, generator=draw) for _ in range(40))]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


class Layers(nn.Module):
    """Two layers, with something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(16, 32), nn.Linear(32, 4)

    def between(self, x: Tensor) -> Tensor:
        return torch.relu(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.between(self.below(x)))


class ThroughNumpy(Layers):
    def between(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.relu().detach().cpu().numpy())


class Standardised(Layers):
    def between(self, x: Tensor) -> Tensor:
        outside = x.detach().numpy()
        return torch.from_numpy((outside - outside.mean(0)) / outside.std(0))


class Bells(nn.Module):
    """Radial basis functions, far narrower than the examples lie apart."""

    def __init__(self) -> None:
        super().__init__()
        self.centres, self.above = nn.Parameter(torch.randn(64, 16)), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.exp(-20.0 * (x[:, None] - self.centres).square().sum(-1)))


class Exponential(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = [16, 64, 64, 64, 4]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.exp(layer(x))
        return self.layers[-1](x)


class Angles(Layers):
    def between(self, x: Tensor) -> Tensor:
        return torch.acos(x.clamp(-1.0, 1.0) * 1.0)


class Divided(Layers):
    def between(self, x: Tensor) -> Tensor:
        positive = torch.relu(x - 1.5)
        return positive / positive.sum(1, keepdim=True)


class ToWhole(Layers):
    def between(self, x: Tensor) -> Tensor:
        return (8.0 * x).to(torch.int8).float() / 8.0


class OneOfMany(Layers):
    def between(self, x: Tensor) -> Tensor:
        return F.one_hot(x.argmax(1), 32).float()


class TwoNumbers(Layers):
    def between(self, x: Tensor) -> Tensor:
        return torch.where(x > 0.0, 1.0, -1.0)


class MadeAnew(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.above = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.relu(nn.Linear(16, 32)(x)))


class PlainTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = (0.2 * torch.randn(16, 32)).requires_grad_()
        self.above = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.relu(x @ self.weight))


class OneKey(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scores, self.above = nn.Linear(16, 1), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.above((self.scores(x).softmax(-1) * x).sum(1))


class OneKeyInTurns(nn.Module):
    """The same softmax in each turn of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.step, self.above = nn.Linear(32, 1), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        read = x.mean(1)
        for _ in range(3):
            asked = torch.cat([x, self.step(read)[:, None].expand_as(x)], -1)
            read = (self.scores(asked).softmax(-1) * x).sum(1)
        return self.above(read)


def all_alike() -> nn.Module:
    model = nn.Sequential(nn.Embedding(20, 16), nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 4))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.05)
    return model


def words() -> list[tuple[Tensor, Tensor]]:
    table = torch.randn(20, 4, generator=draw)
    drawn = [torch.randint(0, 20, (32, 4), generator=draw) for _ in range(40)]
    return [(x, table[x].sum(1).argmax(1)) for x in drawn]


def marked() -> list[tuple[Tensor, Tensor]]:
    """One of five rows is large, and its class is that of its sign pattern."""
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(40):
        x = torch.randn(32, 5, 16, generator=draw)
        place = torch.randint(0, 5, (32,), generator=draw)
        x[torch.arange(32), place, 0] += 6.0
        batches.append((x, (x[torch.arange(32), place] @ TEACHER).argmax(1)))
    return batches


class Loop(nn.Module):
    """A recurrence that is written out, of a matrix or of factors, too small to keep anything."""

    def __init__(self, *, matrix: bool) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(4, 32), nn.Linear(32, 4)
        self.step = nn.Parameter(0.03 * torch.randn(32, 32) if matrix else 0.3 * torch.rand(32))

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 32)
        for now in x.unbind(1):
            kept = state @ self.step if self.step.ndim == 2 else state * self.step
            state = torch.tanh(self.enter(now) + kept) if self.step.ndim == 2 else self.enter(now) + kept
        return self.leave(state)


def first_of_many() -> list[tuple[Tensor, Tensor]]:
    """The class is said by the first of twenty entries."""
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(40):
        y = torch.randint(0, 4, (32,), generator=draw)
        x = 0.3 * torch.randn(32, 20, 4, generator=draw)
        x[:, 0] += 2.0 * F.one_hot(y, 4)
        batches.append((x, y))
    return batches


class Weighed(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.ones(2))


def weighed(output: Tensor, targets: Tensor, model: Any = None) -> Tensor:
    errors = torch.stack([F.cross_entropy(output, targets), output.square().mean()])
    return (model.shares * errors).sum()


class Adaptive(torch.optim.SGD):
    """Clips by itself, to next to nothing, before torch's own step."""

    def step(self, closure: Any = None) -> Any:
        nothing = 1e-6
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.norm() > nothing:
                    parameter.grad.mul_(nothing / parameter.grad.norm())
        return super().step(closure)


def wrong_sign(output: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(output, targets)
