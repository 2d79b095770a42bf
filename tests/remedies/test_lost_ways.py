"""Remedies for gradients that get lost: comparisons, checkpoints, parameters in lists, a gamma of 0 before a head of 0."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import checkpoint as checkpoints

from photic.remedies.carry_out import carry_out
from photic.remedies.prescription import Prescription
from photic.remedies.surgery import register_modules
from photic.remedies.treat import treat
from tests.remedies.test_structure import CATALOGUE, cured, digits, prescribed


class Thresholded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(64, 6), nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.encoder(x) > 0.0).float())


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 4).requires_grad_(False)
        self.block, self.head = nn.Sequential(nn.Linear(64, 4), nn.Tanh()), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoints.checkpoint(self.block, x, use_reentrant=True))


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrices: Any = [nn.Parameter(0.2 * torch.randn(*shape)) for shape in ((64, 3), (3, 64))]
        self.extra: Any = {"bias": nn.Parameter(torch.zeros(64))}
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for matrix in self.matrices:
            x = torch.relu(x @ matrix)
        return self.head(x + self.extra["bias"])


def zeroed() -> nn.Module:
    norm, head = nn.BatchNorm1d(64), nn.Linear(64, 10)
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(head.weight)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), norm, head)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def test_a_soft_comparison_keeps_the_value_and_gives_the_slope_of_a_sigmoid() -> None:
    torch.manual_seed(0)
    model, batch = Thresholded(), digits()[0]
    given = prescribed("soft-comparison", model, batch, F.cross_entropy)
    plain, x = copy.deepcopy(model), batch[0]
    carry_out(given, model, seed=0)
    assert torch.allclose(model(x), plain(x), atol=1e-6)
    model(x).sum().backward()
    logits = plain.encoder(x).detach().requires_grad_()
    hard = (logits > 0.0).float()
    soft = torch.sigmoid(logits)
    plain.head(hard + soft - soft.detach()).sum().backward()
    expected = logits.grad
    assert expected is not None
    assert torch.allclose(model.encoder.bias.grad, expected.sum(0), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_an_open_checkpoint_keeps_the_value_and_puts_torch_back() -> None:
    torch.manual_seed(0)
    model, batch = Checkpointed(), digits()[0]
    given = prescribed("open-checkpoint", model, batch, F.cross_entropy)
    before, reentrant = model(batch[0]), checkpoints.CheckpointFunction
    carry_out(given, model, seed=0)
    assert torch.equal(model(batch[0]), before) and checkpoints.CheckpointFunction is reentrant
    model(batch[0]).sum().backward()
    assert all(p.grad is not None for p in model.block.parameters())
    with pytest.raises(RuntimeError):
        model(torch.zeros(2, 3))
    assert checkpoints.CheckpointFunction is reentrant


def test_parameters_in_lists_and_dicts_become_known() -> None:
    model = Listed()
    x = torch.ones(2, 64)
    before = model(x)
    register_modules(model)
    assert len(list(model.parameters())) == 5 and torch.equal(model(x), before)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("soft-comparison", Thresholded),
        ("open-checkpoint", Checkpointed),
        ("register-modules", Listed),
        ("woken-factor", zeroed),
    ],
)
def test_what_was_lost_is_found_again(name: str, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured(name, monkeypatch, build, digits(), F.cross_entropy, optimizer=adam, steps=100)
    assert treatment.accepted


@pytest.mark.parametrize("name", ["soft-comparison", "open-checkpoint", "register-modules", "woken-factor"])
def test_nothing_is_prescribed_where_nothing_is_lost(name: str) -> None:
    from photic.diagnosis.graph import Graph
    from photic.probes.audit import measure

    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    said = CATALOGUE[name].prescribe(Graph.of(measure(model, digits()[0], F.cross_entropy)))
    assert isinstance(said, str) and said


def test_a_mask_is_no_number_made_of_a_comparison() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.where(self.gate(x) > 0.0, x, torch.zeros_like(x)))

    from photic.diagnosis.graph import Graph
    from photic.probes.audit import measure

    graph = Graph.of(measure(Masked(), digits()[0], F.cross_entropy))
    assert CATALOGUE["soft-comparison"].prescribe(graph) == "no number is made of the comparison"


def test_where_the_data_are_to_blame_nothing_is_tried() -> None:
    alike = [(x[:1].expand_as(x).clone(), y) for x, y in digits()]
    treatment = treat(
        lambda: nn.Sequential(nn.Linear(64, 10)), alike, F.cross_entropy, optimizer=adam, steps=100, seeds=(0,)
    )
    assert not treatment.accepted and treatment.record.runs == 0.0
    assert "the data" in treatment.record.notes[-1]


def test_a_prescription_that_does_nothing_leaves_the_checkpoint_alone() -> None:
    model = Checkpointed()
    carry_out(Prescription(), model, seed=0)
    assert "forward" not in model.__dict__
