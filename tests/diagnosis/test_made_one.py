"""Operations that make all examples of a batch one are named, and what only looks like them is not."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from photic.records.findings import Checkup
from tests.diagnosis.held import alarms, asked
from tests.diagnosis.made_one import (
    Dead,
    Front,
    OneNumber,
    Pooled,
    Reader,
    Twice,
    cast,
    finely,
    floored,
    itself,
    pairs,
    sentences,
    whole,
    within,
)


def named(checkup: Checkup) -> tuple[str, ...]:
    return next(f for f in checkup.findings if f.problem == "class-prior-only" and f.severity == "critical").sites


@pytest.mark.parametrize(
    ("model", "batches", "site"),
    [
        (Front(whole), None, "/round#1"),
        (Front(cast), None, "/to#1"),
        (Front(floored), None, "/clamp#1"),
        (OneNumber(places=False), None, "norm"),
        (Twice(0), pairs, "/sub#1"),
        (Pooled(both=False), None, "/mean#1"),
        (Reader("written", turned=True), sentences, "/softmax#1"),
        (Reader("weighed", turned=True), sentences, "attention/softmax#1"),
    ],
)
def test_what_makes_all_examples_one_is_named_and_nothing_else_is_found(
    model: nn.Module, batches: Any, site: str
) -> None:
    found = asked(model, batches)
    assert alarms(found) == ["class-prior-only"]
    assert named(found) == (site,)


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        (Front(itself), None),
        (Front(within), None),
        (Front(finely), None),
        (OneNumber(places=True), None),
        (Twice(1), pairs),
        (Pooled(both=True), None),
        (Reader("written", turned=False), sentences),
        (Reader("weighed", turned=False), sentences),
    ],
)
def test_what_keeps_the_examples_apart_is_not_accused(model: nn.Module, batches: Any) -> None:
    assert alarms(asked(model, batches)) == []


def test_a_last_layer_of_zeros_tells_nothing() -> None:
    model = Front(itself)
    nn.init.zeros_(model.layers[2].weight)  # pyright: ignore[reportArgumentType]
    assert alarms(asked(model)) == []


def test_dead_units_are_dead_units() -> None:
    assert alarms(asked(Dead()))[0] == "dead-units"
