"""The `photic` command: finds the commands, parses, and turns results and errors into exit codes."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from photic import __version__
from photic.cli.completion import install_completion
from photic.cli.failures import Failure

USAGE = 2


def app() -> App:
    """Return the application with every command in `photic.cli.commands`."""
    made = App(
        name="photic",
        version=__version__,
        help="Tells how deep the error gradient reaches in a neural network, why it fades, and what cures it. Begin with "
        "`photic check model.py:build`, `photic run train.py`, or `photic demo`.",
        default_parameter=Parameter(negative_iterable=()),
    )
    folder: Any = importlib.import_module("photic.cli.commands")
    for info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"photic.cli.commands.{info.name}")
        made.command(getattr(module, info.name), name=info.name)
    made.command(install_completion, name="--install-completion")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    raise SystemExit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    exported = "--trust" in arguments and any(a.endswith(".pt2") for a in arguments)
    if exported and arguments[0] in _TRUSTING and "PHOTIC_CHILD" not in os.environ:
        from photic.cli.sources import in_a_child

        return in_a_child(list(arguments))
    try:
        result: Any = app()(guarded(arguments), exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return USAGE
    except Failure as failure:
        failure.tell("--json" in arguments)
        return failure.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return result if isinstance(result, int) else 0


_TRUSTING = (
    "check",
    "treat",
)  # the commands that load exported programs; a script that is run has arguments of its own

# Options of `photic run` that take a value; whatever follows the script belongs to the script.
_WITH_VALUE = {"--budget", "--fail-on", "--stop-on", "--ignore", "--record", "--html"}


def guarded(arguments: Sequence[str]) -> list[str]:
    """Put `--` before the script of `photic run`, so that its options are not taken for ours."""
    given = list(arguments)
    if given[:1] != ["run"] or "--help" in given[1:2]:
        return given
    place = 1
    while place < len(given) and given[place].startswith("-") and given[place] != "--":
        place += 2 if given[place] in _WITH_VALUE else 1
    return given if place >= len(given) or given[place] == "--" else [*given[:place], "--", *given[place:]]
