"""Edits of the source: the patched file computes what the trial computed by substitutes, whatever way a line is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from photic.probes.audit import measure
from photic.records.runs import Run
from photic.remedies.carry_out import carry_out
from photic.remedies.patch import apply_patch, write_patch
from photic.remedies.prescription import Prescription
from tests.remedies.sources import HEAD_LINE, batch, gradients, imported, only, reloaded, seeded, source_of

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
        "h = h + ((unrounded := self.b(h) * 4) + (unrounded.round() - unrounded).detach()) / 4",
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
        "mean", lambda r: Prescription(squeezed={only(r, "mean"): ("unsqueeze", -1)}), "return self.head(h) * self.b(h).mean().unsqueeze(-1)",
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
    "a mask of a method": (
        ("h = h.masked_fill(h > 0, 0.5)", HEAD_LINE),
        "masked_fill", lambda r: Prescription(turned_masks=(only(r, "masked_fill"),)), "h.masked_fill(~(h > 0), 0.5)",
    ),
    "a mask of a function": (
        ("h = torch.where(x[:, :1] > 0, h, h * 2)", HEAD_LINE),
        "where", lambda r: Prescription(turned_masks=(only(r, "where"),)), "torch.where(~(x[:, :1] > 0), h, h * 2)",
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


MAPS = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 10)

    def forward(self, x):
        return self.head(torch.relu(self.one(x.view(-1, 1, 8, 8))).mean((2, 3)))
"""


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_maps_are_normalised_over_all_numbers_of_an_example(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(MAPS, tmp_path)
    given = (torch.randn(16, 64), torch.randint(10, (16,)))
    run = measure(seeded(module.Net), given, F.cross_entropy)
    prescription = Prescription(normalised=("/relu#1",), normalisation=kind)
    treated = seeded(module.Net)
    carry_out(prescription, treated, seed=0)
    patch, _ = write_patch(prescription, run, module.Net, treated)
    model = seeded(reloaded(apply_patch(patch, tmp_path)).Net)
    torch.testing.assert_close(model(given[0]), treated(given[0]))


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
