"""Treatments: what cures is accepted, what does not is refused by measurement, a healthy network is left alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.lab.examples import deep_sigmoid
from photic.probes.audit import measure
from photic.records import documents
from photic.remedies import choosing
from photic.remedies.carry_out import carry_out
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from photic.remedies.treat import Treatment, treat
from tests import zoo
from tests.remedies.test_structure import only


def digits() -> list[Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return list(deep_sigmoid.batches())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def outcomes(treatment: Treatment) -> dict[str, str]:
    return {trial.remedy: trial.outcome for trial in treatment.trials}


@pytest.fixture(scope="module")
def sigmoid_treatment() -> Treatment:
    """Half of the training would go to what changes the structure, of which nothing is asked here: the demo trains the whole catalogue."""
    plain = choosing.remedies_for

    def of_the_layers_themselves(problem: Any) -> Any:
        return tuple(r for r in plain(problem) if r.name not in ("batch-normalisation", "residual-connections"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "remedies_for", of_the_layers_themselves)
        return treat(deep_sigmoid.build, digits(), F.cross_entropy, optimizer=sgd, steps=200, thorough=True, workers=2)


def test_the_deep_sigmoid_network_is_cured_in_three_ways_and_xavier_alone_is_refused(
    sigmoid_treatment: Treatment,
) -> None:
    found = outcomes(sigmoid_treatment)
    assert found["untreated"] == "control"
    assert found["centred-logistic"] == found["tanh-activation"] == found["relu-activation"] == "accepted"
    assert found["xavier"] == "refused" and found["he"] == "not-applicable"
    refused = next(trial for trial in sigmoid_treatment.trials if trial.remedy == "xavier")
    assert "vanishing-gradient remains" in refused.reason
    assert sigmoid_treatment.accepted and sigmoid_treatment.remedy == "centred-logistic"  # the smallest change
    assert sigmoid_treatment.record.after is not None and sigmoid_treatment.record.after.healthy


@pytest.mark.parametrize("remedy", ["centred-logistic", "tanh-activation", "relu-activation"])
def test_the_treated_set_up_trains_in_a_plain_loop(sigmoid_treatment: Treatment, remedy: str) -> None:
    model, batches, loss, optimizer = sigmoid_treatment.setup(remedy)
    assert isinstance(model, deep_sigmoid.DeepSigmoid)
    assert list(model.state_dict()) == list(deep_sigmoid.build().state_dict())
    assert loss is not None
    losses = []
    for _ in range(4):
        for x, y in batches():
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            optimizer.step()
            losses.append(float(value.detach()))
    assert sum(losses[-10:]) / 10 < 1.5 < losses[0]
    twin = copy.deepcopy(model)
    assert torch.equal(twin.eval()(x), model.eval()(x))


def test_a_treatment_survives_its_document(sigmoid_treatment: Treatment) -> None:
    record = sigmoid_treatment.record
    assert documents.from_json(documents.to_json(record)) == record
    assert "cured by centred-logistic" in sigmoid_treatment.report()


def test_the_centred_logistic_network_equals_a_tanh_network() -> None:
    model = zoo.seeded(deep_sigmoid.DeepSigmoid)
    x = zoo.vectors()[0]
    graph = Graph.of(measure(model, zoo.vectors(), F.cross_entropy))
    prescription = next(r for r in remedies() if r.name == "centred-logistic").prescribe(graph)
    assert isinstance(prescription, Prescription)
    carry_out(prescription, model, seed=3)
    h = x
    for layer in model.hidden:  # sigmoid(z) = 1/2 + tanh(z/2)/2; the biases take the halves away
        scale = 0.5 if layer is model.hidden[0] else 0.25
        h = torch.tanh(h @ (layer.weight * scale).T)
    expected = h @ (model.head.weight * 0.5).T
    # Rounding: biases of size sqrt(16/128 * 128)/2 = 2 carry errors of 1e-7 each through eleven layers.
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=2e-5)


def test_a_healthy_network_is_left_alone() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.relu, 4, variance=2.0))
    before = copy.deepcopy(model.state_dict())
    treatment = treat(model, digits(), F.cross_entropy, optimizer=sgd, steps=60)
    assert not treatment.accepted and treatment.trials == () and treatment.record.before.healthy
    assert "healthy" in treatment.record.notes[-1]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_he_cures_relu_with_default_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.05)

    only("he", monkeypatch)
    treatment = treat(lambda: zoo.Mlp(torch.relu, 14, width=64), digits(), F.cross_entropy, optimizer=slower, steps=100)
    assert treatment.remedy == "he"
    assert "kaiming_normal_" in treatment.patch + treatment.paste


def test_what_cannot_cure_is_refused_and_the_nearest_is_named() -> None:
    """The labels are noise that the held-back batches do not share: no remedy may claim a cure."""
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(32, 64, generator=generator), torch.randint(10, (32,), generator=generator)) for _ in range(20)
    ]
    treatment = treat(lambda: zoo.Mlp(depth=6, width=32), batches, F.cross_entropy, optimizer=sgd, steps=30)
    assert not treatment.accepted and treatment.patch == ""
    assert set(outcomes(treatment).values()) <= {"control", "refused", "not-applicable"}
    assert "nothing in the catalogue cured it" in treatment.record.notes[-1]


def test_a_severing_detach_is_removed() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lower = nn.Linear(64, 4)
            self.upper = nn.Linear(4, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.upper(torch.relu(self.lower(x)).detach())

    treatment = treat(Cut, digits(), F.cross_entropy, optimizer=sgd, steps=100)
    assert treatment.remedy == "reattach"
    x, y = digits()[0]
    setup = treatment.setup()
    F.cross_entropy(setup.model(x), y).backward()
    assert setup.model.lower.weight.grad is not None


def test_training_is_the_same_for_control_and_remedy_but_for_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two treatments with the same seeds give the same numbers, with the arms in turn or side by side."""
    only("relu-activation", monkeypatch)
    first, second = (
        treat(lambda: zoo.Mlp(depth=6), digits(), F.cross_entropy, optimizer=sgd, steps=40, seeds=(0,), workers=workers)
        for workers in (1, 2)
    )
    assert [trial.losses for trial in first.trials] == [trial.losses for trial in second.trials]


