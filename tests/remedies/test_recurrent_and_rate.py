"""Treatments along time and of the learning rate: proven where they cure, refused where they do not apply."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.lines import weight_lines
from photic.remedies.patch import write_patch
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from tests import zoo
from tests.remedies.test_structure import CATALOGUE
from tests.zoo import seeded

SOURCE = """
from torch import nn


class Memory(nn.Module):
    def __init__(self, kind="LSTM"):
        super().__init__()
        self.layer = getattr(nn, kind)(8, 48, batch_first=True)
        self.head = nn.Linear(48, 8)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])
"""


def memory(folder: Path) -> Any:
    path = folder / "memory.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("memory_of_the_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["memory_of_the_test"] = module
    spec.loader.exec_module(module)
    return module.Memory


def shown_first(length: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(260):
        y = torch.randint(8, (32,), generator=generator)
        x = 0.3 * torch.randn(32, length, 8, generator=generator)
        x[torch.arange(32), 0, y] += 2.0
        batches.append((x, y))
    return batches


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 5e-3)


@pytest.mark.parametrize(("kind", "remedy"), [("LSTM", "forget-bias"), ("RNN", "orthogonal-recurrence")])
def test_a_layer_that_forgets_its_first_step_is_cured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, remedy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    network = memory(tmp_path)
    batches = shown_first(30)
    treatment = photic.treat(
        lambda: network(kind), lambda: iter(batches), F.cross_entropy, optimizer=adam, steps=90, seeds=(0,)
    )
    assert [f.problem for f in treatment.record.before.findings if f.severity != "info"] == ["vanishing-in-time"]
    assert treatment.remedy == remedy, treatment.report()
    assert treatment.patch.startswith("--- a/memory.py")
    before, after = treatment.record.before.run, treatment.record.after
    assert after is not None

    def kept(run: Any) -> float:
        times = run.reading("layer").times
        return times.gradient_norms[0] / max(times.gradient_norms)

    assert kept(before) < 1e-3 < kept(after.run)
    patched = tmp_path / "memory.py"
    from photic.remedies.patch import apply_patch

    apply_patch(treatment.patch, tmp_path)
    code = compile(patched.read_text(), str(patched), "exec")
    space: dict[str, Any] = {"__name__": "patched"}
    exec(code, space)
    run = photic.measure(seeded(lambda: space["Memory"](kind)), batches[0], F.cross_entropy)
    assert kept(run) > 1e-3


def test_what_has_no_recurrent_layer_is_refused_in_words() -> None:
    model = seeded(lambda: zoo.Mlp(torch.relu, 2))
    graph = Graph.of(photic.measure(model, zoo.vectors(), F.cross_entropy))
    found = {remedy.name: remedy.prescribe(graph) for remedy in remedies()}
    assert found["chrono"] == "there is no LSTM or GRU"
    assert found["orthogonal-recurrence"] == "there is no fused recurrent layer"
    assert found["lower-learning-rate"] == "no optimizer with a learning rate was given"


def test_a_learning_rate_that_overshoots_is_lowered_as_far_as_the_step_was_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from photic.remedies import choosing as module

    chosen = tuple(r for r in remedies() if r.name == "lower-learning-rate")
    monkeypatch.setattr(module, "remedies_for", lambda _: chosen)
    x, y = zoo.vectors()
    treatment = photic.treat(
        lambda: seeded(lambda: zoo.Mlp(torch.relu, 4, variance=2.0)),
        lambda: itertools.repeat((x, y)),
        F.cross_entropy,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 1.0),
        steps=60,
        seeds=(0,),
    )
    assert [f.problem for f in treatment.record.before.findings] == ["learning-rate-too-large"]
    assert treatment.remedy == "lower-learning-rate", treatment.report()
    assert 'group["lr"] *= 0.01' in treatment.paste  # a step of 62 % is to be one of 3 %: a power of ten below 1/20
    assert treatment.setup().optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_network_that_cannot_be_run_is_not_called_healthy() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) @ torch.zeros(3, 3)

    x, y = zoo.vectors()
    treatment = photic.treat(Broken, [(x, y)] * 3, F.cross_entropy, steps=5)
    assert not treatment.accepted and treatment.trials == ()
    assert "could not be run" in treatment.record.notes[-1] and "healthy" not in treatment.record.notes[-1]


def test_a_second_softmax_is_left_out_and_that_cures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return F.softmax(self.head(torch.relu(self.hidden(x))), dim=1)

    def single(x: Tensor) -> Tensor:
        return nn.Linear(64, 1)(x).softmax(1)

    from photic.lab.examples import deep_sigmoid

    monkeypatch.chdir(tmp_path)
    batches = list(deep_sigmoid.batches())
    treatment = photic.treat(
        lambda: seeded(Net),
        batches,
        F.cross_entropy,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1),
        steps=100,
        seeds=(0,),
    )
    assert [f.problem for f in treatment.record.before.findings] == ["loss-saturation"]
    assert treatment.remedy == "logits", treatment.report()
    assert "softmax" in (treatment.patch or treatment.paste)
    model = treatment.setup().model
    assert float(model(batches[0][0]).detach().sum(1).sub(1).abs().max()) > 0.01  # logits now, no probabilities


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("return F.softmax(self.head(x), dim=1)", "return self.head(x)"),
        ("return self.head(x).softmax(dim=1)", "return self.head(x)"),
        ("return torch.softmax(self.head(x), 1)", "return self.head(x)"),
        ("return nn.functional.softmax(self.head(x), -1)", "return self.head(x)"),
    ],
)
def test_the_patch_takes_the_value_whatever_way_it_is_called(tmp_path: Path, line: str, becomes: str) -> None:
    head = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n"
    body = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.head = nn.Linear(64, 10)\n\n"
    path = tmp_path / f"net_{abs(hash(line))}.py"
    path.write_text(f"{head}{body}    def forward(self, x):\n        {line}\n")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    model = module.Net()
    run = photic.measure(model, zoo.vectors(), F.cross_entropy)
    (remedy,) = [remedy for remedy in remedies() if remedy.name == "logits"]
    prescription = remedy.prescribe(Graph.of(run))
    assert isinstance(prescription, Prescription)
    patch, _ = write_patch(prescription, run, module.Net, model)
    assert f"-        {line}\n" in patch and f"+        {becomes}\n" in patch


@pytest.mark.parametrize(("recurrence", "shut"), [("forget-bias", False), ("fresh-recurrence", True)])
def test_forget_gates_open_for_as_many_steps_as_there_are(recurrence: str, shut: bool) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)
            if shut:
                self.layer.weight_hh_l0.data *= 60.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(x)[0][:, -1])

    model = seeded(Last)
    batch = torch.randn(16, 30, 4), torch.arange(16) % 3
    run = measure(model, batch, F.cross_entropy)
    given = CATALOGUE[recurrence].prescribe(Graph.of(run))
    assert isinstance(given, Prescription) and given.longest == 30
    carry_out(given, model, seed=0, batch=batch)
    both = model.layer.bias_ih_l0 + model.layer.bias_hh_l0
    torch.testing.assert_close(both[8:16].detach(), torch.full((8,), 3.4))
    assert model.layer.weight_hh_l0.abs().max() < 1.0
    namespace = {"torch": torch, "self": seeded(Last)}
    exec("\n".join(weight_lines(given, run, "self")), namespace)
    patched: Any = namespace["self"]
    torch.testing.assert_close((patched.layer.bias_ih_l0 + patched.layer.bias_hh_l0)[8:16], both[8:16])
