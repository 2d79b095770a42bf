"""The n-th call of a socket fails in the server beside a run, n = 1, 2, 3 ... until none is left: the training goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.test_run import LOOP, MODEL, plainly

WAITING = (
    "step == 20 and [__import__('time').sleep(0.05) for _ in range(1200) if not __import__('os').path.exists('go')]"
)
FAILING = """
import os, socket
calls = 0
def failing(name):
    original = getattr(socket.socket, name)
    def call(self, *given):
        global calls
        calls += 1
        if calls == {nth} or ({sticky} and calls > {nth}):
            open("blown", "a").write(name + "\\n")
            raise OSError(5, "injected")
        return original(self, *given)
    return call
for name in ("bind", "listen", "accept", "recv", "send", "setsockopt", "setblocking", "getsockname", "close"):
    setattr(socket.socket, name, failing(name))
"""


def run(folder: Path, nth: int, sticky: bool) -> tuple[int, str, str, bool]:
    """Return exit code, output, errors, and whether a call has failed."""
    (folder / "faults").mkdir(parents=True)
    (folder / "faults" / "sitecustomize.py").write_text(FAILING.format(nth=nth, sticky=sticky))
    (folder / "script.py").write_text(MODEL + LOOP.format(act="", inside=WAITING))
    path = os.pathsep.join([str(folder / "faults"), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.Popen(
        [sys.executable, "-m", "photic", "run", "--serve", "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stderr is not None
    said: list[str] = []
    printed: list[str] = []
    readers = [
        threading.Thread(target=into.extend, args=(stream,))
        for into, stream in ((said, child.stderr), (printed, child.stdout))
    ]
    for reader in readers:
        reader.start()
    until = time.monotonic() + 20
    while time.monotonic() < until and child.poll() is None and not (folder / "blown").exists():
        address = re.search(r"http://\S+", "".join(said))
        if address is not None:
            with suppress(OSError):
                urllib.request.urlopen(address[0], timeout=2).read()
            break
        time.sleep(0.1)
    (folder / "go").write_text("")
    code = child.wait(timeout=120)
    for reader in readers:
        reader.join()
    child.stdout.close()
    child.stderr.close()
    return code, "".join(printed), "".join(said), (folder / "blown").exists()


def faults(most: int) -> Iterator[tuple[int, bool]]:
    yield from ((nth, sticky) for nth in range(1, most) for sticky in (False, True))


def wrong(folder: Path, nth: int, sticky: bool, expected: str) -> tuple[list[str], bool]:
    code, printed, said, blown = run(folder, nth, sticky)
    found = [f"exit code {code}"] if code else []
    found += ["the training printed something else"] if printed != expected else []
    found += [] if "watched" in said else ["no verdict"]
    return [f"call {nth}, sticky {sticky}: {what}\n{said[-800:]}" for what in found], blown


@pytest.fixture
def expected(tmp_path: Path) -> str:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "script.py").write_text(MODEL + LOOP.format(act="", inside="pass"))
    return plainly(folder).stdout


def test_the_first_socket_call_fails_for_ever(tmp_path: Path, expected: str) -> None:
    found, blown = wrong(tmp_path / "run", 1, True, expected)
    assert blown and found == []


@pytest.mark.slow
def test_every_socket_call_fails_in_turn(tmp_path: Path, expected: str) -> None:
    done = 0
    for nth, sticky in faults(60):
        found, blown = wrong(tmp_path / f"{nth} {sticky}", nth, sticky, expected)
        assert found == []
        done += blown
        if not blown:
            break
    assert done >= 6
