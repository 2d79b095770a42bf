"""The assertion passes on healthy networks and says on sick ones what a user needs."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import nn

from photic.testing import assert_gradients_flow
from tests import zoo


@pytest.mark.parametrize("name", ["relu-he-8", "lora", "cnn-batch-norm", "transformer-pre"])
def test_it_passes_on_a_healthy_network(name: str) -> None:
    build, batch, loss = zoo.HEALTHY[name]
    assert_gradients_flow(zoo.seeded(build), batch, loss)


def test_it_fails_with_place_reason_and_advice() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_gradients_flow(zoo.seeded(zoo.Mlp), zoo.vectors(), F.cross_entropy)
    text = str(caught.value)
    assert "reaches 2 of 11 layers" in text and "vanishing-gradient at /sigmoid#1" in text
    assert "slope is at most 0.25" in text and "do: Replace sigmoid" in text and "zoo.py:" in text


def test_what_is_ignored_does_not_fail() -> None:
    assert_gradients_flow(zoo.seeded(zoo.Mlp), zoo.vectors(), F.cross_entropy, ignore=("vanishing-gradient",))


def test_a_forward_that_raises_fails_the_assertion() -> None:
    with pytest.raises(AssertionError, match="could not be run: RuntimeError in 0"):
        assert_gradients_flow(nn.Sequential(nn.Linear(3, 3)), zoo.vectors(), F.cross_entropy)
