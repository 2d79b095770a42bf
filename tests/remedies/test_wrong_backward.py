"""A hand-written backward that is no derivative: torch's own cures it, alone or with what treats the network that is left."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import photic
from photic.diagnosis.graph import Graph
from tests.probes.test_own_functions import Net, as_it_comes, function, plainly, right, wrong
from tests.remedies.test_structure import CATALOGUE, cured, digits, healed
from tests.zoo import seeded


def test_the_derivative_of_the_forward_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured(
        "plain-function",
        monkeypatch,
        lambda: Net(function(plainly, wrong), 10, 32, 2.0),
        digits(),
        F.cross_entropy,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        steps=150,
    )
    assert healed(treatment)


def test_two_causes_are_cured_together() -> None:
    """Weights far too large, and a backward that gives three times the slope: neither cure is enough."""

    def rectified(ctx: object, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)  # type: ignore[attr-defined]  # pyright: ignore
        return x.clamp(min=0)

    def loud(ctx: object, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]  # pyright: ignore
        return 3.0 * g * (x > 0)

    treatment = photic.treat(
        lambda: Net(function(rectified, loud), 12, 32, 8.0),
        digits(),
        F.cross_entropy,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.05),
        steps=100,
        seeds=(0,),
        workers=1,
    )
    assert treatment.remedy.startswith("plain-function + "), treatment.report()


@pytest.mark.parametrize("backward", [right, as_it_comes])
def test_a_derivative_and_a_straight_estimator_are_left_alone(backward: object) -> None:
    forward = plainly if backward is right else (lambda ctx, x: x.round())  # pyright: ignore
    run = photic.check(seeded(lambda: Net(function(forward, backward), 2)), digits(), F.cross_entropy).run  # pyright: ignore
    assert run.backwards == ()
    assert isinstance(CATALOGUE["plain-function"].prescribe(Graph.of(run)), str)
