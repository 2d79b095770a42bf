"""Rules about who owns what: layers in plain lists, and optimizers that were given too little."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.findings import Finding
from tests import zoo
from tests.zoo import seeded


class Kept(nn.Module):
    """Layers kept in a list, a dict, or as they should be."""

    def __init__(self, how: str) -> None:
        super().__init__()
        layers = [nn.Linear(64, 64) for _ in range(3)]
        self.layers: Any = {"list": layers, "dict": dict(enumerate(layers)), "ModuleList": nn.ModuleList(layers)}[how]
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for key in range(3):
            x = torch.relu(self.layers[key](x))
        return self.head(x)


def findings(model: nn.Module, parameters: Any, loss: Any = F.cross_entropy) -> list[Finding]:
    run = photic.measure(model, zoo.vectors(), loss, optimizer=torch.optim.SGD(parameters, 0.1))
    return list(photic.diagnose(run).findings)


@pytest.mark.parametrize("how", ["list", "dict"])
def test_layers_in_a_plain_list_or_dict_are_found_by_name(how: str) -> None:
    model = seeded(lambda: Kept(how))
    (found,) = findings(model, model.parameters())
    assert found.problem == "severed-unregistered-module" and found.severity == "critical"
    assert found.sites == ("layers.0", "layers.1", "layers.2")
    assert "ModuleList" in found.advice


def test_a_module_list_and_an_optimizer_that_was_given_all_by_hand_are_silent() -> None:
    model = seeded(lambda: Kept("ModuleList"))
    assert findings(model, model.parameters()) == []
    model = seeded(lambda: Kept("list"))
    assert findings(model, [*model.parameters(), *(p for layer in model.layers for p in layer.parameters())]) == []


def test_parameters_of_the_loss_are_no_part_of_the_model() -> None:
    model = seeded(lambda: Kept("ModuleList"))
    critic = seeded(lambda: nn.Linear(10, 1))
    assert findings(model, model.parameters(), lambda output, _: F.softplus(-critic(output)).mean()) == []


def test_a_layer_that_the_optimizer_was_not_given_is_named() -> None:
    model = seeded(lambda: Kept("ModuleList"))
    given = [p for name, p in model.named_parameters() if not name.startswith("layers.1")]
    (found,) = findings(model, given)
    assert found.problem == "unowned-parameters" and found.severity == "critical"
    assert found.sites == ("layers.1",) and "layers.1.weight" in found.reason


def test_fine_tuning_of_the_upper_layers_is_information_and_a_frozen_backbone_nothing() -> None:
    model = seeded(lambda: Kept("ModuleList"))
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.mul_(1.2)  # trained before: no longer as it was drawn
    (found,) = findings(model, model.head.parameters())
    assert (found.problem, found.severity) == ("unowned-parameters", "info")
    for parameter in model.layers.parameters():
        parameter.requires_grad_(False)
    assert findings(model, model.head.parameters()) == []


def test_an_optimizer_of_another_model_holds_nothing_of_this_one() -> None:
    (found,) = findings(seeded(lambda: Kept("ModuleList")), seeded(lambda: Kept("ModuleList"), 1).parameters())
    assert found.problem == "unowned-parameters" and found.severity == "critical"
    assert "nothing of this model" in found.reason
