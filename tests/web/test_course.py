"""The course of a run: one step has one number on the whole page, and readings that are not evenly spaced are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from photic.checkups.check import check
from photic.cli.output import report_view
from photic.records.stores import StoreReader, StoreWriter
from photic.reports.page import page
from photic.reports.view import network_of_store, view_of
from tests import zoo


def network(path: Path, steps: list[int]) -> dict[str, Any]:
    with StoreWriter(path) as writer:
        writer.fact("modules", ["first", "second"])
        for step in steps:
            writer.row("glance/gradient", step, [0.5, 1.0])
            writer.row("loss", step, [1.0 / (step + 1)])
    reader = StoreReader(path)
    found = network_of_store(reader, title=path.stem)
    reader.close()
    return found


def shown(open_tab: Any, path: Path, *networks: dict[str, Any]) -> Any:
    path.write_text(page({"mode": "report", "runs": list(networks), "treatment": None}), encoding="utf-8")
    tab = open_tab(path.as_uri())
    tab.page.locator(".course .readout", has_text="of the top").first.wait_for()
    return tab


class Encoder(nn.Module):
    """Eight encoder layers: the gradient's way leads over their skips."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        self.embedding, self.encoder = nn.Embedding(20, 16), nn.TransformerEncoder(layer, 8)
        self.head = nn.Linear(16, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embedding(x))).mean(1)


def test_the_budget_of_a_transformer_has_a_row_for_each_block(open_tab: Any, tmp_path: Path) -> None:
    batch = (torch.randint(20, (4, 6)), torch.randint(20, (4,)))
    found = check(zoo.seeded(Encoder), [batch], F.cross_entropy, steps=2)
    path = tmp_path / "page.html"
    path.write_text(page(report_view(found)), encoding="utf-8")
    tab = open_tab(path.as_uri())
    tab.page.get_by_text("The budget in numbers").click()
    rows = tab.page.locator("section", has_text="the gradient budget").locator("tbody tr td:first-child")
    assert rows.all_inner_texts() == ["head", *(f"encoder.layers.{k}" for k in reversed(range(8)))]
    left = tab.page.locator("section", has_text="the gradient budget").locator("tbody tr td:last-child").last
    assert found.diagnosis.profile is not None and found.diagnosis.profile.transport is not None
    assert float(left.inner_text()) == pytest.approx(found.diagnosis.profile.transport, rel=0.01)
    tab.page.close()


def test_the_signal_that_theory_expects_stands_beside_the_measured_one() -> None:
    found = check(zoo.seeded(zoo.Mlp), [zoo.vectors()], F.cross_entropy, steps=2)
    hidden = report_view(found)["runs"][0]["profile"]["layers"][:-1]
    for layer in hidden:
        assert layer["predicted_mean"] == pytest.approx(0.5, abs=1e-6)  # of a sigmoid under a centred signal
        assert layer["signal_mean"] == pytest.approx(layer["predicted_mean"], abs=0.05)
        assert layer["signal_deviation"] == pytest.approx(layer["predicted_deviation"], rel=0.3)


def test_losses_and_readings_of_a_check_count_steps_alike() -> None:
    checkup = check(zoo.seeded(zoo.Mlp), [zoo.vectors(k) for k in range(3)], F.cross_entropy, steps=5)
    (found,) = view_of(checkup)["runs"]
    assert found["loss_steps"] == [0, 1, 2, 3, 4] and found["heats"][0]["steps"] == [0, 4]


def test_cursors_of_compared_runs_stand_at_the_same_step(open_tab: Any, tmp_path: Path) -> None:
    dense = network(tmp_path / "dense.sqlite", list(range(20)))
    sparse = network(tmp_path / "sparse.sqlite", [0, 5, 10, 15])
    tab = shown(open_tab, tmp_path / "page.html", dense, sparse)
    tab.page.locator(".course input[type=range]").first.fill("12")
    first, second = tab.page.locator(".course > .readout").all_inner_texts()
    assert first.startswith("step 12,") and second.startswith("step 10,")
    tab.page.close()


def test_uneven_readings_are_explained_and_the_losses_stand_in_their_columns(open_tab: Any, tmp_path: Path) -> None:
    tab = shown(open_tab, tmp_path / "page.html", network(tmp_path / "run.sqlite", [0, 2, 8, 32, 128]))
    assert "5 readings, at steps 0, 2, 8, 32, 128" in tab.text()
    loss = tab.page.get_by_role("group", name="Loss; arrow keys move")
    loss.focus()
    for _ in range(4):
        tab.page.keyboard.press("ArrowRight")
    assert "step 32: loss 0.0303" in tab.text() and tab.errors == []
    tab.page.close()
    even = shown(open_tab, tmp_path / "page.html", network(tmp_path / "even.sqlite", [0, 2, 4]))
    assert "readings, at steps" not in even.text()
    even.page.close()


def test_a_store_of_any_name_is_shown(tmp_path: Path) -> None:
    from photic.cli.main import run

    store, target = tmp_path / "training.log", tmp_path / "report.html"
    with StoreWriter(store) as writer:
        writer.fact("modules", ["a", "b"])
        writer.row("glance/gradient", 0, [1.0, 2.0])
    assert run(["report", str(store), "--html", str(target)]) == 0
    assert "glance/gradient" in target.read_text()
    (tmp_path / "none.log").write_text("no store")
    assert run(["report", str(tmp_path / "none.log"), "--html", str(target)]) == 3
