"""Engines: local clusters of two workers give the table of one process, bit for bit. Ray, Dask and submitit run in `python3 dev.py engines`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from photic.lab.engines import Engine, carry_out
from photic.lab.sweep import Grid, place, sweep
from photic.records import documents

GRID = Grid(weight_variances=(0.5, 2.0), depths=(2, 3, 4), widths=(8,), steps=4)
NEEDS = {"loky": "joblib", "ray": "ray", "dask": "distributed", "submitit-local": "submitit"}


@pytest.mark.parametrize("engine", NEEDS)
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_two_workers_gives_the_same_bits(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        importlib.import_module(NEEDS[engine])
    except Exception:
        pytest.skip(f"{NEEDS[engine]} is not installed")
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "one"))
    one = sweep(GRID)
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "cluster"))
    many = sweep(GRID, engine=engine, processes=2)
    assert documents.to_json(many) == documents.to_json(one)
    assert all(place(stack, GRID).exists() for stack in GRID.stacks())


def add(one: int, other: int) -> int:
    return one + other


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_is_carried_out_once(processes: int) -> None:
    jobs: list[tuple[Any, ...]] = [(i, 10 * i) for i in range(7)]
    assert sorted(carry_out(add, jobs, processes=processes)) == [11 * i for i in range(7)]
    assert list(carry_out(add, [], processes=processes)) == []
