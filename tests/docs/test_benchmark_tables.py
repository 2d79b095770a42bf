"""The command that runs the benchmarks: what is kept of a run, with its circumstances, and what the documentation says of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import tables

    for name in ("HERE", "OUTPUTS", "MEASURED"):
        monkeypatch.setattr(tables, name, tmp_path / name.lower())
    (tmp_path / "here").mkdir()
    return tables


def test_what_the_documentation_says_of_is_a_benchmark() -> None:
    program = [sys.executable, str(BENCHMARKS / "tables.py"), "--list"]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    listed = [line.split()[0] for line in said.splitlines()]
    assert listed == sorted(
        path.stem for path in BENCHMARKS.glob("[a-z]*.py") if path.stem not in ("circumstances", "tables")
    )
    assert all(len(line.split()) > 3 for line in said.splitlines())


def test_the_table_of_a_run_is_kept_with_date_machine_and_versions(tables, capfd: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (tables.HERE / "quick.py").write_text(
        '"""How quick?"""\nprint("first words\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n\\nlast")\n'
    )
    assert tables.main(["quick", "--write"]) == 0
    assert "torch " in capfd.readouterr().err
    kept = (tables.MEASURED / "quick.md").read_text()
    assert kept.startswith("| a | b |\n|---|---|\n| 1 | 2 |\n\n`python3 dev.py bench quick`, ")
    for word in ("20", "cores", "Python 3.", "torch ", "numpy "):
        assert word in kept
    assert "first words" in (tables.OUTPUTS / "quick.txt").read_text()


def test_a_run_that_fails_keeps_no_table_and_all_are_summed_up(tables, capfd: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (tables.HERE / "broken.py").write_text('"""Broken?"""\nprint("| a |\\n|---|\\n| 1 |")\nraise SystemExit(4)\n')
    (tables.HERE / "whole.py").write_text('"""Whole?"""\n')
    assert tables.main(["--write"]) == 4
    assert not tables.MEASURED.exists()
    said = capfd.readouterr().out
    assert "| broken | 0.0 | 4 |" in said and "| whole | 0.0 | 0 |" in said
