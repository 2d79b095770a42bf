#!/usr/bin/env python3
"""Set up and run photic's tasks: demo, test, check, docs, bench, zoo, engines, claims, page. Needs Python 3.11 or newer and nothing else.

The first call makes `.venv` beside this file and installs into it the versions that `constraints.txt` pins.
Later calls start at once, until the constraints, pyproject.toml or the Python change.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "photic-set-up.sha256"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
SUFFIX = ".exe" if os.name == "nt" else ""
PYTHON = BIN / f"python{SUFFIX}"
CONSTRAINTS = ROOT / "constraints.txt"
BESIDE_OTHERS = (
    *("tests/integrations", "tests/docs/test_pages.py"),
    *("tests/cli/test_run_trainers.py", "tests/cli/test_mcp.py", "tests/cli/test_sources.py"),
)
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def say(text: str) -> None:
    """Report progress on stderr: stdout belongs to the task."""
    print(f"[dev] {text}", file=sys.stderr, flush=True)


def fingerprint() -> str:
    """Return a hash of all that decides what is installed."""
    parts = [sys.version, str(VENV), (ROOT / "pyproject.toml").read_text(), CONSTRAINTS.read_text()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def failure_of(title: str, command: list[str], constraints: Path = CONSTRAINTS) -> str:
    """Run a command quietly; return '' when it worked, else what it printed."""
    say(f"{title} ...")
    start = time.perf_counter()
    # pip builds the package apart from .venv: what it builds with is pinned too, under its old and its new name.
    pinned = {"PIP_CONSTRAINT": str(constraints), "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **pinned},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    say(f"{title}: {'not possible' if done.returncode else 'done'} ({time.perf_counter() - start:.0f} s)")
    return (done.stdout.strip() or f"exit code {done.returncode}") if done.returncode else ""


def works(*arguments: str) -> bool:
    """Tell whether .venv's Python runs with these arguments."""
    try:
        return subprocess.run([str(PYTHON), *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_environment() -> None:
    """Make .venv, or make it again when an interrupted attempt left half of one."""
    if works("-m", "pip", "--version"):
        return
    failure = failure_of("make .venv", [sys.executable, "-m", "venv", "--clear", str(VENV)])
    if failure:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        say(f"`{sys.executable} -m venv` failed; on Debian and Ubuntu that part is the package python{version}-venv")
        raise SystemExit(failure)


def install_torch() -> None:
    """Install the pinned torch, its CPU build where one can be had: the default build brings gigabytes of CUDA."""
    pinned = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    version = pinned.removeprefix("torch==")
    if works("-c", f"import importlib.metadata as m; assert m.version('torch').split('+')[0] == {version!r}"):
        return
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install"]
    patient_once = ["--retries", "1", "--timeout", "10"]
    sources = (
        ("take the CPU build of torch from where pip looks", [*patient_once, "--no-deps", f"{pinned}+cpu"]),
        (
            "take the CPU build of torch from PyTorch's own index",
            [*patient_once, "--no-deps", "--index-url", TORCH_CPU_INDEX, f"{pinned}+cpu"],
        ),
        ("take the default build of torch (on Linux: large)", [pinned]),
    )
    failures = [""]
    for title, arguments in sources:
        failures.append(failure_of(title, [*pip, *arguments]))
        if not failures[-1]:
            return
    raise SystemExit(f"{failures[-1]}\n[dev] torch {version} could not be installed; pip's last words are above")


def set_up() -> None:
    """Make .venv with a CPU torch and all that the constraints pin; return at once if that is done."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    say("setting up .venv; the first time this takes a minute or two")
    STAMP.unlink(missing_ok=True)
    make_environment()
    install_torch()
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install"]
    failure = failure_of("install photic and its tools", [*pip, "-c", str(CONSTRAINTS), "-e", ".[lab,dev,docs]"])
    if failure:
        raise SystemExit(f"{failure}\n[dev] the installation failed; pip's words are above")
    part = STAMP.with_suffix(".part")
    part.write_text(wanted)
    part.replace(STAMP)  # only a finished set-up leaves a stamp


def run(*command: str, tool: str = "python", **variables: str) -> int:
    """Run a program of .venv, with more environment variables, and return its exit code."""
    # Two test processes on two cores: more threads per process only get in each other's way.
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    environment = {**os.environ, **(quiet if tool != "photic" else {}), **variables}
    return subprocess.run([str(BIN / f"{tool}{SUFFIX}"), *command], cwd=ROOT, env=environment, check=False).returncode


def demo(arguments: list[str]) -> int:
    """Show the whole chain on a deep sigmoid network and real data."""
    return run("demo", *arguments, tool="photic")


def test(arguments: list[str]) -> int:
    """Run the tests, or with --integrations those beside the real trainers; further arguments go to pytest."""
    if "--integrations" in arguments:
        chosen = [argument for argument in arguments if argument != "--integrations"]
        places = [] if any(argument.startswith("tests") for argument in chosen) else [*BESIDE_OTHERS]
        return beside(["-m", "pytest", "-q", "-m", "slow or not slow", *places, *chosen])
    # By file, so that what the tests of a file share is made once.
    parallel = [] if any(argument.startswith("-n") for argument in arguments) else ["-n", "2", "--dist", "loadfile"]
    # glibc keeps what a tensor gave back; else the next of its size pays for its pages again, a twentieth of the tests' time.
    kept = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**29)}
    # Images often forbid bytecode; then each process compiles photic and the tests anew, and pytest rewrites them: 13 s of each worker.
    return run("-m", "pytest", "-q", *parallel, *arguments, PYTHONDONTWRITEBYTECODE="", **kept)


PAGE = ROOT / "src" / "photic" / "reports" / "page.html"


def page(arguments: list[str]) -> int:
    """Build the page from web/ into the package, with Node; --check compares only, --pictures makes those of the docs."""
    if "--pictures" in arguments:
        return run(str(ROOT / "docs" / "pictures" / "page.py"))
    web, npm = ROOT / "web", shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        say("the page is built with Node (20 or newer) and npm, which are not here: page.html stays as it is")
        return 0 if "--check" in arguments else 1
    stamp = web / "node_modules" / ".photic-lock"
    lock = (web / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        failure = failure_of(
            "fetch what the page is built with", [npm, "ci", "--prefix", str(web), "--no-fund", "--no-audit"]
        )
        if failure:
            say(failure.splitlines()[-1])
            return 1
        stamp.write_text(lock)
    failure = failure_of("build the page", [npm, "run", "build", "--prefix", str(web)])
    if failure:
        print(failure, file=sys.stderr)
        return 1
    built = (web / "dist" / "index.html").read_text(encoding="utf-8")
    if "--check" not in arguments:
        PAGE.write_text(built, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != built:
        say("page.html is not what web/ builds: run `python3 dev.py page` and commit it")
        return 1
    return 0


def docs(arguments: list[str]) -> int:
    """Build the documentation into build/site, without a network; --write first renews the pages made from the code."""
    made = run(str(ROOT / "docs" / "making" / "pages.py"), *([] if "--write" in arguments else ["--check"]))
    # Without --quiet: with it mkdocs counts no warning, and a page that no other leads to passes.
    failure = failure_of("build the documentation", [str(PYTHON), "-m", "mkdocs", "build", "--strict", "--clean"])
    if failure:
        print(failure, file=sys.stderr)
    else:
        say(f"the documentation is in {ROOT / 'build' / 'site' / 'index.html'}")
    return made or bool(failure)


CLAIMS_SECONDS = 180  # of the part of the papers' claims that CI runs


def claims(arguments: list[str]) -> int:
    """Run the part of the papers' claims that CI runs and say how long it took; more than three minutes is a failure."""
    start = time.perf_counter()
    chosen = ["tests/lab/test_papers.py", "-m", "slow or not slow", "-k", "chosen_claims"]
    failed = run("-m", "pytest", "-q", "-n", "2", *chosen, *arguments)
    seconds = time.perf_counter() - start
    say(f"the chosen claims took {seconds:.0f} s; at most {CLAIMS_SECONDS} are allowed")
    return failed or int(seconds > CLAIMS_SECONDS)


def check(arguments: list[str]) -> int:
    """Run all that CI runs: format, lint, types, layers, the page, the documentation, tests (not these with --no-tests)."""
    steps = {
        "format": lambda: run("format", "--check", ".", tool="ruff"),
        "lint": lambda: run("check", ".", tool="ruff"),
        "types": lambda: run("--pythonpath", str(PYTHON), tool="pyright"),
        "layers": lambda: run("--no-cache", tool="lint-imports"),
        "page": lambda: page(["--check"]),
        "docs": lambda: docs([]),
    }
    if "--no-tests" not in arguments:
        steps["tests"] = lambda: test(arguments)
    failed: list[str] = []
    for name, step in steps.items():
        say(f"{name} ...")
        if step() != 0:
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "all green")
    return 1 if failed else 0


def bench(arguments: list[str]) -> int:
    """Run a benchmark, `bench NAME [--json] [--write]`; without NAME all of them; `bench --list` says what there is."""
    known = sorted({path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")} - {"circumstances", "tables"})
    unknown = [name for name in arguments[:1] if not name.startswith("-") and name not in known]
    if unknown:
        say(f"no benchmark {unknown[0]!r}; there are: {', '.join(known)}")
        return 2
    return run(str(ROOT / "benchmarks" / "tables.py"), *arguments)


# What people use beside us: architectures, trainers, trackers, notebooks. Never in the default environment.
OTHERS = (
    *("transformers", "accelerate", "lightning", "keras", "safetensors"),
    *(
        "wandb",
        "tensorboard",
        "mlflow-skinny",
        "trackio",
        "ipython",
        "marimo",
        "mcp",
        "sqlalchemy",
        "alembic",
        "pillow==12.3.0",
    ),
)


def others() -> Path:
    """Make or renew .venv-zoo, the environment with what people use beside us, and return its Python."""
    environment = ROOT / ".venv-zoo"
    python, stamp = environment / BIN.name / PYTHON.name, environment / STAMP.name
    wanted = hashlib.sha256("\n".join((fingerprint(), *OTHERS)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    failure = failure_of("make .venv-zoo", [sys.executable, "-m", "venv", "--clear", str(environment)])
    lines = CONSTRAINTS.read_text().splitlines()
    pinned = next(line for line in lines if line.startswith("torch=="))
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    failure = failure or failure_of("take torch", [*pip, "--no-deps", f"{pinned}+cpu"])
    # trackio wants an older pillow than matplotlib takes
    constraints = environment / "constraints.txt"
    constraints.write_text("\n".join(line for line in lines if not line.startswith("pillow==")))
    tools = ["pytest", "pytest-xdist", "hypothesis", "setuptools", "wheel"]
    failure = failure or failure_of(
        "install photic, pytest and what people use beside us",
        [*pip, "-c", str(constraints), "-e", ".", *tools, *OTHERS],
        constraints=constraints,
    )
    if failure:
        shutil.rmtree(environment, ignore_errors=True)
        raise SystemExit(f"{failure}\n[dev] the environment of the others could not be made; pip's words are above")
    # Its build asks for the torch that is there; where it does not build, its tests are skipped.
    failure_of("build DeepSpeed", [*pip, "-c", str(constraints), "--no-build-isolation", "deepspeed"], constraints)
    stamp.write_text(wanted)
    return python


def beside(*commands: list[str]) -> int:
    """Run commands of the others' environment, without a network."""
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "KERAS_BACKEND": "torch"}
    python = str(others())
    return max(
        subprocess.run([python, *command], cwd=ROOT, env={**os.environ, **quiet}, check=False).returncode
        for command in commands
    )


def zoo(arguments: list[str]) -> int:
    """Try photic on `transformers` architectures, in an environment of their own; --write renews docs/architectures.md."""
    return beside(
        ["-m", "pytest", "-q", "tests/lab/test_architectures.py"],
        [str(ROOT / "benchmarks" / "architectures.py"), *arguments],
    )


def engines(arguments: list[str]) -> int:
    """Try `photic sweep` on local clusters of two workers (Ray, Dask, submitit), in an environment of their own."""
    environment = ROOT / ".venv-engines"
    python = environment / BIN.name / PYTHON.name
    if not python.exists():
        failure = failure_of("make .venv-engines", [sys.executable, "-m", "venv", "--clear", str(environment)])
        pinned = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
        failure = failure or failure_of("take torch", [*pip, "--no-deps", f"{pinned}+cpu"])
        failure = failure or failure_of(
            "install photic, pytest and the engines",
            [*pip, "-c", str(CONSTRAINTS), "-e", ".[lab,ray,dask,slurm]", "pytest"],
        )
        if failure:
            shutil.rmtree(environment, ignore_errors=True)
            raise SystemExit(f"{failure}\n[dev] the engines could not be installed; pip's words are above")
    patient = {"RAY_raylet_start_wait_time_s": "300", "RAY_worker_register_timeout_seconds": "300"}  # on busy machines
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", **patient}
    tests = [str(python), "-m", "pytest", "-q", "-m", "slow or not slow", "tests/lab/test_engines.py", *arguments]
    return subprocess.run(tests, cwd=ROOT, env=quiet, check=False).returncode


TASKS = {
    "demo": demo,
    "test": test,
    "check": check,
    "docs": docs,
    "bench": bench,
    "zoo": zoo,
    "engines": engines,
    "claims": claims,
    "page": page,
}


def main() -> int:
    """Set up, then run the task that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="{" + ",".join(TASKS) + "}")
    for name, task in TASKS.items():
        tasks.add_parser(name, help=task.__doc__, add_help=False)
    chosen, arguments = parser.parse_known_args()
    set_up()
    return TASKS[chosen.task](arguments)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  # this file is what tells people so
        raise SystemExit("[dev] photic needs Python 3.11 or newer; this is Python " + sys.version.split()[0])
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
