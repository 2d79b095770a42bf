"""Layer rows: glances and audits of one run make one picture."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from photic.records.stores import StoreReader, StoreWriter
from photic.reports.layer_rows import layer_rows


@pytest.fixture
def store(tmp_path: Path) -> StoreReader:
    with StoreWriter(tmp_path / "run.sqlite") as writer:
        writer.fact("modules", ["first", "shared", "unseen"])
        writer.fact("sites", ["first", "shared", "/sigmoid#1", "shared#2"])
        for step in (1, 3):
            writer.row("audit/gradient", step, [0.5, 3.0, 9.0, 4.0])
            writer.row("audit/signal", step, [0.5, 1.0, 9.0, 7.0])
        writer.row("glance/gradient", 2, [0.25, 1.0, 1.0])
    return StoreReader(tmp_path / "run.sqlite")


def test_audited_steps_stand_between_the_glances(store: StoreReader) -> None:
    rows = layer_rows(store, "glance/gradient", store.facts())
    assert [step for step, _ in rows] == [1, 2, 3]
    first, shared, unseen = rows[0][1]
    assert (first, shared) == (0.5, 5.0) and math.isnan(
        unseen
    )  # 3 and 4 in squares: one tensor of both calls has norm 5
    assert rows[1][1] == (0.25, 1.0, 1.0)
    assert [step for step, _ in layer_rows(store, "glance/gradient", store.facts(), after=2)] == [3]
    store.close()


def test_signals_of_several_calls_are_averaged_in_the_mean_square(store: StoreReader) -> None:
    rows = layer_rows(store, "glance/signal", store.facts())
    assert [row[1][1] for row in rows] == [5.0, 5.0]  # sqrt((1 + 49) / 2)
    assert [step for step, _ in layer_rows(store, "loss", store.facts())] == []
    store.close()
