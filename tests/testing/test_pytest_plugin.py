"""The plugin as a user of pytest meets it: found by itself, silent on healthy networks, telling on sick ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import children

SICK = """
import torch, torch.nn.functional as F
from torch import nn

def test_deep(assert_gradients_flow):
    torch.manual_seed(0)
    model = nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(64, 64), nn.Sigmoid())], nn.Linear(64, 10))
    assert_gradients_flow(model, (torch.randn(32, 64), torch.randint(10, (32,))), F.cross_entropy)
"""


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return children.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=folder)


def test_a_failure_shows_the_users_line_and_layers_reason_and_advice(tmp_path: Path) -> None:
    (tmp_path / "test_sick.py").write_text(SICK)
    done = pytest_on(tmp_path)
    assert done.returncode == 1
    assert "> " in done.stdout and "assert_gradients_flow(model, (torch.randn(32, 64)" in done.stdout
    assert "vanishing-gradient at 1" in done.stdout and "test_sick.py:" in done.stdout
    assert "do: " in done.stdout and "not reached" in done.stdout
    assert "def assert_gradients_flow" not in done.stdout  # our own frames are hidden


def test_the_projects_setting_lets_a_problem_pass(tmp_path: Path) -> None:
    (tmp_path / "test_sick.py").write_text(SICK)
    (tmp_path / "pytest.ini").write_text("[pytest]\nphotic_ignore = vanishing-gradient\n")
    done = pytest_on(tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_suite_that_does_not_use_it_does_not_load_torch(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("import sys\ndef test_plain(): assert 'torch' not in sys.modules\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "assert_gradients_flow" in pytest_on(tmp_path, "--fixtures").stdout
