"""The package as people get it: wheel and sdist built, installed into clean environments, and used.

Builds the sdist and, from it, the wheel, with the pinned hatchling. Installs the wheel without extras beside a CPU torch and runs `check`,
`run`, `report`, `serve` (start, fetch, stop) and `--install-completion`; then with `[lab]` the demo and a paper. Prints sizes and how long
`import photic`, `photic --version` and `photic --help` take (median of five).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
LARGEST = 2_000_000
PAPER = "jozefowicz2015"
MODEL = """
import torch, torch.nn.functional as F
from torch import nn
def build():
    layers = [part for _ in range(8) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Linear(16, 3)), [(torch.randn(32, 16), torch.randint(3, (32,)))], F.cross_entropy
"""
SCRIPT = """
from model import build, torch, F
model, ((x, y),), loss = build()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(40):
    optimizer.zero_grad(); value = loss(model(x), y); value.backward(); optimizer.step()
print("trained")
"""


class Wrong(Exception):
    """Something does not hold."""


def bare() -> dict[str, str]:
    """Return an environment in which nothing of this checkout can be imported by accident."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    pins = {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)}
    return {**kept, **pins, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1"}


def run(*command: Any, cwd: Path, codes: tuple[int, ...] = (0,), **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**bare(), **more}, capture_output=True, text=True, check=False
    )
    if done.returncode not in codes:
        raise Wrong(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done


def environment(place: Path) -> Path:
    """Make an environment and return its folder of programs."""
    run(sys.executable, "-m", "venv", place, cwd=ROOT)
    return place / ("Scripts" if os.name == "nt" else "bin")


def built(folder: Path) -> tuple[Path, Path]:
    """Return the sdist, and the wheel that was built from it alone."""
    pinned = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("hatchling=="))
    programs = environment(folder / "builder")
    run(programs / "python", "-m", "pip", "install", pinned, cwd=ROOT)
    run(programs / "python", "-m", "hatchling", "build", "-t", "sdist", "-d", folder / "dist", cwd=ROOT)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    run(programs / "python", "-m", "pip", "wheel", sdist, "--no-deps", "-w", folder / "dist", cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    return sdist, wheel


def contents(sdist: Path, wheel: Path) -> dict[str, Any]:
    """Return sizes; the page, the scoreboard and the types must be inside, and nothing foreign."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for needed in ("photic/reports/page.html", "photic/lab/scoreboard.json", "photic/py.typed"):
        if needed not in names:
            raise Wrong(f"{needed} is not in the wheel")
    foreign = [name for name in names if not name.startswith(("photic/", "photic-"))]
    if foreign or wheel.stat().st_size > LARGEST:
        raise Wrong(f"the wheel has {wheel.stat().st_size} bytes and holds {foreign[:5]}")
    with tarfile.open(sdist) as archive:
        inside = [member.name.partition("/")[2] for member in archive.getmembers()]
    strange = [name for name in inside if re.search(r"node_modules|__pycache__|\.venv|\.sqlite", name)]
    if strange or "src/photic/reports/page.html" not in inside or "LICENSE" not in inside:
        raise Wrong(f"the sdist lacks something or holds {strange[:5]}")
    return {"wheel_mb": wheel.stat().st_size / 1e6, "wheel_files": len(names), "sdist_mb": sdist.stat().st_size / 1e6}


def seconds(*command: Any, cwd: Path) -> float:
    taken: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        run(*command, cwd=cwd)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def served(photic: Path, work: Path) -> None:
    """Start the server, fetch the page and the list of runs, and stop it."""
    server = subprocess.Popen(
        [str(photic), "serve", "photic-runs", "--port", "0"], cwd=work, env=bare(), stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        if found is None:
            raise Wrong("photic serve prints no address")
        for path, expected in (("/", b"<!doctype html>"), ("/api/runs", b"train")):
            for attempt in range(50):
                try:
                    with urllib.request.urlopen(found[0].rstrip("/") + path, timeout=20) as answer:
                        text = answer.read()
                    break
                except OSError:
                    if attempt == 49:
                        raise
                    time.sleep(0.2)
            if expected not in text.lower():
                raise Wrong(f"photic serve answers {path} with {text[:100]!r}")
    finally:
        server.terminate()
        server.wait(timeout=20)


def used(programs: Path, wheel: Path, work: Path, *, lab: bool) -> dict[str, Any]:
    """Install and use the wheel; return times."""
    python, photic = programs / "python", programs / "photic"
    torch = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    pip = (python, "-m", "pip", "install")
    if subprocess.run(
        [str(part) for part in (*pip, "--no-deps", f"{torch}+cpu")], cwd=work, env=bare(), capture_output=True
    ).returncode:
        run(*pip, "--no-deps", f"{torch}+cpu", "--index-url", "https://download.pytorch.org/whl/cpu", cwd=work)
    run(*pip, wheel, cwd=work)
    found: dict[str, Any] = {
        "packages": len(json.loads(run(python, "-m", "pip", "list", "--format", "json", cwd=work).stdout))
    }
    (work / "model.py").write_text(MODEL)
    (work / "train.py").write_text(SCRIPT)
    checked = run(photic, "check", "model.py:build", "--json", cwd=work, codes=(1,))
    problems = [f["problem"] for f in json.loads(checked.stdout)["record"]["diagnosis"]["findings"]]
    if "vanishing-gradient" not in problems:
        raise Wrong(f"photic check finds {problems}")
    trained = run(photic, "run", "train.py", cwd=work)
    if trained.stdout != "trained\n":
        raise Wrong(f"photic run prints {trained.stdout!r}")
    (store,) = (work / "photic-runs").glob("*.sqlite")
    run(photic, "report", store, "--html", "report.html", cwd=work)
    if "<html" not in (work / "report.html").read_text(encoding="utf-8").lower():
        raise Wrong("photic report writes no page")
    served(photic, work)
    run(photic, "--install-completion", "--shell", "bash", "--output", work / "completion", cwd=work, HOME=str(work))
    if "photic" not in (work / "completion").read_text():
        raise Wrong("there is no completion")
    nothing = seconds(python, "-c", "pass", cwd=work)
    found["import_seconds"] = seconds(python, "-c", "import photic", cwd=work) - nothing
    found["version_seconds"] = seconds(photic, "--version", cwd=work)
    found["help_seconds"] = seconds(photic, "--help", cwd=work)
    found["python_seconds"] = nothing
    if lab:
        run(*pip, f"{wheel}[lab]", cwd=work)
        start = time.perf_counter()
        story = json.loads(run(photic, "demo", "--json", cwd=work).stdout)
        found["demo_seconds"] = time.perf_counter() - start
        found["demo"] = [story["untreated"]["test_accuracy"], story["treated"]["test_accuracy"]]
        start = time.perf_counter()
        said = run(
            photic,
            "reproduce",
            PAPER,
            "--seeds",
            "1",
            "--json",
            cwd=work,
            PHOTIC_CACHE=str(work / "cache"),
            codes=(0, 1),
        )
        found["paper_seconds"] = time.perf_counter() - start
        found["paper_claims"] = len(json.loads(said.stdout)["papers"][0]["claims"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--without-lab", action="store_true", help="leave out the demo and the paper")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="photic-wheel-"))
    try:
        sdist, wheel = built(folder)
        result = contents(sdist, wheel)
        work = folder / "work"
        work.mkdir()
        result |= used(environment(folder / "clean"), wheel, work, lab=not options.without_lab)
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:16} {value:.3f}" if isinstance(value, float) else f"{name:16} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
