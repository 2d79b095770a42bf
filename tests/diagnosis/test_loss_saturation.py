"""Probabilities where the loss wants logits, and everything that only looks like it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.findings import Finding
from tests import zoo
from tests.zoo import seeded


def findings(last: Callable[[Tensor], Tensor], loss: Any, *, units: int = 10, batch: Any = None) -> list[Finding]:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(64, 64), nn.Linear(64, units)

        def forward(self, x: Tensor) -> Tensor:
            return last(self.head(torch.tanh(self.hidden(x))))

    return list(photic.diagnose(photic.measure(seeded(Net), batch or zoo.vectors(), loss)).findings)


def binary() -> tuple[Tensor, Tensor]:
    x, y = zoo.vectors()
    return x, (y % 2).float()[:, None]


@pytest.mark.parametrize(
    ("last", "loss", "operation"),
    [
        (lambda z: z.softmax(1), F.cross_entropy, "softmax"),
        (lambda z: F.softmax(z, dim=-1).reshape(-1, 10), F.cross_entropy, "softmax"),
        (torch.sigmoid, F.cross_entropy, "sigmoid"),
        (lambda z: z.softmax(1), lambda p, y: F.nll_loss(p, y), "softmax"),
        (lambda z: z.softmax(1), lambda p, y: F.nll_loss(F.log_softmax(p, 1), y), "softmax"),
    ],
)
def test_a_second_softmax_is_named_at_the_first(last: Callable[[Tensor], Tensor], loss: Any, operation: str) -> None:
    (found,) = findings(last, loss)
    assert found.problem == "loss-saturation" and found.severity == "warning"
    assert found.sites == (f"/{operation}#1",)
    assert operation in found.advice


def test_a_sigmoid_before_the_with_logits_loss_is_named() -> None:
    (found,) = findings(torch.sigmoid, F.binary_cross_entropy_with_logits, units=1, batch=binary())
    assert (found.problem, found.sites) == ("loss-saturation", ("/sigmoid#1",))


def test_a_softmax_over_one_unit_is_critical() -> None:
    found = findings(lambda z: z.softmax(1), F.binary_cross_entropy, units=1, batch=binary())
    assert found[0].problem == "loss-saturation" and found[0].severity == "critical"


@pytest.mark.parametrize(
    ("last", "loss", "batch"),
    [
        (lambda z: z, F.cross_entropy, None),
        (lambda z: z.log_softmax(1), F.nll_loss, None),
        (lambda z: z.log_softmax(1), F.cross_entropy, None),
        (lambda z: z.softmax(1), lambda p, y: -(p[torch.arange(len(y)), y] + 1e-9).log().mean(), None),
    ],
)
def test_logits_and_their_equivalents_are_silent(last: Callable[[Tensor], Tensor], loss: Any, batch: Any) -> None:
    assert findings(last, loss, batch=batch) == []


@pytest.mark.parametrize(("classes", "sick"), [(10, True), (2, False)])
def test_scores_between_bounds_are_named_where_they_keep_the_loss_up(classes: int, sick: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, classes), nn.Tanh())
    run = photic.measure(model, (torch.randn(32, 8), torch.randint(0, classes, (32,))), F.cross_entropy)
    found = [finding for finding in photic.diagnose(run).findings if finding.problem == "loss-saturation"]
    assert bool(found) == sick
    if sick:
        assert found[0].sites == ("3",) and found[0].evidence[0].value == pytest.approx(
            math.log1p(9.0 * math.exp(-2.0))
        )


def test_a_sigmoid_before_the_plain_binary_loss_is_as_it_should_be() -> None:
    assert findings(torch.sigmoid, F.binary_cross_entropy, units=1, batch=binary()) == []


def test_a_teachers_soft_targets_are_no_second_softmax() -> None:
    teacher = seeded(lambda: nn.Linear(10, 10))

    def distilled(logits: Tensor, _: Tensor) -> Tensor:
        with torch.no_grad():
            soft = teacher(torch.randn(len(logits), 10)).softmax(1)
        return F.cross_entropy(logits, soft)

    assert findings(lambda z: z, distilled) == []
