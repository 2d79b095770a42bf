"""`photic run` where the disk is full, the place read-only, the process is ended, or workers load the data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from photic.records.stores import StoreReader
from tests.cli.test_run import LOOP, MODEL, launched, photic, plainly

LIMITED = """
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # what is imported from here on would be cut off and break every process that comes later
"""


@pytest.mark.parametrize(
    "size", [3_000, pytest.param(60_000, marks=pytest.mark.slow)]
)  # the first is less than a page of the database
def test_a_full_disk_ends_the_record_and_nothing_else(tmp_path: Path, size: int) -> None:
    """No file may grow beyond `size` bytes: what a full disk looks like to whoever writes."""
    (tmp_path / "script.py").write_text(LIMITED.format(size) + MODEL + LOOP.format(act="", inside="pass"))
    done = photic(tmp_path, "script.py", anew=True)
    assert done.returncode == 0 and done.stdout == plainly(tmp_path).stdout, done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("Warning") <= 1, done.stderr


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "photic-runs").write_text("")  # no folder can be made here, nor a file in it
    done = launched(tmp_path, "exits")
    assert done.returncode == 7 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("Warning") == 1 and "keeps no record" in done.stderr and "watched" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_a_process_that_is_ended_leaves_the_record_so_far(tmp_path: Path, number: signal.Signals, code: int) -> None:
    inside = f"step == 20 and (__import__('time').sleep(1.0), __import__('os').kill(__import__('os').getpid(), {int(number)}))"
    (tmp_path / "script.py").write_text(MODEL + LOOP.format(act="", inside=inside))
    assert photic(tmp_path, "script.py").returncode == code
    _kept(tmp_path)


def test_a_script_that_leaves_through_the_back_door(tmp_path: Path) -> None:
    inside = "step == 20 and (__import__('time').sleep(1.0), __import__('os')._exit(5))"
    (tmp_path / "script.py").write_text(MODEL + LOOP.format(act="", inside=inside))
    assert photic(tmp_path, "script.py", anew=True).returncode == 5
    _kept(tmp_path)


def _kept(folder: Path) -> None:
    (store,) = (folder / "photic-runs").glob("*.sqlite")
    reader = StoreReader(store)
    assert len(reader.rows("loss")) >= 2 and reader.lost == 0 and reader.damage == ""
    reader.close()


WORKERS = """
from torch.utils.data import DataLoader, TensorDataset
if __name__ == "__main__":
    model = Net(); optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    torch.manual_seed(1)
    for x, y in DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True, num_workers=2, multiprocessing_context={context!r}):
        optimizer.zero_grad(); loss = F.cross_entropy(model(x), y); loss.backward(); optimizer.step()
    print("final", loss.item())
"""


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_that_load_the_data_are_left_alone(tmp_path: Path, context: str) -> None:
    (tmp_path / "script.py").write_text(MODEL + WORKERS.format(context=context))
    done = photic(tmp_path, "script.py", anew=context == "spawn")
    assert done.returncode == 0 and done.stdout == plainly(tmp_path).stdout, done.stderr
    assert "watched 3 steps" in done.stderr or "watched 4 steps" in done.stderr, done.stderr


def test_two_runs_in_one_second_have_a_record_each(tmp_path: Path) -> None:
    from photic.cli.commands.run import _unused

    taken = [_unused(tmp_path / "runs", "train-1").name for _ in range(3)]
    assert taken == ["train-1.sqlite", "train-1-2.sqlite", "train-1-3.sqlite"]


def test_a_page_that_cannot_be_served_leaves_the_training(tmp_path: Path) -> None:
    """The server is a process of its own; here it cannot even begin, as its folder is a file."""
    (tmp_path / "photic-runs").write_text("")
    done = launched(tmp_path, "exits", before=("--serve",))
    assert done.returncode == 7 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_from_outside_ends_as_python_ends(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        MODEL + LOOP.format(act="", inside="print(step, flush=True)").replace("range(40)", "range(10**7)")
    )
    command = [sys.executable, "-m", "photic", "run", "script.py"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(20):
        child.stdout.readline()
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=120)
    assert child.returncode == 130 and "KeyboardInterrupt" in error and "watched" in error
