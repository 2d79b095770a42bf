"""A variance that a layer gives as it comes: the likelihood is cured as a whole, and a limit on its logarithm alone is no cure."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import treat
from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.around import setup_lines
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.treated import treated_setup
from tests.remedies.test_structure import CATALOGUE


class Spread(nn.Module):
    """Mean and variance, or deviation, of what is asked for; `apart` says how they leave the network."""

    def __init__(self, apart: str, start: float = -0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 32), nn.Tanh())
        self.head, self.mean, self.scale, self.apart = nn.Linear(32, 2), nn.Linear(32, 1), nn.Linear(32, 1), apart
        for layer in (self.head, self.scale):
            nn.init.constant_(layer.bias, start)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        if self.apart == "heads":
            return self.mean(h), self.scale(h)
        return self.head(h).chunk(2, 1) if self.apart == "chunks" else self.head(h)


def two(output: Any) -> Any:
    return (output[:, :1], output[:, 1:]) if isinstance(output, Tensor) else output


def of_variance(output: Any, y: Tensor) -> Tensor:
    mean, v = two(output)
    return (0.5 * torch.log(v) + 0.5 * (y - mean) ** 2 / v).mean()


def of_distribution(output: Any, y: Tensor) -> Tensor:
    """torch squares the deviation before it takes the logarithm."""
    mean, deviation = two(output)
    return -torch.distributions.Normal(mean, deviation, validate_args=False).log_prob(y).mean()


def by_hand(output: Any, y: Tensor) -> Tensor:
    """The deviation twice in one product, by name, and in a list."""
    mean, s = two(output)
    both = torch.stack([s, s]).mean(0)
    return (torch.log(s) + torch.div((y - mean) ** 2, other=2.0 * (s * s)) + 0.0 * both.square()).mean()


def by_name(output: Any, y: Tensor) -> Tensor:
    mean, v = two(output)
    return (torch.log(input=v) + torch.div((y - mean) ** 2, other=v)).mean()


def waves() -> list[Any]:
    made: list[Any] = []
    for seed in range(12):
        draw = torch.Generator().manual_seed(seed)
        x = 4.0 * torch.rand(48, 1, generator=draw) - 2.0
        made.append((x, torch.sin(2.0 * x) + 0.2 * torch.randn(48, 1, generator=draw)))
    return made


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def prescribed(name: str, loss: Any, apart: str = "heads") -> Any:
    torch.manual_seed(0)
    return CATALOGUE[name].prescribe(Graph.of(measure(Spread(apart, -0.3), waves()[0], loss)))


@pytest.mark.parametrize("loss", [of_variance, of_distribution, by_hand, by_name])
@pytest.mark.parametrize("apart", ["heads", "chunks", "whole"])
def test_the_treated_loss_is_that_of_a_positive_scale(apart: str, loss: Any) -> None:
    given = prescribed("positive-scale", loss, apart)
    assert isinstance(given, Prescription)
    material = Material.collect(lambda: Spread(apart), waves(), loss, adam, steps=8)
    setup = treated_setup(material, given, seed=0)
    x, y = waves()[0]
    mean, scale = two(setup.model(x))
    assert setup.loss is not None
    treated = setup.loss(setup.model(x), y)
    torch.testing.assert_close(treated, loss((mean, F.softplus(scale) + 1e-6), y))
    assert "softplus(x)" in "\n".join(setup_lines(given))


@pytest.mark.parametrize("name", ["guarded-argument", "mapped-argument"])
def test_a_limit_on_the_logarithm_alone_says_what_is_to_be_done(name: str) -> None:
    said = prescribed(name, of_variance)
    assert isinstance(said, str) and "positive-scale" in said


def test_where_nothing_else_takes_it_or_it_is_zero_a_limit_is_enough() -> None:
    def alone(output: Any, y: Tensor) -> Tensor:
        return (torch.log(two(output)[1]) + 0.0 * y).mean()

    def entropy(output: Any, y: Tensor) -> Tensor:
        p = F.relu(two(output)[1])
        return (p * torch.log(p) + 0.0 * y).mean()

    for loss in (alone, entropy):
        assert isinstance(prescribed("positive-scale", loss), str)
        assert isinstance(prescribed("guarded-argument", loss), Prescription)


def test_a_likelihood_of_a_raw_variance_is_cured_to_what_is_known_of_the_noise() -> None:
    treatment = treat(
        lambda: Spread("heads", -0.3), waves(), of_variance, optimizer=adam, steps=150, workers=1, seeds=(0,)
    )
    assert treatment.record.before.findings[0].problem == "non-finite"
    assert treatment.remedy == "positive-scale", treatment.report()
    (trial,) = [one for one in treatment.trials if one.outcome == "accepted"]
    known = 0.5 * math.log(0.2**2) + 0.5  # the best there is: the noise deviates by 0.2
    assert trial.held_back_loss is not None and known - 0.3 < trial.held_back_loss < 0.0


def test_a_variance_that_falls_below_zero_on_the_way_is_cured_as_well() -> None:
    treatment = treat(
        lambda: Spread("heads", 0.5), waves(), of_variance, optimizer=adam, steps=150, workers=1, seeds=(0,)
    )
    assert any("breaks off in step" in note for note in treatment.record.notes)
    assert treatment.remedy == "positive-scale", treatment.report()
