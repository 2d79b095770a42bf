"""Imports: data flows one way, reading needs no torch, and help comes at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from photic.records import documents
from photic.records.runs import Run
from tests.contracts.repository import ROOT, TORCH_FREE, fresh, modules


def test_the_layers_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    tool = str(program) if program.exists() else shutil.which("lint-imports")
    assert tool, "import-linter is not installed beside this Python; `python3 dev.py test` installs it"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [tool, "--no-cache"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_importing_photic_loads_none_of_the_heavy_packages() -> None:
    done = fresh(
        "import photic; print(sorted({'torch', 'numpy', 'scipy', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_what_reads_records_works_where_torch_is_not_installed() -> None:
    wanted = modules(*TORCH_FREE)
    assert len(wanted) > 20
    code = "sys.modules['torch'] = None\nimport importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = fresh(code, *wanted)
    assert done.returncode == 0, done.stderr


def test_help_loads_none_of_the_heavy_packages() -> None:
    code = (
        "from photic.cli.main import run; code = run(['--help'])\n"
        "print(code, sorted({'torch', 'numpy', 'scipy', 'matplotlib', 'sklearn', 'libcst'} & set(sys.modules)))"
    )
    done = fresh(code)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_a_saved_record_is_reported_where_torch_is_not_installed(tmp_path: Path) -> None:
    path = documents.write(Run(model="Nothing", sites=(), edges=(), parameters=(), steps=()), tmp_path / "run.json")
    code = (
        "sys.modules['torch'] = None\n"
        "from photic.cli.main import run\n"
        "raise SystemExit(run(['report', sys.argv[1], '--json']))"
    )
    done = fresh(code, str(path))
    assert done.returncode == 0, done.stderr
    assert documents.from_json(done.stdout).model == "Nothing"
