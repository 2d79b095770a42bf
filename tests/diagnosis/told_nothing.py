"""Networks that end in inf or nan, that are told nothing of their batch, or whose state grows with time; and healthy ones like them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Stream = Callable[[], Iterator[Any]]


def stream(inputs: Tensor, targets: Tensor, size: int = 32) -> Stream:
    return lambda: iter(list(zip(inputs.split(size), targets.split(size), strict=True)))


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layers(entering: int, leaving: int, width: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(entering, width), nn.ReLU(), nn.Linear(width, leaving))


class Powers(nn.Module):
    """A learned power of each column, by way of a logarithm, and two layers."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.layers, self.power, self.floor = layers(8, 4), nn.Parameter(torch.ones(8)), floor

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((self.power * (x + self.floor).log()).exp())


def some_zeros() -> Iterator[Any]:
    x = torch.relu(torch.randn(1280, 8, generator=draws()))
    return stream(x, x[:, :4].argmax(1))()


def spread_out(ridge: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Minus the logarithm of the determinant of what four features of three examples give."""

    def loss(output: Tensor, _: Tensor) -> Tensor:
        rows = F.normalize(output, dim=1)[:3]
        return -torch.logdet(rows.T @ rows + ridge * torch.eye(output.shape[1]))

    return loss


class Divided(nn.Module):
    """What a layer makes, divided by a number that is drawn; one of 16 of them is 0."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.layers, self.least = layers(8, 4), least

    def forward(self, x: Tensor) -> Tensor:
        by = torch.linspace(0.0, 1.0, 16)[torch.randint(16, (len(x), 1))].clamp(min=self.least)
        return (x[:, :4] + 0.1 * self.layers(x)) / by


def columns() -> Iterator[Any]:
    x = torch.randn(1280, 8, generator=draws(1))
    return stream(x, x[:, :4])()


def rooted(top: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss whose slope is infinite where a probability is 1."""

    def loss(output: Tensor, target: Tensor) -> Tensor:
        p = output.softmax(1).gather(1, target[:, None]).clamp(1e-8, top)
        return -((1.0 - p) ** 0.5 * p.log()).mean()

    return loss


def apart() -> Iterator[Any]:
    y = torch.randint(4, (1280,), generator=draws(2))
    x = 2.0 * F.one_hot(y, 8).float() + 0.5 * torch.randn(1280, 8, generator=draws(3))
    return stream(x, y)()


class Masked(nn.Module):
    """A gated memory whose kept state, or what is read of it, is multiplied by one number or mask at every step."""

    def __init__(self, factor: float, *, of_state: bool, tensor: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gates, self.head, self.of_state = nn.Linear(4 + 16, 2 * 16), nn.Linear(16, 3), of_state
        self.factor: Any = torch.full((16,), factor) if tensor else factor

    def forward(self, x: Tensor) -> Tensor:
        c = h = x.new_zeros(len(x), 16)
        for step in x.unbind(1):
            i, z = self.gates(torch.cat([step, h], 1)).chunk(2, 1)
            c = c + torch.sigmoid(i) * torch.tanh(z)
            if self.of_state:
                c = c * self.factor
                h = torch.tanh(c)
            else:
                h = torch.tanh(c) * self.factor
        return self.head(c if self.of_state else h)


def first_of(length: int = 24) -> Stream:
    y = torch.randint(3, (1280,), generator=draws(4))
    x = 0.1 * torch.randn(1280, length, 4, generator=draws(5))
    x[:, 0, :3] += F.one_hot(y, 3).float()
    return stream(x, y)


class Chaos(nn.Module):
    """A rate from two numbers, and 24 turns of the logistic map; each turn begins at the last one, or at what was seen."""

    def __init__(self, *, free: bool) -> None:
        super().__init__()
        self.rate, self.free = layers(2, 1), free

    def forward(self, x: Tensor) -> Tensor:
        rate, seen = 3.3 + 0.7 * torch.sigmoid(self.rate(x[:, :2])[:, 0] + 1.5), x[:, 2:]
        n, told = seen[:, 0], []
        for turn in range(24):
            n = rate * n * (1.0 - n)
            told.append(n)
            n = n if self.free else seen[:, turn + 1]
        return torch.stack(told, 1)


def turns() -> Iterator[Any]:
    place = torch.randn(1280, 2, generator=draws(6))
    rate = 3.35 + 0.6 * torch.sigmoid(3.0 * place[:, 0])
    series = [0.2 + 0.6 * torch.rand(1280, generator=draws(7))]
    for _ in range(24):
        series.append(rate * series[-1] * (1.0 - series[-1]))
    seen = torch.stack(series, 1)
    return stream(torch.cat([place, seen], 1), seen[:, 1:])()


class Sum(torch.autograd.Function):
    """h = 0.5 h + u over time, with a backward that multiplies, or divides, by the half."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, factor: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.factor = factor
        states, h = [], torch.zeros_like(u[:, 0])
        for step in u.unbind(1):
            h = 0.5 * h + step
            states.append(h)
        return torch.stack(states, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        back, carried = [], torch.zeros_like(grads[0][:, 0])
        for g in grads[0].unbind(1)[::-1]:
            carried = ctx.factor * carried + g
            back.append(carried)
        return torch.stack(back[::-1], 1), None


class Summed(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.head, self.factor = nn.Linear(4, 16), nn.Linear(16, 4), factor

    def forward(self, x: Tensor) -> Tensor:
        held: Any = Sum.apply(self.enter(x), self.factor)
        return self.head(torch.tanh(held))


def delayed() -> Iterator[Any]:
    x = torch.randn(1280, 24, 4, generator=draws(8))
    y = x.clone()
    y[:, 1:] += 0.5 * x[:, :-1]
    return stream(x, torch.tanh(y))()


class Gates(nn.Module):
    """A loop whose layer is heard at its first steps alone: later ones are added in ever smaller parts."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.write, self.head, self.keep = nn.Linear(4, 16), nn.Linear(16, 3), keep

    def forward(self, x: Tensor) -> Tensor:
        c, part = self.write(x[:, 0]), 1.0
        for step in x[:, 1:].unbind(1):
            part = part * self.keep
            c = c + part * torch.tanh(self.write(step))
        return self.head(torch.tanh(c))


class Clock(nn.Module):
    """An hour, as a sine and a cosine, and two layers."""

    def __init__(self, period: float, *, beside: bool = False) -> None:
        super().__init__()
        self.layers, self.period, self.beside = layers(3 if beside else 2, 1), period, beside

    def forward(self, hour: Tensor) -> Tensor:
        turn = 6.283185307179586 * hour / self.period
        waves = [torch.sin(turn), torch.cos(turn)]
        return self.layers(torch.cat([*waves, hour / 24.0] if self.beside else waves, 1))


def hours() -> Iterator[Any]:
    hour = torch.randint(24, (1280, 1), generator=draws(9)).float()
    return stream(hour, torch.sin(6.283185307179586 * (hour - 5.0) / 24.0))()


class Noisy(nn.Module):
    """What enters, times a number, in noise, and two layers."""

    def __init__(self, signal: float) -> None:
        super().__init__()
        self.layers, self.signal = layers(8, 8), signal

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.signal * x + 0.5 * torch.randn_like(x))


def itself() -> Iterator[Any]:
    x = torch.randn(1280, 8, generator=draws(10))
    return stream(x, x)()


class Sized(nn.Module):
    """Points divided by how far they reach, or not, or with that given back."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layers, self.how = layers(8, 1), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "whole":
            return self.layers(x)
        far = x.abs().amax(1, keepdim=True)
        answer = self.layers(x / far)
        return answer * far if self.how == "given back" else answer


def sizes() -> Iterator[Any]:
    size = 0.5 + torch.rand(1280, 1, generator=draws(11))
    return stream(
        size * (2.0 * torch.rand(1280, 8, generator=draws(12)) - 1.0).sign() * torch.rand(1280, 8), (size - 1.0) / 0.29
    )()


class Places(nn.Module):
    """Whole numbers, divided by 8 with // or with /, and two layers."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.layers, self.whole = layers(2, 1), whole

    def forward(self, number: Tensor) -> Tensor:
        row, column = number // 8, number % 8
        at = [row // 8, column // 8] if self.whole else [row / 8, column / 8]
        return self.layers(torch.stack(at, 1).float())


def grid() -> Iterator[Any]:
    number = torch.arange(64).repeat(20)[torch.randperm(1280, generator=draws(13))]
    return stream(number, torch.sin(0.5 * (number // 8).float() + 0.3 * (number % 8))[:, None])()


class Blanks(nn.Module):
    """Words of which a share is masked, and a layer for each place."""

    def __init__(self, share: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head, self.share = nn.Embedding(9, 16), nn.Linear(16, 8), share

    def forward(self, text: Tensor) -> Tensor:
        text = text.masked_fill(torch.rand(text.shape) < self.share, 8)
        return self.head(torch.tanh(self.table(text))).transpose(1, 2)


def words() -> Iterator[Any]:
    text = torch.randint(8, (1280, 6), generator=draws(14))
    return stream(text, text)()


class Rows(nn.Module):
    """Numbers of rows in a table of floats, scaled or not, that are looked up."""

    def __init__(self, *, scaled: bool) -> None:
        super().__init__()
        self.table, self.layers, self.scaled = nn.Embedding(20, 8), layers(8, 1), scaled

    def forward(self, x: Tensor) -> Tensor:
        x = x / 20.0 if self.scaled else x
        return self.layers(self.table(x.long()[:, 0]))


def rows() -> Iterator[Any]:
    row, value = torch.randint(20, (1280, 1), generator=draws(15)), torch.randn(20, generator=draws(16))
    return stream(row.float(), value[row])()


class Causal(nn.Module):
    """A causal attention after a first token of its own, read at one place."""

    def __init__(self, place: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.table = nn.Parameter(torch.randn(16)), nn.Embedding(6, 16)
        self.qkv, self.head, self.place = nn.Linear(16, 48), nn.Linear(16, 3), place

    def forward(self, text: Tensor) -> Tensor:
        x = torch.cat([self.first.expand(len(text), 1, -1), self.table(text)], 1)
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = (q @ k.transpose(1, 2) / 4.0).masked_fill(torch.ones(9, 9, dtype=torch.bool).triu(1), -torch.inf)
        x = x + scores.softmax(-1) @ v
        return self.head(x[:, self.place])


def themes() -> Iterator[Any]:
    y = torch.randint(3, (1280,), generator=draws(17))
    own = 2 * y[:, None] + torch.randint(2, (1280, 8), generator=draws(18))
    text = torch.where(
        torch.rand(1280, 8, generator=draws(19)) < 0.6, own, torch.randint(6, (1280, 8), generator=draws(20))
    )
    return stream(text, y)()


class Coded(nn.Module):
    """Four numbers beside noise, of which the example is told again."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code, self.decoder = nn.Linear(8, 4), layers(4, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.code(x)
        return self.decoder(code + torch.randn_like(code)), code


def penalised(share: float) -> Callable[[tuple[Tensor, Tensor], Tensor], Tensor]:
    return lambda outputs, x: F.mse_loss(outputs[0], x) + share * outputs[1].pow(2).sum(1).mean()


def of_two() -> Iterator[Any]:
    x = torch.randn(1280, 2, generator=draws(21)) @ torch.randn(2, 8, generator=draws(22))
    return stream(x / x.std(), x / x.std())()
