"""Children with a head start: commands of this Python that find torch and photic already imported.

Importing takes a child three to four seconds, and hundreds are started. So each process of pytest has one server, which imports
what they need, computes nothing, has no second thread, and forks: the child takes the place, arguments, environment and outputs of
the command. What is about start-up itself, what is imported when, signals, limits of the system or the interpreter's own end starts
a process of its own. So does every child where this is not Linux, or with `PHOTIC_CHILDREN=real`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.process
import os
import pkgutil
import runpy
import select
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

_AHEAD = (
    *("torch._dynamo.convert_frame", "torch.distributed.fsdp", "torch.distributed.tensor.parallel"),
    *("photic.checkups.check", "photic.checkups.discovery", "photic.checkups.predict", "photic.remedies.treat"),
    *("photic.integrations.distributed", "photic.cli.main", "photic.cli.script"),
    *(
        "photic.cli.live",
        "photic.cli.proof",
        "photic.cli.serving",
        "photic.cli.sources",
        "photic.cli.targets",
        "photic.reports.terminal",
    ),
    "scipy.optimize",
)
_ALL_OF = (
    "photic.cli.commands",
    "photic.diagnosis.rules",
    "photic.remedies.catalogue",
)  # found by their place, at the first use
_REAL = subprocess.run  # a test may put another in its place


def run(
    command: Sequence[str], *, cwd: Path | None = None, input: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `[sys.executable, "-m", MODULE, ...]`, `[..., "-c", PROGRAM, ...]` or a script; return what `subprocess.run` does."""
    variables, place = {**os.environ, **environment}, str(cwd or Path.cwd())
    if sys.platform != "linux" or os.environ.get("PHOTIC_CHILDREN") == "real":
        return _REAL(command, cwd=place, env=variables, input=input, capture_output=True, text=True, check=False)
    asked = json.dumps({"words": command[1:], "cwd": place, "environment": variables})
    made = tempfile.TemporaryFile
    with socket.socket(socket.AF_UNIX) as line, made() as given, made() as out, made() as err:
        given.write(input.encode())
        given.seek(0)
        line.connect(_server())
        socket.send_fds(line, [b"!"], [given.fileno(), out.fileno(), err.fileno()])
        line.sendall(asked.encode() + b"\n")
        code = int(line.recv(16))
        said = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    return subprocess.CompletedProcess(command, code, *said)


@cache
def _server() -> str:
    """Start the server and return its address; it ends when its input does, with this process."""
    address = str(Path(tempfile.mkdtemp(prefix="photic-children-")) / "socket")
    # Libraries start their threads when they are imported: before a fork there may be one alone.
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, address]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=alone)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    atexit.register(server.communicate)
    return address


def one_arm_at_a_time() -> Callable[[], None]:
    """Let a treatment train its arms in turn unless it is told otherwise, and return what takes that back.

    No number depends on it, the cores have their workers, and a fork costs more than most arms.
    """
    from photic.remedies import treat as module

    plain = module.at_once
    module.at_once = lambda model, asked, _: plain(model, asked or 1)
    return lambda: setattr(module, "at_once", plain)


def serve(address: str) -> None:
    """Fork for every command that is asked for."""
    for name in (*_AHEAD, *_ALL_OF):
        importlib.import_module(name)
    for package in _ALL_OF:
        for module in pkgutil.iter_modules(sys.modules[package].__path__, prefix=f"{package}."):
            importlib.import_module(module.name)
    one_arm_at_a_time()
    gc.freeze()  # or each child would touch, and so copy, every object that was made here
    assert len(os.listdir("/proc/self/task")) == 1, "an import started a thread, which no child would have"
    door = socket.socket(socket.AF_UNIX)
    door.bind(address)
    door.listen(64)
    os.write(1, b"ready\n")
    while door in select.select([door, sys.stdin], [], [])[0]:
        line, _ = door.accept()
        if os.fork() == 0:  # this one waits for the command and tells its exit code
            _, files, _, _ = socket.recv_fds(line, 1, 3)
            asked = json.loads(line.makefile().readline())
            if (child := os.fork()) == 0:
                door.close()
                line.close()
                os._exit(_become(asked, files))
            line.sendall(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
            os._exit(0)
        line.close()
    Path(address).unlink()
    Path(address).parent.rmdir()
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass
    os._exit(0)


def _become(asked: dict[str, Any], files: list[int]) -> int:
    """Do what the interpreter does with its command line, up to the flushing of its outputs; return the exit code."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    multiprocessing.process.ORIGINAL_DIR = asked["cwd"]  # from where a worker that is spawned finds the script
    way, *rest = asked["words"]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    code: Any = None
    try:
        if way == "-m":
            sys.argv, sys.path[0] = ["-m", *rest[1:]], asked["cwd"]
            runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
        elif way == "-c":
            sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
            exec(compile(rest[0], "<string>", "exec"), main.__dict__)
        else:
            sys.argv, sys.path[0], main.__file__ = [way, *rest], str(Path(way).resolve().parent), way
            exec(compile(Path(way).read_bytes(), way, "exec"), main.__dict__)
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if isinstance(code, str):
        sys.stderr.write(code + "\n")
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return 1 if isinstance(code, str) else int(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
