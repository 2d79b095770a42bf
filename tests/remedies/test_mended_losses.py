"""Faults inside the loss: the mended loss proves the cure, and both the untreated and the treated network are judged by it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.cli.targets import load
from photic.diagnosis import penalty as module
from photic.diagnosis.graph import Graph
from photic.diagnosis.penalty import heavy_penalty
from photic.diagnosis.told_nothing import HeldAtNothing
from photic.remedies.patch import apply_patch
from tests.remedies.test_lost_on_the_way import adam, dealt, drawn
from tests.remedies.test_structure import CATALOGUE, cured
from tests.zoo import seeded


def curves() -> list[Any]:
    where = torch.linspace(0.0, 6.0, 40)
    x = torch.sin(where * (1.0 + drawn(512, 1).abs())) + drawn(512, 2)[:, 1:]
    return dealt(x, x)


class Code(nn.Module):
    """A curve to a code beside noise, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.mean, self.spread = nn.Linear(40, 64), nn.Linear(64, 4), nn.Linear(64, 4)
        self.back = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 40))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.relu(self.enter(x))
        mean, spread = self.mean(h), self.spread(h)
        return self.back(mean + torch.exp(0.5 * spread) * torch.randn_like(mean)), mean, spread


def bound(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    back, mean, spread = output
    penalty = -0.5 * (1 + spread - mean.pow(2) - spread.exp()).sum()
    return F.mse_loss(back, x) + penalty


def even_bound(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    error = F.mse_loss(output[0], x)
    return error + (bound(output, x) - error) / x.numel()


def test_a_penalty_that_is_a_sum_beside_a_mean_is_weighed_as_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = photic.check(seeded(Code), curves(), bound, adam).findings[0]
    assert found.problem == "class-prior-only" and "held at nothing" in found.reason, found
    treatment = cured("even-penalty", monkeypatch, Code, curves(), bound, optimizer=adam, steps=250)
    trial = next(t for t in treatment.trials if t.remedy == "even-penalty")
    assert trial.reason.startswith("by the mended loss") and any(
        "mends the loss" in note for note in treatment.record.notes
    )
    assert "0.0003906 * penalty" in treatment.patch, treatment.paste


def test_the_treated_loss_is_the_bound_with_the_penalty_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured("even-penalty", monkeypatch, Code, curves(), bound, optimizer=adam, steps=250)
    setup = treatment.setup()
    x = curves()[0][0]
    with torch.no_grad():
        output = setup.model(x)
        assert setup.loss is not None
        torch.testing.assert_close(setup.loss(output, x), even_bound(output, x))


def test_a_penalty_that_is_weighed_as_the_error_is_left_alone() -> None:
    checkup = photic.check(seeded(Code), curves(), even_bound, adam)
    assert "class-prior-only" not in [f.problem for f in checkup.findings]
    assert isinstance(CATALOGUE["even-penalty"].prescribe(Graph.of(checkup.run)), str)


SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def of_places(logits, mask):
    return F.cross_entropy(logits.reshape(-1, 3), mask.reshape(-1))


def in_order(logits, mask):
    return F.cross_entropy(logits.movedim(1, -1).reshape(-1, 3), mask.reshape(-1))
"""


def spots() -> list[Any]:
    x = drawn(256, 8, 8).cumsum(1).cumsum(2)[:, None] / 8.0
    return dealt(x, (x[:, 0] > -0.3).long() + (x[:, 0] > 0.3).long(), 16)


def test_rows_of_scores_as_they_lie_are_found_and_the_patch_moves_the_classes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seg.py").write_text(SOURCE)
    build = load("seg.py:Net").build
    wrong, right = (_function(tmp_path / "seg.py", name) for name in ("of_places", "in_order"))
    found = photic.check(build(), spots(), wrong, adam).findings[0]
    assert found.problem == "mixed-examples" and "compared with the target of one" in found.reason, found
    assert photic.check(build(), spots(), right, adam).healthy
    treatment = cured("channels-last", monkeypatch, build, spots(), wrong, optimizer=adam, steps=150)
    assert "logits.movedim(1, -1)" in treatment.patch and "mask.movedim" not in treatment.patch, treatment.paste
    apply_patch(treatment.patch, tmp_path)
    assert photic.check(build(), spots(), _function(tmp_path / "seg.py", "of_places"), adam).healthy


def _function(path: Path, name: str) -> Any:
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    return space[name]


def seldom() -> list[Any]:
    y = (torch.rand(640, generator=torch.Generator().manual_seed(9)) < 0.08).long()
    return dealt(drawn(640, 5) + 1.5 * y[:, None], y)


def test_class_weights_that_grow_with_the_counts_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.92, 0.08]))
    build = partial(nn.Linear, 5, 2)
    treatment = cured("turned-weights", monkeypatch, lambda: seeded(build), seldom(), loss, optimizer=adam, steps=200)
    assert "by the mended loss" in next(t.reason for t in treatment.trials if t.remedy == "turned-weights")
    weighed, torch_loss = treatment.setup().loss, nn.CrossEntropyLoss(weight=torch.tensor([0.08, 0.92]))
    scores, y = drawn(64, 2), seldom()[0][1]
    assert weighed is not None
    torch.testing.assert_close(weighed(scores, y), torch_loss(scores, y))
    even = nn.CrossEntropyLoss(weight=torch.tensor([0.08, 0.92]))
    assert "class-prior-only" not in [f.problem for f in photic.check(seeded(build), seldom(), even, adam).findings]


@pytest.mark.parametrize(
    ("penalty", "factor"),
    [
        (lambda each, x: each.sum(), 1.0 / (64 * 40)),
        (lambda each, x: each.sum() / len(x), 1.0 / 40),
        (lambda each, x: each.sum(1).mean(), 1.0 / 40),
        (lambda each, x: 20.0 * each.sum() / x.numel(), 1.0 / 20),
        (lambda each, x: each.sum() / x.numel(), None),
        (lambda each, x: each.mean(), 1.0 / 10),
    ],
)
def test_a_penalty_is_weighed_by_its_sums_means_and_factors(
    penalty: Any, factor: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        back, mean, spread = output
        return F.mse_loss(back, x) + penalty(-0.5 * (1 + spread - mean.pow(2) - spread.exp()), x)

    run = photic.check(seeded(Code), curves(), loss, adam).run
    code, total = run.site("mean").order, run.site("/add#1").order
    monkeypatch.setattr(module, "held_at_nothing", lambda _: HeldAtNothing(total, code, 0.0, 1.0))
    found = heavy_penalty(Graph.of(run))
    assert (found is None) if factor is None else (found is not None and found.factor == pytest.approx(factor))
