"""Signals that grow by what no layer's weights tell: factors, plain sums, powers; stacks of matrices and looked-up tables too large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.diagnosis.powers import polynomial_modules
from photic.probes.audit import measure
from photic.records.findings import Checkup
from tests import zoo
from tests.zoo import seeded


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 3e-3)


def check(model: nn.Module, batches: Any, loss: Any, optimizer: Any) -> Checkup:
    return photic.check(model, batches, loss, optimizer)


def named(checkup: Checkup) -> list[str]:
    return [f.problem for f in checkup.findings if f.severity != "info"]


def digits() -> list[tuple[Tensor, Tensor]]:
    return [zoo.vectors(seed) for seed in range(4)]


class Mixed(nn.Module):
    """Layers of trained signs around a fixed mixing matrix, orthogonal or not normalised."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.factors = nn.ParameterList(torch.randn(64).sign() for _ in range(5))
        self.read = nn.Linear(64, 10)
        one = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        mix = one
        for _ in range(5):
            mix = torch.kron(mix, one)
        self.register_buffer("mix", mix * scale)

    def forward(self, x: Tensor) -> Tensor:
        for factor in self.factors:
            x = 1.36 * F.leaky_relu((factor * x) @ self.get_buffer("mix"), 0.3)
        return self.read(x)


class Summed(nn.Module):
    """Each layer reads the sum of all that was made before, or their mean over the root of their number."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.stem, self.head, self.plain = nn.Linear(64, 32), nn.Linear(32, 10), plain
        self.layers = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(16))
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        made = [torch.tanh(self.stem(x))]
        for layer in self.layers:
            total = torch.stack(made).sum(0)
            made.append(F.leaky_relu(layer(total if self.plain else total / len(made) ** 0.5), 0.3))
        return self.head(made[-1])


class Powers(nn.Module):
    """A layer of Legendre polynomials, by their recursion, of its input or of what a tanh leaves of it."""

    def __init__(self, before: int, after: int, *, bounded: bool, degree: int = 4) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(after, before * degree) / (before * degree) ** 0.5)
        self.bounded, self.degree = bounded, degree

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(x) if self.bounded else x
        made = [torch.ones_like(x), x]
        for k in range(1, self.degree):
            made.append(((2 * k + 1) * x * made[-1] - k * made[-2]) / (k + 1))
        return F.linear(torch.cat(made[1:], dim=-1), self.weights)


def powers(*, bounded: bool) -> nn.Module:
    return nn.Sequential(*(Powers(a, b, bounded=bounded) for a, b in ((3, 16), (16, 1))))


def formula() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(8, 64, 3, generator=torch.Generator().manual_seed(0))
    return [(one, torch.sin(2.0 * one[:, :1]) + one[:, 1:2] * one[:, 2:]) for one in x]


class Stacked(nn.Module):
    """Three networks side by side, a stack of matrices for each layer; `how` multiplies."""

    def __init__(self, fan: int, how: str = "einsum") -> None:
        super().__init__()
        shapes = [(3, 64, 96), (3, 96, 96), (3, 96, 10)]
        self.stacks = nn.ParameterList(torch.randn(shape) * (2.0 / (fan or shape[1])) ** 0.5 for shape in shapes)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        y = x.expand(3, *x.shape)
        for place, stack in enumerate(self.stacks):
            y = torch.relu(y) if place else y
            y = torch.einsum("mbi,mio->mbo", y, stack) if self.how == "einsum" else y @ stack
        return y.mean(0)


class Facts(nn.Module):
    """Vectors and matrices looked up by their numbers, and their bilinear form."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.things, self.relations = (
            nn.Parameter(spread * torch.randn(30, 40)),
            nn.Parameter(spread * torch.randn(3, 40, 40)),
        )

    def forward(self, rows: Tensor) -> Tensor:
        left, relation, right = rows.unbind(1)
        return torch.einsum("bi,bij,bj->b", self.things[left], self.relations[relation], self.things[right])


def triples() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randint(top, (6, 128), generator=draw) for top in (30, 3, 30)], dim=2)
    sides = torch.randn(30, generator=draw)
    return [(one, (sides[one[:, 0]] * sides[one[:, 2]] > 0.0).float()) for one in rows]


GROWN: dict[str, tuple[Callable[[bool], nn.Module], Callable[[], Any], Any, Any, str]] = {
    "factors": (lambda ill: Mixed(1.0 if ill else 0.125), digits, F.cross_entropy, sgd, "exploding-gradient"),
    "sums": (lambda ill: Summed(plain=ill), digits, F.cross_entropy, sgd, "exploding-gradient"),
    "powers": (lambda ill: powers(bounded=not ill), formula, F.mse_loss, adam, "exploding-gradient"),
    "stacks": (lambda ill: Stacked(3 if ill else 0), digits, F.cross_entropy, adam, "weights-too-large"),
    "batched": (lambda ill: Stacked(3 if ill else 0, "@"), digits, F.cross_entropy, adam, "weights-too-large"),
    "facts": (
        lambda ill: Facts(1.0 if ill else 40**-0.5), triples, F.binary_cross_entropy_with_logits, adam, "weights-too-large",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWN)
def test_what_grows_is_named_and_what_does_not_is_left(name: str) -> None:
    build, batches, loss, optimizer, problem = GROWN[name]
    ill = check(seeded(lambda: build(True)), batches(), loss, optimizer)
    assert named(ill)[:1] == [problem], ill.report()
    well = check(seeded(lambda: build(False)), batches(), loss, optimizer)
    assert not named(well), well.report()


@pytest.mark.parametrize("how", ["einsum", "@"])
def test_a_stack_of_matrices_has_the_facts_of_one_of_them(how: str) -> None:
    model = seeded(lambda: Stacked(0, how))
    run = measure(model, digits()[0], F.cross_entropy)
    facts = [reading.weight for reading in run.steps[0].sites if reading.weight is not None]
    assert [(f.fan_in, f.fan_out) for f in facts] == [(64, 96.0), (96, 96.0), (96, 10.0)]
    for fact, stack in zip(facts, [p.detach() for p in model.stacks], strict=True):
        assert fact.row_square_sum == pytest.approx(float(stack.square().mean()) * stack.shape[1], rel=1e-6)
        assert fact.row_sum_square == pytest.approx(float(stack.sum(1).square().mean()), rel=1e-6)


def test_powers_are_counted_within_a_module() -> None:
    graph = Graph.of(measure(seeded(lambda: powers(bounded=False)), formula()[0], F.mse_loss))
    assert [name for name, _ in polynomial_modules(graph)] == ["0", "1"]
    other = Graph.of(measure(seeded(lambda: zoo.Residual(4)), zoo.vectors(0), F.cross_entropy))
    assert polynomial_modules(other) == []
