"""Endings: nobody closed the watch, and its record is whole; nobody read anything, and nothing is called healthy."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import photic
from photic.records.stores import StoreReader

SCRIPT = """
import sys, torch, photic
from torch import nn
def pair():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)
held, dropped = pair(), pair()
watch = photic.watch(*held, record=sys.argv[1])
photic.watch(*dropped, record=sys.argv[2])
for _ in range(37):
    for model, optimizer in (held, dropped):
        optimizer.zero_grad()
        model(torch.ones(3, 4)).square().mean().backward()
        optimizer.step()
sys.exit(3)
"""


def test_a_watch_that_nobody_closes_leaves_a_whole_record(tmp_path: Path) -> None:
    """Whether the script holds the handle or not."""
    records = [str(tmp_path / "held.sqlite"), str(tmp_path / "dropped.sqlite")]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *records], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and not done.stderr
    for record in records:
        reader = StoreReader(Path(record))
        assert reader.facts()["steps"] == 37
        reader.close()


def test_a_closed_watch_is_not_kept_alive() -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = photic.watch(model, optimizer)
    watch.close()
    gone = weakref.ref(watch)
    del watch
    gc.collect()
    assert gone() is None


def test_what_was_never_read_is_not_called_healthy() -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with photic.watch(model, optimizer) as watch:
        assert watch.healthy is None
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(model(torch.randn(8, 4)), torch.randn(8, 2)).backward()
            optimizer.step()
    assert watch.healthy is True
