#!/usr/bin/env python3
"""Set up and run photic's development tasks: demo, test, check, bench. Needs Python 3.11+ and nothing else."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / ".photic-setup"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
CONSTRAINTS = ROOT / "constraints.txt"
TORCH = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def fingerprint() -> str:
    """Return a hash of all that decides what is installed."""
    parts = [sys.version, str(VENV), (ROOT / "pyproject.toml").read_text(), CONSTRAINTS.read_text()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def say(text: str) -> None:
    print(f"[dev] {text}", file=sys.stderr, flush=True)


def attempt(title: str, command: list[str]) -> str | None:
    """Run a command quietly; return None when it worked, else what it printed."""
    say(f"{title} ...")
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    say(f"{title}: {'done' if done.returncode == 0 else 'no'} ({time.perf_counter() - start:.0f} s)")
    return None if done.returncode == 0 else done.stdout


def must(title: str, command: list[str]) -> None:
    failure = attempt(title, command)
    if failure is not None:
        say(failure[-6000:])
        raise SystemExit(f"[dev] {title} failed; the output is above. Command: {' '.join(command)}")


def pip(*arguments: str) -> list[str]:
    return [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", *arguments]


def set_up() -> None:
    """Make .venv with a CPU torch and everything that the constraints pin; at once if that was done before."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    if not PYTHON.exists():
        failure = attempt("make .venv", [sys.executable, "-m", "venv", str(VENV)])
        if failure is not None:
            raise SystemExit(f"[dev] {failure}\n[dev] python3 -m venv failed; on Debian: apt-get install python3-venv")
    STAMP.unlink(missing_ok=True)
    version = TORCH.removeprefix("torch==")
    installed = subprocess.run(
        [str(PYTHON), "-c", "import importlib.metadata as m; print(m.version('torch'))"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if installed.split("+")[0] != version:
        constrained = ["-c", str(CONSTRAINTS)]
        quick = ["--retries", "1", "--timeout", "10"]
        # A constraint `==2.13.0` refuses `+cpu` nowhere: local versions satisfy it.
        sources = (
            ("take the CPU build of torch from the configured sources", [*quick, f"{TORCH}+cpu", *constrained]),
            ("take the CPU build of torch from the PyTorch index", [*quick, "--index-url", CPU_INDEX, f"{TORCH}+cpu"]),
            ("take torch as the package index has it (large)", [TORCH, *constrained]),
        )
        for title, arguments in sources:
            failure = attempt(title, pip(*arguments))
            if failure is None:
                break
        else:
            raise SystemExit(f"[dev] {failure}\n[dev] torch {version} could not be installed from any source")
    must("install photic and its tools", pip("-c", str(CONSTRAINTS), "-e", ".[lab,dev]"))
    part = STAMP.with_suffix(".part")
    part.write_text(wanted)
    part.replace(STAMP)  # only a finished set-up leaves a stamp


def run(*command: str, tool: str | None = None) -> int:
    program = str(BIN / tool) if tool else str(PYTHON)
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run([program, *command], cwd=ROOT, env=environment, check=False).returncode


def test(arguments: list[str]) -> int:
    parallel = [] if any(argument.startswith("-n") for argument in arguments) else ["-n", "2"]
    return run("-m", "pytest", "-q", *parallel, *arguments)


def check(arguments: list[str]) -> int:
    """All that keeps the code as it should be; the tests come last."""
    steps = {
        "format": lambda: run("format", "--check", ".", tool="ruff"),
        "lint": lambda: run("check", ".", tool="ruff"),
        "types": lambda: run("--pythonpath", str(PYTHON), tool="pyright"),
        "layers": lambda: run(tool="lint-imports"),
        "tests": lambda: test(arguments),
    }
    failed = []
    for name, step in steps.items():
        say(f"{name} ...")
        if step() != 0:
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "all green")
    return 1 if failed else 0


def bench(arguments: list[str]) -> int:
    known = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
    name = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if name is None:
        print("benchmarks: " + ", ".join(known))
        return 0
    if name not in known:
        print(f"no benchmark {name!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    return run(str(ROOT / "benchmarks" / f"{name}.py"), *arguments[1:])


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  # this file is what tells people so
        raise SystemExit(f"[dev] Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    parser = argparse.ArgumentParser(description=__doc__)
    commands = {
        "demo": ("show the whole chain on a deep sigmoid network and real data", lambda a: run("-m", "photic", "demo", *a)),
        "test": ("run the tests; further arguments go to pytest", test),
        "check": ("format, lint, types, layers, tests", check),
        "bench": ("run a benchmark: bench [NAME] [--json]", bench),
    }
    choices = parser.add_subparsers(dest="command", required=True)
    for name, (text, _) in commands.items():
        choices.add_parser(name, help=text, add_help=False)
    chosen, rest = parser.parse_known_args()
    set_up()
    return commands[chosen.command][1](rest)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
