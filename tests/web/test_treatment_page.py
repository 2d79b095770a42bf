"""A real treatment in a browser: its report with trials, patch and two trees, and its row in the dashboard."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from starlette.testclient import TestClient

from photic.cli.output import report_view
from photic.records import documents
from photic.records.treatments import TreatmentRecord
from photic.remedies.treat import treat
from photic.reports.page import page
from photic.web.folder import Folder
from photic.web.server import application
from tests import zoo


def sgd(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def record() -> TreatmentRecord:
    """A deep sigmoid network on data that a line separates, cured."""
    draw = torch.Generator().manual_seed(0)
    teacher = torch.randn(64, 4, generator=draw)
    inputs = [torch.randn(32, 64, generator=draw) for _ in range(16)]
    batches = [(x, (x @ teacher).argmax(1)) for x in inputs]
    found = treat(zoo.seeded(lambda: zoo.Mlp(torch.sigmoid, 10)), batches, F.cross_entropy, optimizer=sgd, steps=60)
    assert found.record.remedy
    return found.record


def test_the_report_of_a_treatment_is_whole(record: TreatmentRecord, open_tab: Any, tmp_path: Path) -> None:
    path = tmp_path / "treatment.html"
    path.write_text(page(report_view(record, with_source=True)), encoding="utf-8")
    tab = open_tab(path.as_uri(), width=400)
    verdicts = tab.page.locator(".verdict h1, .verdict h2").all_inner_texts()
    assert len(verdicts) == 2 and verdicts[0].startswith("vanishing-gradient") and verdicts[1].startswith("healthy")
    trials = tab.page.locator("section").filter(has=tab.page.get_by_role("heading", name="Trials")).first
    rows = trials.locator("tbody tr").all_inner_texts()
    assert len(rows) == len(record.trials)
    (chosen,) = [row for row in rows if "chosen" in row]
    assert chosen.startswith(record.remedy)
    why = trials.locator("tbody tr td:last-child").first.bounding_box()
    assert why is not None and why["width"] > 250  # not one word wide
    assert tab.page.get_by_role("group", name="Patch" if record.patch else "Lines to paste").count() == 1
    assert tab.page.locator(".tree").count() == 2
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 400
    assert tab.violations() == [] and tab.errors == []
    tab.page.close()


def test_the_list_of_runs_says_what_cured_a_network(record: TreatmentRecord, tmp_path: Path) -> None:
    documents.write(record, tmp_path / "treated.json")
    documents.write(dataclasses.replace(record, after=None, remedy=""), tmp_path / "untreated.json")
    entries = {entry.name: entry for entry in Folder(tmp_path).entries()}
    cured, sick = entries["treated"], entries["untreated"]
    assert cured.verdict == f"vanishing-gradient cured by {record.remedy}: the gradient reaches 11 of 11 layers"
    assert cured.healthy and not sick.healthy
    assert sick.verdict.startswith("vanishing-gradient: the gradient reaches 2 of 11") and "cured it" in sick.verdict
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    assert client.get(f"/api/runs/{cured.id}").json()["treatment"]["remedy"] == record.remedy
