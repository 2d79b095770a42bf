"""Cures of numbers outside a domain, of norms without an epsilon, of rows without an alignment and of flat generators."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import treat
from photic.diagnosis.graph import Graph
from photic.remedies.functions import Differentiated, Floored
from photic.remedies.registry import remedies
from tests.diagnosis.held import BATCHES, asked
from tests.diagnosis.test_highest_loss import body, copies, direct, steep


def cure(build: Any, batches: Any, loss: Any = F.cross_entropy, *, steps: int = 120) -> str:
    def adam(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=1e-2)

    return treat(build, batches, loss, optimizer=adam, steps=steps, workers=1, seeds=(0,)).remedy


def prescribed(remedy: str, model: nn.Module, batches: Any, loss: Any = F.cross_entropy) -> Any:
    run = asked(model, batches, loss, steps=20).run
    return next(one for one in remedies() if one.name == remedy).prescribe(Graph.of(run))


class Angles(nn.Module):
    """Scores through an inverse hyperbolic tangent, of numbers times a scale; 0.01 keeps them inside its domain."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head, self.scale = nn.Linear(16, 32), nn.Linear(32, 4), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.atanh(self.scale * self.first(x)))


class Spread(nn.Module):
    """Mean and deviation of what is asked for, the deviation as a layer gives it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.both = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)


def likelihood(output: Tensor, target: Tensor) -> Tensor:
    mean, sigma = output.unbind(1)
    return (torch.log(sigma) + 0.5 * (target - mean).square()).mean()


def numbers() -> list[tuple[Tensor, Tensor]]:
    return [(x, x[:, 0] + 0.1 * x[:, 1]) for x, _ in BATCHES]


class Unit(torch.autograd.Function):
    """Rows of length 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        inverse = (x.square().mean(-1, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward(x * inverse, inverse)
        return x * inverse

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        out, inverse = ctx.saved_tensors
        return inverse * (grad - out * (grad * out).mean(-1, keepdim=True)), None


class Rows(nn.Module):
    """Rows of length 1 before a layer; some rows are nothing but 0."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.eps, self.layers = eps, nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(Unit.apply(x.requires_grad_() if not x.requires_grad else x, self.eps))


def silent_rows() -> list[tuple[Tensor, Tensor]]:
    return [(x * (torch.arange(len(x)) > 1).float()[:, None], y) for x, y in BATCHES]


class Frames(nn.Module):
    """Log shares of a blank and three letters, for each of so many frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frames, self.out = frames, nn.Linear(16, 4 * frames)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x).view(len(x), self.frames, 4).transpose(0, 1).log_softmax(-1)


def letters(output: Tensor, target: Tensor) -> Tensor:
    rows = output.shape[1]
    count = torch.where(torch.arange(rows) % 4 == 0, 4, 2)
    spelt = torch.stack([1 + target % 3, 1 + (target + 1) % 3, 1 + target % 3, 1 + (target + 1) % 3], 1)
    return F.ctc_loss(output, spelt, torch.full((rows,), output.shape[0]), count)


def test_what_lies_outside_of_the_domain_is_mapped_into_it() -> None:
    assert cure(lambda: Angles(4.0), BATCHES) == "mapped-argument"
    assert cure(Spread, numbers(), likelihood) == "positive-scale"  # for all that take it
    assert isinstance(prescribed("mapped-argument", Angles(0.01), BATCHES), str)


def test_a_function_that_divides_by_nothing_is_given_an_epsilon() -> None:
    assert cure(lambda: Rows(0.0), silent_rows()) == "floored-function"
    assert isinstance(prescribed("floored-function", Rows(1e-5), silent_rows()), str)
    assert isinstance(prescribed("floored-function", Angles(4.0), BATCHES), str)


def test_only_the_named_functions_are_called_in_another_way() -> None:
    x = torch.zeros(1, 4, requires_grad=True)
    assert not bool(Floored(lambda: Unit.apply(x, 0.0), {"Unit": 1e-5})().isnan().any())
    assert bool(Floored(lambda: Unit.apply(x, 0.0), {"Other": 1e-5})().isnan().all())
    y = torch.ones(1, 4, requires_grad=True)
    assert Differentiated(lambda: Unit.apply(y, 0.0), ("Unit",))().grad_fn.name() == "MulBackward0"
    assert Unit.apply(y, 0.0).grad_fn.name() == "UnitBackward"


def test_rows_that_no_alignment_fits_count_nothing() -> None:
    assert cure(lambda: Frames(3), BATCHES, letters) == "unaligned-rows"
    assert isinstance(prescribed("unaligned-rows", Frames(8), BATCHES, letters), str)


def test_a_flat_softplus_is_turned_round() -> None:
    assert cure(body, copies(), direct) == "flipped-curve"
    assert isinstance(prescribed("flipped-curve", body(), copies(), steep), str)
