"""Lightning, the Trainer of transformers and Accelerate (DDP, FSDP2) on two ranks: one verdict, the numbers of a plain loop over all data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integrations import plain_loop as plain

SCRIPT = str(Path(__file__).with_name("trainer_ranks.py"))
NEEDS = {
    "lightning": "lightning.pytorch", "transformers": "transformers", "accelerate": "accelerate", "accelerate-fsdp2": "accelerate",
}  # fmt: skip


def results(trainer: str, folder: Path, *words: str) -> list[dict[str, Any]]:
    pytest.importorskip(NEEDS[trainer], exc_type=ImportError)
    way = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = str(Path(__file__).parents[2])
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": os.pathsep.join((root, os.environ.get("PYTHONPATH", ""))),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *way, SCRIPT, trainer, str(folder), *words],
        env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("trainer", list(NEEDS))
@pytest.mark.parametrize("state", ["", "sick"])
def test_two_ranks_have_one_verdict_and_the_numbers_of_all_data(trainer: str, state: str, tmp_path: Path) -> None:
    """A step of two ranks is one of the plain loop, which accumulates over two micro-batches."""
    net = plain.build(activation=torch.sigmoid, depth=10) if state else plain.build()
    alone = plain.train(net)
    assert alone is not None and alone.run is not None
    found = results(trainer, tmp_path, *([state] if state else []))
    assert [rank["faults"] for rank in found] == [[], []]
    assert found[0]["findings"] == found[1]["findings"] and found[0]["numbers"] == found[1]["numbers"]
    assert [rank["written"] for rank in found] == [True, False]
    assert found[0]["steps"] == [0, 8]
    expected = {name: value for name, value in plain.numbers(alone.run).items() if not name.endswith("arrives")}
    assert {name: found[0]["numbers"][name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert {problem for problem, _ in found[0]["findings"]} == {f.problem for f in alone.findings}


@pytest.mark.parametrize("trainer", list(NEEDS))
def test_two_ranks_train_the_same_bits_with_and_without(trainer: str, tmp_path: Path) -> None:
    for way in ("watched", "plain"):
        (tmp_path / way).mkdir()
    watched = results(trainer, tmp_path / "watched")
    plainly = results(trainer, tmp_path / "plain", "plain")
    assert all("numbers" in rank for rank in watched) and not any("numbers" in rank for rank in plainly)
    assert [rank["weights"] for rank in watched] == [rank["weights"] for rank in plainly]
    assert (plainly[0]["weights"] == plainly[1]["weights"]) == (trainer != "accelerate-fsdp2")  # of FSDP2, shards
