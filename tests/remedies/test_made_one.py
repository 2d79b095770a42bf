"""Cures of operations that make all examples of a batch one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import check, treat
from photic.diagnosis.graph import Graph
from photic.remedies.masks import opposite
from photic.remedies.registry import remedies
from tests.diagnosis.held import asked, classes
from tests.diagnosis.made_one import (
    Front,
    OneNumber,
    Pooled,
    Reader,
    Twice,
    cast,
    floored,
    itself,
    pairs,
    sentences,
    whole,
)


def cure(build: Any, batches: Any = None) -> str:
    return treat(
        build,
        classes() if batches is None else batches,
        F.cross_entropy,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        steps=120,
        workers=1,
        seeds=(0,),
    ).remedy


def prescribed(remedy: str, model: nn.Module, batches: Any = None) -> Any:
    run = asked(model, batches, steps=20).run
    return next(one for one in remedies() if one.name == remedy).prescribe(Graph.of(run))


@pytest.mark.parametrize("front", [cast, floored, whole])
def test_a_rounding_or_a_limit_that_holds_nothing_is_left_out(front: Any) -> None:
    assert cure(lambda: Front(front)) in ("left-out", "scaled-rounding")  # of a cast either takes the cause away


def test_a_normalisation_over_one_number_is_left_out() -> None:
    assert cure(lambda: OneNumber(places=False)) == "left-out"


@pytest.mark.parametrize("how", ["written", "weighed", "fused"])
def test_a_mask_the_wrong_way_round_is_turned(how: str) -> None:
    assert cure(lambda: Reader(how, turned=True), sentences) == "turned-mask"


def test_an_entry_that_is_read_twice_is_read_once() -> None:
    assert cure(lambda: Twice(0), pairs) == "other-entry"
    assert isinstance(prescribed("other-entry", Twice(1), pairs), str)
    assert isinstance(prescribed("other-entry", Pooled(both=False)), str)


def test_they_refuse_what_tells_examples_apart_and_what_they_cannot_change() -> None:
    assert isinstance(prescribed("left-out", Front(itself)), str)
    assert isinstance(prescribed("turned-mask", Reader("written", turned=False), sentences), str)
    assert isinstance(prescribed("left-out", Pooled(both=False)), str)
    assert isinstance(prescribed("turned-mask", Front(cast)), str)


def test_the_opposite_of_a_mask() -> None:
    assert torch.equal(opposite(torch.tensor([True, False])), torch.tensor([False, True]))
    assert torch.equal(opposite(torch.tensor([0.0, -torch.inf])), torch.tensor([-torch.inf, 0.0]))
    slopes = torch.tensor([0.0, -0.5])  # a bias of positions is no mask
    assert opposite(slopes) is slopes


class Factors(nn.Module):
    """A factorisation machine; the sum of squares is by mistake another square of the sum, and nothing is left of the difference."""

    def __init__(self, *, squared: bool) -> None:
        super().__init__()
        self.table, self.bias, self.squared = nn.Embedding(16, 4), nn.Parameter(torch.zeros(())), squared

    def forward(self, x: Tensor) -> Tensor:
        e = self.table(x)
        whole = e.sum(1).pow(2)
        single = e.pow(2).sum(1) if self.squared else e.sum(1).pow(2)
        return self.bias + (whole - single).sum(1)


def test_a_difference_of_the_same_is_left_out() -> None:
    batches: list[Any] = []
    for seed in range(20):
        x = torch.randint(16, (32, 2), generator=torch.Generator().manual_seed(seed))
        batches.append((x, ((x[:, 0] < 8) == (x[:, 1] < 8)).float()))
    treatment = treat(
        lambda: Factors(squared=False),
        batches,
        F.binary_cross_entropy_with_logits,
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-2),
        steps=100,
        workers=1,
    )
    assert treatment.record.before.findings[0].problem == "idle-layer"
    assert treatment.remedy == "left-out", treatment.report()
    healthy = Graph.of(check(Factors(squared=True), batches, F.binary_cross_entropy_with_logits).run)
    assert isinstance(next(one for one in remedies() if one.name == "left-out").prescribe(healthy), str)
