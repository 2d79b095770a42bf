"""Edits of the source: the patched file computes what the trial computed by substitutes, whatever way a line is written."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from photic.probes.audit import measure
from photic.records.runs import Run
from photic.remedies.carry_out import carry_out
from photic.remedies.patch import apply_patch, write_patch
from photic.remedies.prescription import Prescription
from photic.remedies.surgery import gate_recurrence, register_modules

HEAD = """import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.norm = nn.LayerNorm(8)
        self.soft = nn.Softmax(dim=-1)

    def forward(self, x):
        h = self.a(x)
{body}


def build():
    model = Net()
    optimizer = torch.optim.{optimizer}
    return model, None, F.cross_entropy, optimizer
"""
_numbers = itertools.count()


def imported(text: str, folder: Path) -> ModuleType:
    path = folder / f"net_{next(_numbers)}.py"
    path.write_text(text)
    return reloaded(path)


def reloaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)


def source_of(*lines: str, optimizer: str = "SGD(model.parameters(), lr=0.1)") -> str:
    return HEAD.format(body="\n".join(f"        {line}" for line in lines), optimizer=optimizer)


def gradients(model: Any) -> list[Tensor]:
    x, y = batch()
    output = model(x)
    F.cross_entropy(output, y).backward()
    return [output, *(torch.zeros(()) if p.grad is None else p.grad for p in model.parameters())]


def only(run: Run, operation: str) -> str:
    return next(site.name for site in run.sites if site.operation == operation)


HEAD_LINE = "return self.head(h)"
CASES: dict[str, tuple[tuple[str, ...], str, Callable[[Run], Prescription], str]] = {
    "scores of a function": (
        ("h = torch.softmax(self.b(h) * 3, -1)", HEAD_LINE),
        "softmax", lambda r: Prescription(factors={only(r, "softmax"): 0.25}), "softmax(0.25 * (self.b(h) * 3), -1)",
    ),
    "scores of a method": (
        ("h = (self.b(h) + h).softmax(dim=-1)", HEAD_LINE),
        "softmax", lambda r: Prescription(factors={only(r, "softmax"): 0.25}), "(0.25 * (self.b(h) + h)).softmax(dim=-1)",
    ),
    "scores of a module": (
        ("h = self.soft(self.b(h))", HEAD_LINE),
        "softmax", lambda r: Prescription(factors={"soft": 0.25}), "self.soft(0.25 * self.b(h))",
    ),
    "a rounding of a name": (
        ("h = torch.round(h)", HEAD_LINE),
        "round", lambda r: Prescription(straight=(only(r, "round"),)), "h = h + (torch.round(h) - h).detach()",
    ),
    "a rounding of a product in a sum": (
        ("h = h + (self.b(h) * 4).round() / 4", HEAD_LINE),
        "round", lambda r: Prescription(straight=(only(r, "round"),)),
        "h = h + ((soft := self.b(h) * 4) + (soft.round() - soft).detach()) / 4",
    ),
    "an epsilon that is added": (
        ("h = h / (h.std(-1, keepdim=True) + 1e-12)", HEAD_LINE),
        "add", lambda r: Prescription(epsilons={only(r, "add"): 0.5}), "(h.std(-1, keepdim=True) + 0.5)",
    ),
    "an epsilon of a function": (
        ("h = F.layer_norm(h, (8,), eps=1e-30)", HEAD_LINE),
        "layer_norm", lambda r: Prescription(epsilons={only(r, "layer_norm"): 0.5}), "F.layer_norm(h, (8,), eps=0.5)",
    ),
    "a limit": (
        ("h = h / h.norm(dim=-1, keepdim=True).clamp(min=1e-30)", HEAD_LINE),
        "clamp", lambda r: Prescription(epsilons={only(r, "clamp"): 4.0}), ".clamp(min=4)",
    ),
    "a column": (
        ("return self.head(h) * self.b(h).mean()",),
        "mean", lambda r: Prescription(squeezed={only(r, "mean"): False}), "return self.head(h) * self.b(h).mean().unsqueeze(-1)",
    ),
    "an argument that is limited": (
        ("h = torch.exp(h * 2)", HEAD_LINE),
        "exp", lambda r: Prescription(guards={only(r, "exp"): (None, 0.5)}), "torch.exp((h * 2).clamp(max=0.5))",
    ),
    "a denominator": (
        ("h = self.b(h) / h", HEAD_LINE),
        "div", lambda r: Prescription(denominators={only(r, "div"): 0.25}),
        "self.b(h) / torch.where(h.abs() < 0.25, torch.where(h < 0, -0.25, 0.25), h)",
    ),
    "an axis by place": (
        ("h = F.softmax(h, 0)", HEAD_LINE),
        "softmax", lambda r: Prescription(axes={only(r, "softmax"): 1}), "F.softmax(h, 1)",
    ),
    "an axis by name": (
        ("h = h.softmax(dim=0)", HEAD_LINE),
        "softmax", lambda r: Prescription(axes={only(r, "softmax"): 1}), "h.softmax(dim=1)",
    ),
    "data": (
        ("h = self.b(h).data + 0.1 * h", HEAD_LINE),
        "data", lambda r: Prescription(removed=(only(r, "data"),)), "h = self.b(h) + 0.1 * h",
    ),
    "a branch of a sum": (
        ("h = torch.relu(self.b(h)) + h", HEAD_LINE),
        "add", lambda r: Prescription(balance={only(r, "add"): (only(r, "relu"), 0.25)}), "h = 0.25 * torch.relu(self.b(h)) + h",
    ),
    "a branch with a name": (
        ("y = torch.relu(self.b(h))", "h = h + y", HEAD_LINE),
        "add", lambda r: Prescription(balance={only(r, "add"): (only(r, "relu"), 0.25)}), "h = h + 0.25 * y",
    ),
    "a branch of a module": (
        ("h = h + self.b(h)", HEAD_LINE),
        "add", lambda r: Prescription(balance={only(r, "add"): ("b", 0.25)}), "h = h + 0.25 * self.b(h)",
    ),
    "branches of a loop": (
        ("for _ in range(3):", "    h = h + torch.relu(self.b(h))", HEAD_LINE),
        "add",
        lambda r: Prescription(balance={f"/add#{k}": (f"/relu#{k}", 0.25) for k in (1, 2, 3)}),
        "h = h + 0.25 * torch.relu(self.b(h))",
    ),
    "an activation by another name": (
        ("h = torch.sigmoid(h)", HEAD_LINE),
        "sigmoid", lambda r: Prescription(activations={only(r, "sigmoid"): "softplus"}), "h = torch.nn.functional.softplus(h)",
    ),
    "a normalisation before": (
        ("h = torch.tanh(h + 1)", HEAD_LINE),
        "tanh", lambda r: Prescription(normalised=(only(r, "tanh"),), normalisation="rms"),
        "torch.tanh(torch.nn.functional.rms_norm((h + 1), (h + 1).shape[-1:]))",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_patched_source_computes_what_the_substitute_did(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines, operation, prescribe, becomes = CASES[name]
    module = imported(source_of(*lines), tmp_path)
    model = seeded(module.Net)
    run = measure(model, batch(), F.cross_entropy)
    assert only(run, operation)
    prescription = prescribe(run)
    treated = seeded(module.Net)
    carry_out(prescription, treated, seed=0)
    wanted = gradients(treated)
    patch, paste = write_patch(prescription, run, module.Net, treated)
    assert becomes in patch, patch + paste
    path = apply_patch(patch, tmp_path)
    for one, other in zip(gradients(seeded(reloaded(path).Net)), wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("lines", "prescribe"),
    [
        # One line makes two sites, of which one must stay.
        (("h = torch.tanh(torch.tanh(h))", HEAD_LINE), lambda r: Prescription(activations={"/tanh#1": "relu"})),
        # What is divided by has no name.
        (("h = self.b(h) * 1.0 / (2 + h)", HEAD_LINE), lambda r: Prescription(denominators={only(r, "div"): 0.1})),
        # An addition in place has no value.
        (("h += 1e-12", HEAD_LINE), lambda r: Prescription(epsilons={only(r, "add"): 0.1})),
        # Both arguments hold what is multiplied.
        (
            ("y = torch.relu(h)", "h = (y + 1) * 0 + y + y", HEAD_LINE),
            lambda r: Prescription(balance={"/add#3": ("/relu#1", 0.5)}),
        ),
        # No line of the model says it.
        ((HEAD_LINE,), lambda r: Prescription(standardised_input=True)),
    ],
)
def test_what_has_no_one_place_is_given_as_lines_to_paste(
    lines: tuple[str, ...], prescribe: Callable[[Run], Prescription], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(source_of(*lines), tmp_path)
    run = measure(seeded(module.Net), batch(), F.cross_entropy)
    patch, paste = write_patch(prescribe(run), run, module.Net, seeded(module.Net))
    assert patch == "" and paste


@pytest.mark.parametrize(
    ("optimizer", "prescription", "becomes"),
    [
        ("SGD(model.parameters(), lr=0.1)", Prescription(rate=0.03), "SGD(model.parameters(), lr=0.003)"),
        ("SGD(model.parameters(), 0.1, momentum=0.9)", Prescription(rate=2), "SGD(model.parameters(), 0.2, momentum=0.9)"),
        ("Adam(model.parameters())", Prescription(rate=0.1), "Adam(model.parameters(), lr=0.0001)"),
        ("Adam(model.parameters(), eps=1.0)", Prescription(settings={"eps": 1e-8}), "Adam(model.parameters(), eps=1e-08)"),
        ("SGD(model.parameters(), lr=10 * 0.1)", Prescription(rate=0.5), "SGD(model.parameters(), lr=0.5 * (10 * 0.1))"),
        ("SGD(model.parameters(), lr=0.1)", Prescription(adam=True), "Adam(model.parameters())"),
        ("SGD(model.head.parameters(), lr=0.1)", Prescription(owned=True), "SGD(model.parameters(), lr=0.1)"),
    ],
)  # fmt: skip
def test_the_optimizer_is_changed_where_it_is_made(
    optimizer: str, prescription: Prescription, becomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(source_of(HEAD_LINE, optimizer=optimizer), tmp_path)
    model, _, loss, made = seeded(module.build)
    run = measure(model, batch(), loss, optimizer=made)
    patch, _ = write_patch(prescription, run, module.build, model)
    assert f"+    optimizer = torch.optim.{becomes}\n" in patch, patch
    apply_patch(patch, tmp_path)


def test_an_optimizer_with_another_rate_is_another_optimizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(source_of(HEAD_LINE), tmp_path)
    model = seeded(module.Net)
    elsewhere = torch.optim.SGD(model.parameters(), lr=0.7)
    run = measure(model, batch(), F.cross_entropy, optimizer=elsewhere)
    patch, paste = write_patch(Prescription(rate=0.1), run, module.build, model)
    assert patch == "" and "*= 0.1" in paste


LISTED = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(64, 64) for _ in range(3)]
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)
"""
MEMORY = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = nn.RNN(8, 32, nonlinearity="tanh", batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.memory(x.view(-1, 8, 8))[0][:, -1])
"""


@pytest.mark.parametrize(
    ("text", "prescription", "becomes"),
    [
        (
            LISTED,
            Prescription(registered=True),
            "self.layers = torch.nn.ModuleList([nn.Linear(64, 64) for _ in range(3)])",
        ),
        (MEMORY, Prescription(gated=("memory",)), "self.memory = nn.GRU(8, 32, batch_first=True)"),
        (
            MEMORY.replace(", batch_first=True", ""),
            Prescription(batch_first=("memory",)),
            'self.memory = nn.RNN(8, 32, nonlinearity="tanh", batch_first=True)',
        ),
    ],
)
def test_layers_are_changed_where_they_are_made(
    text: str, prescription: Prescription, becomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(text, tmp_path)
    given = (torch.randn(16, 64), torch.randint(10, (16,)))
    treated = seeded(module.Net)
    run = measure(treated, given, F.cross_entropy)
    gate_recurrence(treated, prescription.gated, seed=0)
    carry_out(prescription, treated, seed=0)
    if prescription.registered:
        register_modules(treated)
    patch, paste = write_patch(prescription, run, module.Net, treated)
    assert f"+        {becomes}\n" in patch, patch + paste
    model = seeded(reloaded(apply_patch(patch, tmp_path)).Net)
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in treated.named_parameters()}
    if not prescription.gated:  # a GRU's weights are drawn in another order
        torch.testing.assert_close(model(given[0]), treated(given[0]))
