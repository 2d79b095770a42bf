"""dev.py: sets up once, takes a CPU torch first, and never believes that a broken set-up is done."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py as a module whose .venv lies elsewhere and where no command is really run."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "STAMP", venv / "stamp")
    monkeypatch.setattr(module, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(module, "works", lambda *arguments: "pip" in arguments)  # .venv has pip and no torch
    return module


def commands(dev: ModuleType, monkeypatch: pytest.MonkeyPatch, *fail: str) -> list[str]:
    """Record every command that the set-up runs; those that contain one of `fail` fail."""
    seen: list[str] = []

    def instead(title: str, command: list[str]) -> str:
        del title
        seen.append(" ".join(command))
        return "no such thing" if any(word in seen[-1] for word in fail) else ""

    monkeypatch.setattr(dev, "failure_of", instead)
    return seen


def test_the_second_run_installs_nothing(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first = commands(dev, monkeypatch)
    dev.set_up()
    assert len(first) == 2
    second = commands(dev, monkeypatch)
    dev.set_up()
    assert second == []


def test_changed_constraints_set_up_anew(dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands(dev, monkeypatch)
    dev.set_up()
    changed = tmp_path / "constraints.txt"
    changed.write_text(dev.CONSTRAINTS.read_text() + "six==1.16.0\n")
    monkeypatch.setattr(dev, "CONSTRAINTS", changed)
    seen = commands(dev, monkeypatch)
    dev.set_up()
    assert seen


def test_torch_is_taken_as_a_cpu_build_from_the_first_place_that_has_one(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = commands(dev, monkeypatch)
    dev.set_up()
    assert [command for command in seen if "+cpu" in command] == seen[:1]
    seen = commands(dev, monkeypatch, "+cpu")
    dev.STAMP.unlink()
    dev.set_up()
    assert "--index-url" not in seen[0] and dev.TORCH_CPU_INDEX in seen[1] and seen[2].endswith(" torch==2.13.0")
    assert all("--retries 1 --timeout 10" in command for command in seen[:2])


@pytest.mark.parametrize("broken", ["torch==", "-e .[lab,dev,docs]"])
def test_a_failed_installation_is_told_and_not_remembered(
    broken: str, dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(dev, monkeypatch, broken)
    with pytest.raises(SystemExit, match="no such thing"):
        dev.set_up()
    assert not dev.STAMP.exists()


def test_an_interrupted_environment_is_made_again(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "works", lambda *_: False)  # half a .venv: a python without pip
    seen = commands(dev, monkeypatch)
    dev.set_up()
    assert "-m venv --clear" in seen[0]


def test_an_unknown_benchmark_names_those_that_there_are(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.bench(["speed"]) == 2
    assert "audit" in capsys.readouterr().err


def test_help_names_every_task_and_installs_nothing(tmp_path: Path) -> None:
    (tmp_path / "dev.py").write_text((ROOT / "dev.py").read_text())
    done = subprocess.run(
        [sys.executable, str(tmp_path / "dev.py"), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and all(task in done.stdout for task in ("demo", "test", "check", "bench"))
    assert not (tmp_path / ".venv").exists()


def test_every_version_that_the_package_asks_for_is_pinned() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*settings["project"]["dependencies"], *settings["build-system"]["requires"]]
    asked += [name for group in settings["project"]["optional-dependencies"].values() for name in group]
    names = {re.split(r"[<>=~\[ ]", name)[0].lower() for name in asked}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line}
    assert names - pinned == set()
