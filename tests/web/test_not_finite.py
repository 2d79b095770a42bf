"""What is zero, not finite or not measured is told apart: in the record, in the colours, and in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import photic
from photic.records.moments import Moments, told_signal
from photic.records.stores import StoreReader, StoreWriter
from photic.reports.page import page
from photic.reports.view import view_of_store

CELL = """([column, row, columns, rows]) => {
    const c = document.querySelector('.heat canvas'), g = c.getContext('2d'), left = 150, h = c.height - 22, w = c.width - left;
    const wide = w / columns, tall = h / rows;
    const d = g.getImageData(Math.round(left + wide * column + 3), Math.round(tall * row + 3), Math.round(wide - 6), Math.round(tall - 6)).data;
    const seen = new Set(); for (let i = 0; i < d.length; i += 4) seen.add([d[i], d[i + 1], d[i + 2]].join(','));
    return [...seen] }"""


def diverging(record: Path) -> None:
    """A training that overflows after a few steps and is nan from then on."""
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(16, 16), nn.ReLU())], nn.Linear(16, 2))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=30.0)
    x, y = torch.randn(32, 16), torch.randint(2, (32,))
    with photic.watch(model, optimizer, record=record, every=1) as watch:
        for step in range(12):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            watch._recording.loss(step, float(loss.detach()))


def test_a_diverging_training_is_recorded_as_not_finite_and_never_as_zero(tmp_path: Path) -> None:
    diverging(tmp_path / "run.sqlite")
    reader = StoreReader(tmp_path / "run.sqlite")
    for series in ("glance/gradient", "glance/signal", "audit/gradient"):
        step, values = reader.rows(series)[-1]
        assert step >= 8 and len(values) > 10
        assert 0.0 not in values, series  # of the operations, the loss itself still hears a gradient of 1
        assert sum(math.isinf(value) for value in values) >= 10, series
    assert all(math.isinf(value) for value in reader.rows("audit/update")[-1][1])
    assert math.isfinite(reader.rows("glance/gradient")[0][1][0])
    reader.close()


def test_a_mask_is_not_taken_for_an_overflow() -> None:
    masked = Moments(count=4, mean=1.0, rms=2.0, maximum=3.0, nonfinite=2)
    assert told_signal("masked_fill", masked) == 2.0 and math.isinf(told_signal("linear", masked))
    assert math.isnan(told_signal("linear", None))


def test_the_page_of_a_diverged_training_says_so(tmp_path: Path, open_tab: Any) -> None:
    diverging(tmp_path / "run.sqlite")
    reader = StoreReader(tmp_path / "run.sqlite")
    path = tmp_path / "report.html"
    path.write_text(page(view_of_store(reader, title="run")), encoding="utf-8")
    reader.close()
    tab = open_tab(path.as_uri())
    tab.page.locator(".course .readout", has_text="not finite").wait_for()
    assert "the loss is not a finite number" in tab.text() and tab.errors == []
    last = tab.page.evaluate(CELL, [11, 0, 12, 13])
    assert "214,0,122" in last  # magenta
    tab.page.close()


@pytest.mark.parametrize("dress", ["light", "dark"])
def test_zero_and_not_measured_look_like_nothing_on_the_scale(tmp_path: Path, open_tab: Any, dress: str) -> None:
    with StoreWriter(tmp_path / "run.sqlite") as writer:
        writer.fact("modules", ["zero", "missing", "middle", "one"])
        for step in range(4):
            writer.row("glance/signal", step, [0.0, math.nan, 1e-2 * 10.0**step, 1.0])
    reader = StoreReader(tmp_path / "run.sqlite")
    path = tmp_path / "report.html"
    path.write_text(page(view_of_store(reader, title="run")), encoding="utf-8")
    reader.close()
    tab = open_tab(path.as_uri(), dress=dress)
    tab.page.locator(".course .readout", has_text="zero: 0 rms").wait_for()
    zero, missing, middle = (tab.page.evaluate(CELL, [0, row, 4, 4]) for row in (3, 2, 1))
    assert {"255,255,255", "58,64,71"} <= set(zero)  # hatched
    assert missing == [{"light": "245,246,248", "dark": "29,33,37"}[dress]]
    assert len(middle) <= 3 and not set(middle) & (set(zero) | set(missing))
    assert {"zero", "not finite", "not measured"} <= set(tab.page.locator(".heatmap .key").all_inner_texts())
    tab.page.close()
