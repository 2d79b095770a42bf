"""Run a user's script as Python itself would: argv, `__main__`, imports, exit code and traceback are its own."""

from __future__ import annotations

import runpy
import sys
import traceback
import types
from collections.abc import Sequence
from pathlib import Path

from photic.cli.failures import TargetFailure


def run_script(script: str, arguments: Sequence[str], *, module: bool = False) -> int:
    """Run a script (or with `module` what `python -m` runs) to its end and return its exit code.

    An exception is printed as Python prints it, without our frames; one that stops the training by request is one line.

    Raises:
        TargetFailure: if there is no such script.
        KeyboardInterrupt: as the script got it, after its traceback was printed.
    """
    if not module and not Path(script).is_file():
        raise TargetFailure(f"there is no script {script}; write `photic run train.py --its-own-options`")
    saved_argv, saved_path, saved_main = sys.argv, list(sys.path), sys.modules.get("__main__")
    sys.argv = [script, *arguments]
    try:
        sys.path[0] = "" if module else str(Path(script).resolve().parent)
        if module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        else:
            _execute(script)
        return 0
    except SystemExit as stop:
        return _code(stop)
    except KeyboardInterrupt:
        _show()
        raise
    except BaseException as error:
        if type(error).__name__ == "TrainingStopped" and type(error).__module__.startswith("photic."):
            print(f"photic: {error}", file=sys.stderr)  # asked for: no traceback of the user's loop
        else:
            _show()
        return 1
    finally:
        sys.argv, sys.path[:] = saved_argv, saved_path
        if saved_main is not None:
            sys.modules["__main__"] = saved_main


def _execute(script: str) -> None:
    """Run the file as the module `__main__`, which stays importable for worker processes."""
    main = types.ModuleType("__main__")
    main.__file__ = script
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    code = compile(Path(script).read_bytes(), script, "exec")
    exec(code, main.__dict__)


def _code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr)
    return 1


def _show() -> None:
    kind, error, trace = sys.exc_info()
    while trace is not None and (
        "photic" in Path(trace.tb_frame.f_code.co_filename).parts or "runpy" in trace.tb_frame.f_code.co_filename
    ):
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)
