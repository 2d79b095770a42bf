"""Sweeps: stopped and resumed to the same bits, nothing computed twice, theory beside the trained networks."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from photic.cli.main import run
from photic.lab import sweep as sweeps
from photic.lab.drawings_phases import draw_sweep
from photic.lab.sweep import Grid, sweep
from photic.records import documents
from photic.reports.sweeps import shares

GRID = Grid(weight_variances=(0.25, 1.76, 6.0), depths=(2, 6), widths=(8, 300), steps=4, seeds=2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "cache"))


def test_a_killed_sweep_goes_on_where_it_stopped_and_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep(GRID)
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "other"))
    trained: list[int] = []
    real = sweeps.train

    def dying(networks: list[sweeps.Plain], given: object) -> object:
        trained.append(len(networks))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(networks, given)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeps, "train", dying)
    with pytest.raises(KeyboardInterrupt):
        sweep(GRID)
    again = sweep(GRID)
    assert documents.to_json(again) == documents.to_json(whole)
    assert len(trained) == len(GRID.stacks()) + 1  # the one that died is trained again, nothing else twice
    sweep(GRID)
    assert len(trained) == len(GRID.stacks()) + 1


@pytest.mark.slow
def test_a_sweep_killed_by_the_system_leaves_whole_results_and_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL after the first result, as an out-of-memory killer would; the sweep is then asked for again."""
    grid = Grid(weight_variances=(0.5, 1.76), depths=tuple(range(2, 12)), widths=(48,), steps=80)
    program = f"from photic.lab.sweep import Grid, sweep; sweep({grid!r})"
    environment = {**os.environ, "PHOTIC_CACHE": str(tmp_path / "killed")}
    killed = subprocess.Popen([sys.executable, "-c", program], env=environment)
    while not list((tmp_path / "killed").glob("sweeps/*.json")):
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.wait()
    kept = len(list((tmp_path / "killed").glob("sweeps/*.json")))
    assert 1 <= kept < len(grid.stacks()) == 10  # else nothing was left to do
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "killed"))
    again = sweep(grid)
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "whole"))
    assert documents.to_json(again) == documents.to_json(sweep(grid))


def test_stacks_hold_the_whole_grid_in_its_order_narrow_ones_together_wide_ones_alone() -> None:
    stacks = GRID.stacks()
    assert tuple(network for stack in stacks for network in stack) == GRID.networks()
    assert {len(stack) for stack in stacks if stack[0].width == 8} == {6}
    assert {len(stack) for stack in stacks if stack[0].width == 300} == {1}
    assert all(len({network.shape for network in stack}) == 1 for stack in stacks)


def test_theory_puts_the_critical_line_where_the_depth_scale_is_endless() -> None:
    """tanh with Var[b] = 0.05: critical at 1.76095, xi_c = 15.8 at 1.5 (schoenholz2017, by its equations)."""
    found = sweep(Grid(weight_variances=(1.5, 1.76095), depths=(2,), widths=(8,), steps=2))
    assert math.isclose(found.critical["tanh"], 1.76095, rel_tol=1e-4)
    assert math.isclose(found.theory[0].correlation_scale, 15.8, rel_tol=0.01)
    assert found.theory[-1].correlation_scale > 1000
    assert sweep(Grid(activations=("gelu",), depths=(2,), widths=(8,), steps=2)).critical == {}


def test_networks_within_their_depth_scales_learn_and_those_far_beyond_do_not(tmp_path: Path) -> None:
    """A depth of 48 is within 6 scales of the critical point only; at 0.25 the scale is 0.7 layers."""
    grid = Grid(weight_variances=(0.25, 1.76), depths=(2, 24), widths=(32,), steps=200, learning_rates=(0.03,))
    found = sweep(grid)
    accuracy = {(p.depth, p.weight_variance): p.accuracy for p in found.points}
    assert accuracy[24, 1.76] > 0.6 and accuracy[2, 1.76] > 0.6 and accuracy[24, 0.25] < 0.25
    (_, near, far) = shares(found)[0]
    assert near[0] == near[1] and far == (0, 1)
    assert draw_sweep(found, tmp_path / "sweep.png").stat().st_size > 10_000
    assert documents.from_json(documents.to_json(found)) == found


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.svg"
    small = ["--scales", "2", "--depth", "2", "--depth", "3", "--width", "8", "--steps", "2", "--out", str(out)]
    assert run(["sweep", "tanh", "relu", *small, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["record"]
    assert len(record["points"]) == 8 and out.exists()
    assert run(["sweep", "wobble", *small]) == 2
    assert "no activation 'wobble'" in capsys.readouterr().err
    assert run(["sweep", "tanh", "--rate", "1", "--rate", "2", *small]) == 2


@pytest.mark.slow
def test_the_documented_experiment_runs_and_wide_networks_forgive_no_less_than_narrow_ones() -> None:
    from photic.lab.examples.own_experiment import GRID as OWN
    from photic.lab.examples.own_experiment import tolerance

    shares = tolerance(sweep(OWN))
    assert set(shares) == {16, 64} and 0.2 <= shares[16] <= shares[64] <= 1.0
