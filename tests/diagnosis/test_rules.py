"""Each rule on sick and on healthy networks: the right name first, the right place, and silence on the healthy."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from photic.diagnosis.diagnose import diagnose
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rules
from photic.diagnosis.rules.saturated_activation import saturated_activation
from photic.probes.audit import measure
from photic.records.findings import Diagnosis, Finding
from photic.theory.network import predict_run
from tests import zoo


def diagnosis_of(model: nn.Module, batch: Any, loss: Any, optimizer: Any = None) -> Diagnosis:
    run = measure(model, batch, loss, optimizer=optimizer)
    return diagnose(run, predict_run(run))


def first_finding(name: str, seed: int = 0) -> Finding:
    _, build, batch, loss = zoo.SICK[name]
    return diagnosis_of(zoo.seeded(build, seed), batch, loss).findings[0]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", zoo.SICK)
def test_a_sick_network_is_named_first_by_its_problem(name: str, seed: int) -> None:
    problem, build, batch, loss = zoo.SICK[name]
    found = diagnosis_of(zoo.seeded(build, seed), batch, loss)
    assert not found.healthy and not found.not_asked
    assert found.findings[0].problem == problem
    assert found.findings[0].reason and found.findings[0].advice and 0.5 <= found.findings[0].confidence < 1.0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", zoo.HEALTHY)
def test_a_healthy_network_raises_no_alarm(name: str, seed: int) -> None:
    build, batch, loss = zoo.HEALTHY[name]
    found = diagnosis_of(zoo.seeded(build, seed), batch, loss)
    assert [finding.problem for finding in found.findings] == []
    assert found.healthy


@pytest.mark.parametrize("scale", [1e-5, 65536.0])
@pytest.mark.parametrize("name", ["sigmoid-10", "relu-four-times-he", "dead-layer", "detach", "tanh-unscaled-input"])
def test_the_scale_of_the_loss_changes_no_verdict(name: str, scale: float) -> None:
    problem, build, batch, loss = zoo.SICK[name]
    found = diagnosis_of(zoo.seeded(build), batch, lambda output, targets: scale * loss(output, targets))
    assert found.findings[0].problem == problem


@pytest.mark.parametrize("scale", [1e-5, 65536.0])
@pytest.mark.parametrize("name", ["relu-he-8", "pre-norm-residual", "cnn-batch-norm", "transformer-pre"])
def test_the_scale_of_the_loss_makes_no_alarm(name: str, scale: float) -> None:
    build, batch, loss = zoo.HEALTHY[name]
    assert diagnosis_of(zoo.seeded(build), batch, lambda output, targets: scale * loss(output, targets)).healthy


def test_the_vanishing_sigmoid_is_explained_by_its_slope_and_the_default_weights() -> None:
    finding = first_finding("sigmoid-10")
    assert finding.sites == tuple(f"/sigmoid#{k}" for k in range(1, 11))
    assert "10 sigmoid layers" in finding.reason and "slope is at most 0.25" in finding.reason
    assert "PyTorch's default" in finding.reason and "1.7 times too small" in finding.reason
    numbers = {item.name: item.value for item in finding.evidence}
    assert numbers["typical gain per activation"] == pytest.approx(0.245, abs=0.005)
    assert numbers["typical gain per weight"] == pytest.approx(0.577, abs=0.02)
    assert finding.victims and "layers.0" in finding.victims


def test_one_layer_that_kills_is_named_alone() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.relu, 8, variance=2.0))
    with torch.no_grad():
        model.layers[4].weight.mul_(1e-4)
    finding = diagnosis_of(model, zoo.vectors(), F.cross_entropy).findings[0]
    assert finding.problem == "vanishing-gradient" and finding.sites == ("layers.4",)


def test_a_dead_layer_names_the_first_and_lists_who_suffers() -> None:
    finding = first_finding("dead-layer")
    assert finding.sites[0] == "/relu#4"
    assert set(finding.victims) == {"layers.0", "layers.1", "layers.2", "layers.3"}


def test_a_cut_is_named_with_its_line() -> None:
    finding = first_finding("detach")
    line = zoo.Detached.forward.__code__.co_firstlineno + 4
    assert finding.sites == ("/detach#1",) and finding.where.endswith(f"zoo.py:{line}")
    assert "layers.2" in finding.victims and "layers.3" not in finding.victims


def test_the_first_operation_that_makes_a_nan_is_named() -> None:
    assert first_finding("log-of-zero").sites == ("/log#1",)
    assert first_finding("root-of-zero").sites == ("/sqrt#1",)


def test_a_saturated_layer_says_whether_input_or_weights_are_too_large() -> None:
    found = diagnosis_of(
        *(zoo.seeded(zoo.SICK["tanh-unscaled-input"][1]), *zoo.SICK["tanh-unscaled-input"][2:])
    ).findings
    saturated = next(finding for finding in found if finding.problem == "saturated-activation")
    assert "input has a root mean square of" in saturated.reason
    assert "fan_in * Var[w]" in first_finding("sigmoid-large-weights").reason


def test_gates_and_outputs_may_saturate() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.value, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
            with torch.no_grad():
                self.gate.bias.fill_(20.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.sigmoid(self.gate(x)) * self.value(x))

    assert diagnosis_of(zoo.seeded(Gated), zoo.vectors(), F.cross_entropy).healthy


@pytest.mark.parametrize(
    ("last", "chance", "severity"),
    [
        (2.3, 2.3, "critical"),
        (0.3, 2.3, "critical"),
        (1e-3, 2.3, "info"),
        (1e-3, None, "info"),
        (0.2, None, "critical"),
    ],
)
def test_units_that_are_sure_of_themselves_where_the_loss_is_nearly_0_are_no_disease(
    last: float, chance: float | None, severity: str
) -> None:
    build, *rest = zoo.SICK["sigmoid-large-weights"][1:]
    run = measure(zoo.seeded(build), *rest)
    losses = tuple(3.0 + (last - 3.0) * step / 9 for step in range(10))
    found = saturated_activation(Graph.of(run), Training(losses, 3.0, last, 10, chance))
    assert found is not None and found.severity == severity


@pytest.mark.parametrize(
    ("activation", "depth", "severity"),
    [(torch.relu, 12, "info"), (torch.tanh, 20, "info"), (torch.sigmoid, 6, "warning")],
)
def test_what_adam_moves_is_information_unless_a_sigmoid_drowns_the_signal(
    activation: Any, depth: int, severity: str
) -> None:
    from photic.checkups.check import check

    model = zoo.seeded(lambda: zoo.Mlp(activation, depth))
    batches = [zoo.vectors(k) for k in range(4)]
    checkup = check(model, batches, F.cross_entropy, torch.optim.Adam(model.parameters(), 1e-3))
    assert [(f.problem, f.severity) for f in checkup.findings] == [("vanishing-gradient", severity)]


def test_a_rule_that_fails_costs_no_other_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError("inside")

    changed = tuple(
        dataclasses.replace(rule, judge=broken) if rule.problem == "dead-units" else rule for rule in rules()
    )
    monkeypatch.setattr("photic.diagnosis.diagnose.rules", lambda: changed)
    found = diagnosis_of(zoo.seeded(zoo.Mlp), zoo.vectors(), F.cross_entropy)
    assert found.findings[0].problem == "vanishing-gradient"
    assert found.not_asked[0].problem == "dead-units" and "ZeroDivisionError" in found.not_asked[0].missing


def test_a_network_that_explodes_and_then_turns_nan_is_named_by_the_explosion() -> None:
    from photic.checkups.check import check

    _, build, batch, loss = zoo.SICK["relu-four-times-he"]
    checkup = check(zoo.seeded(build), [batch], loss, lambda model: torch.optim.SGD(model.parameters(), lr=0.1))
    assert checkup.run.losses[-1] != checkup.run.losses[-1]  # nan
    assert [finding.problem for finding in checkup.findings] == ["exploding-gradient"]


def test_an_argmax_between_two_layers_is_named() -> None:
    assert first_finding("argmax").sites == ("/argmax#1",)


def test_an_ignored_problem_is_not_reported() -> None:
    run = measure(zoo.seeded(zoo.Mlp), zoo.vectors(), F.cross_entropy)
    assert diagnose(run, ignore=("vanishing-gradient",)).healthy


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.problem)
def test_each_rule_documents_signs_reasons_and_false_alarms(rule: Any) -> None:
    for part in ("Signs:", "Why it matters:", "False alarms:"):
        assert part in rule.documentation
    assert rule.sources