def test_too_few_batches_are_refused_with_what_to_do() -> None:
    x, y = zoo.vectors()
    with pytest.raises(ValueError, match="at least two batches"):
        treat(zoo.Mlp, [(x, y[:3])], F.cross_entropy, optimizer=sgd)
    with pytest.raises(ValueError, match="at least two batches"):
        treat(zoo.Mlp, [(x[:7], y[:7])], F.cross_entropy, optimizer=sgd)


def test_of_one_batch_a_quarter_is_held_back() -> None:
    x, y = zoo.vectors()
    material = Material.collect(zoo.Mlp, [(x, y)], F.cross_entropy, sgd, steps=5)
    ((trained, _),) = material.training
    held_back = torch.cat([batch[0] for batch in material.held_back])
    assert len(held_back) == len(x) // 4
    assert torch.equal(torch.cat([trained, held_back]), x)


def test_endless_batches_are_taken_as_needed() -> None:
    def stream() -> Iterator[Any]:
        while True:
            yield from digits()

    treatment = treat(lambda: zoo.Mlp(torch.relu, 3, variance=2.0), stream, F.cross_entropy, optimizer=sgd, steps=30)
    assert treatment.record.before.healthy


@pytest.mark.parametrize("remedy", remedies(), ids=lambda remedy: remedy.name)
def test_each_remedy_says_what_it_changes_and_when_not_to(remedy: Any) -> None:
    assert "What it changes:" in remedy.documentation and "When not to:" in remedy.documentation
    assert remedy.treats and remedy.sources
