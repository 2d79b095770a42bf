"""A glance rings where the gradient moves between the layers, and not where it only grows or falls."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.alarms import SHIFT, Alarm
from photic.probes.glances import Glance
from photic.probes.modules import module_names
from tests.zoo import seeded


def raised(error: Exception) -> None:
    raise error


def network() -> nn.Sequential:
    return nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(16, 16), nn.Tanh())], nn.Linear(16, 3))


def readings(model: nn.Module, *, scale: float = 1.0) -> Glance:
    glance = Glance(model, module_names(model), raised)
    glance.install()
    x, y = seeded(lambda: torch.randn(32, 16)), torch.arange(32) % 3
    (scale * F.cross_entropy(model(x), y)).backward()
    glance.remove()
    return glance


def rung(alarm: Alarm, glance: Glance) -> list[bool]:
    return [alarm.rings(glance) for _ in range(4)]


def test_a_loss_in_other_units_moves_nothing() -> None:
    model, alarm = seeded(network), Alarm()
    assert not any(rung(alarm, readings(model)))
    assert not any(rung(alarm, readings(model, scale=1e4)))


def test_a_layer_that_shuts_rings_at_the_third_glance_until_an_audit_has_looked() -> None:
    model, alarm = seeded(network), Alarm()
    assert not any(rung(alarm, readings(model)))
    with torch.no_grad():
        model[4].bias.fill_(10.0)  # tanh is flat there: nothing arrives below
    shut = readings(model)
    assert rung(alarm, shut) == [False, False, True, True]
    alarm.rest()
    assert not any(rung(alarm, shut))


def test_one_batch_without_a_gradient_does_not_ring() -> None:
    model, alarm = seeded(network), Alarm()
    whole = readings(model)
    assert not alarm.rings(whole)
    with torch.no_grad():
        model[4].bias.fill_(10.0)
    shut = readings(model)
    assert not any(alarm.rings(each) for each in (shut, shut, whole, shut, shut, whole))


def test_what_is_not_finite_rings_at_once() -> None:
    model, alarm = seeded(network), Alarm()
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan
    assert alarm.rings(readings(model))


def test_a_module_that_stays_away_does_not_ring() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.used = nn.Linear(16, 16), nn.Linear(16, 3), nn.Linear(16, 16)

        def forward(self, x: Tensor, more: bool = False) -> Tensor:
            x = torch.tanh(self.a(x))
            return self.b(self.used(x) if more else x)

    model, alarm = seeded(Sometimes), Alarm()
    x, y = seeded(lambda: torch.randn(32, 16)), torch.arange(32) % 3
    for more in (True, False, False, False, False):
        glance = Glance(model, module_names(model), raised)
        glance.install()
        F.cross_entropy(model(x, more), y).backward()
        glance.remove()
        assert not alarm.rings(glance)


def test_the_limit_is_a_ratio_to_the_median() -> None:
    model, alarm = seeded(network), Alarm()
    rung(alarm, readings(model))
    with torch.no_grad():
        model[8].weight.mul_(0.5 * SHIFT)  # all below it has more: the median moves along
    assert not any(rung(alarm, readings(model)))
