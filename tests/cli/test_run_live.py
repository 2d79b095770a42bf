"""`photic run --live` through a pty: a view that is redrawn in place, the script's own lines above it, the verdict below."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.test_run import SCRIPTS, photic

LATER = """
for step in range(30):
    optimizer.zero_grad(); F.cross_entropy(model(X), Y).backward(); optimizer.step()
second = Net(torch.sigmoid, 10, False)
optimizer = torch.optim.SGD(second.parameters(), lr=0.05)
for step in range(30):
    optimizer.zero_grad(); F.cross_entropy(second(X), Y).backward(); optimizer.step()
"""


def on_a_terminal(folder: Path, *command: str) -> str:
    """Return all that a command writes to a terminal of 120 columns and 40 lines."""
    master, slave = pty.openpty()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    written = b""
    until = time.monotonic() + 240.0
    while time.monotonic() < until:
        if select.select([master], [], [], 0.2)[0]:
            try:
                written += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
        elif process.poll() is not None:
            break
    os.close(master)
    assert process.wait(timeout=60) == 0
    return written.decode()


def test_the_view_is_redrawn_in_place_with_the_worst_layer_first(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPTS["sick"])
    written = on_a_terminal(tmp_path, sys.executable, "-m", "photic", "run", "--live", "script.py")
    assert "\x1b[1A" in written or "\x1b[2K" in written  # the cursor goes up: in place
    frames = written.split("worst layers first")
    assert len(frames) >= 4
    rows = [line for line in frames[-1].splitlines() if line.strip().startswith(("layers.", "head"))]
    assert (rows[0].strip().startswith("layers.0") and rows[-1].strip().startswith("head")) or len(rows) > 10
    assert "critical vanishing-gradient" in frames[-1] and "█" in frames[-1] and "the gradient reaches" in frames[-1]
    assert written.index("final") < written.rindex("vanishing-gradient: the gradient reaches")


def test_without_a_terminal_there_is_a_line_for_every_audit(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPTS["sick"])
    done = photic(tmp_path, "--live", "script.py")
    lines = [line for line in done.stderr.splitlines() if line.startswith("photic: step ")]
    assert len([line for line in lines if "the gradient reaches" in line and "|" in line]) >= 3
    assert "\x1b[" not in done.stderr


def test_a_finding_stops_the_script_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPTS["sick"])
    done = photic(tmp_path, "--stop-on", "critical", "script.py")
    assert done.returncode == 1 and "final" not in done.stdout
    assert "photic stopped the training" in done.stderr and "Traceback" not in done.stderr
    assert "watched 4 steps" in done.stderr


def test_a_second_training_in_the_script_has_its_own_verdict(tmp_path: Path) -> None:
    head = SCRIPTS["plain"].split("for step in range")[0]
    (tmp_path / "script.py").write_text(head + LATER)
    done = photic(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    assert "training 1 of 2: Net" in done.stderr and "training 2 of 2: Net" in done.stderr
    assert "critical vanishing-gradient" in done.stderr.split("training 2 of 2")[1]
    assert len(list((tmp_path / "photic-runs").glob("*.sqlite"))) == 2
