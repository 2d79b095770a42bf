"""The loss of one who knows nothing, however the loss is written, summed or scaled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.evidence import Training, chance
from photic.diagnosis.learning import arriving
from photic.lab.clinic import samples
from photic.probes.audit import measure
from tests.zoo import seeded

LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float]] = {
    "mean": (F.cross_entropy, 1.0),
    "module": (nn.CrossEntropyLoss(reduction="sum"), 10.0),
    "scaled": (lambda o, t: 1000.0 * F.cross_entropy(o, t), 1000.0),
    "summed": (lambda o, t: F.cross_entropy(o, t, reduction="sum") / 4, 2.5),
    "summed later": (lambda o, t: F.cross_entropy(o, t, reduction="none").sum(), 10.0),
    "averaged later": (lambda o, t: F.cross_entropy(o, t, reduction="none").mean(), 1.0),
    "in two": (lambda o, t: F.nll_loss(F.log_softmax(o, 1), t) / 3, 1.0 / 3.0),
    "with a penalty": (lambda o, t: 2.0 * F.cross_entropy(o, t) + o.square().mean(), 2.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_ln_c_in_the_units_of_the_loss(name: str) -> None:
    loss, multiple = LOSSES[name]
    model, x, y = seeded(lambda: (nn.Linear(8, 4), torch.randn(10, 8), torch.randint(4, (10,))))
    run = measure(model, (x, y), loss)
    assert chance(run) == pytest.approx(multiple * math.log(4.0), rel=1e-5)
    watched = dataclasses.replace(run, neutral_loss=None)  # the watch makes no pass of its own
    assert chance(watched) == pytest.approx(multiple * math.log(4.0), rel=1e-5)


@pytest.mark.parametrize(
    ("losses", "sick"),
    [
        ([6.0 * 0.96**step for step in range(20)], False),  # from 6.0 to 2.8, and on its way
        ([6.0 * 0.90**step for step in range(20)], True),  # below that of chance already: `learns` may say so
        ([6.0, *[2.8] * 19], True),  # fell at once and stands
        ([700.0 * 0.95**step for step in range(20)], True),  # 260 after 20 steps: not there after 20 more
    ],
)
def test_a_loss_that_comes_down_fast_from_far_above_chance_has_not_been_judged_yet(
    losses: list[float], sick: bool
) -> None:
    training = Training(tuple(losses), losses[0], sum(losses[-5:]) / 5, len(losses), math.log(10.0))
    assert arriving(training) == (not sick)
    assert not arriving(dataclasses.replace(training, chance=None)) and not arriving(None)


def test_other_losses_have_none() -> None:
    model, x = seeded(lambda: (nn.Linear(8, 4), torch.randn(10, 8)))
    assert chance(measure(model, (x, x[:, :4]), F.mse_loss)) is None


def saturated(seed: int) -> nn.Sequential:
    """Eight layers of sigmoids between weights of N(0, 0.6), whose first answers lie far above chance."""
    torch.manual_seed(seed)
    layers = [part for index in range(8) for part in (nn.Linear(32 if index else 64, 32), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(32, 10))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.6)
            nn.init.zeros_(module.bias)
    return model


def test_a_loss_that_only_falls_to_chance_is_no_sign_that_the_lower_layers_learn() -> None:
    checkup = photic.check(
        saturated(28),
        samples.digits(28),
        F.cross_entropy,
        lambda m: torch.optim.SGD(m.parameters(), 0.01, momentum=0.9),
    )
    assert checkup.run.losses[0] > 3.0 and checkup.run.losses[-1] < 2.5
    assert [f.severity for f in checkup.findings if f.problem == "vanishing-gradient"] == ["warning"]
