"""Findings that are silenced are told as such and do not count; the docs' page of rules is made from the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.nn.functional as F

from photic.cli.main import run
from photic.diagnosis.diagnose import diagnose
from photic.probes.audit import measure
from tests import zoo


@pytest.mark.parametrize(
    ("ignore", "quiet"),
    [
        ((), False),
        (("vanishing-gradient",), True),
        (("vanishing-gradient@nowhere*",), False),
        (("vanishing-gradient@*",), True),
    ],
)
def test_a_silenced_finding_is_kept_apart_and_does_not_count(ignore: tuple[str, ...], quiet: bool) -> None:
    record = measure(zoo.seeded(zoo.Mlp), zoo.vectors(), F.cross_entropy)
    diagnosis = diagnose(record, ignore=ignore)
    assert diagnosis.healthy == quiet
    assert [f.problem for f in diagnosis.silenced] == (["vanishing-gradient"] if quiet else [])
    assert "stalled-training" not in [
        f.problem for f in diagnosis.findings
    ]  # what a silenced cause explains stays explained


def test_a_project_lists_what_is_silenced_and_a_wrong_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\ndef build():\n    torch.manual_seed(0)\n"
        "    layers = [m for _ in range(10) for m in (nn.Linear(16, 16), nn.Sigmoid())]\n"
        "    return nn.Sequential(*layers, nn.Linear(16, 4))\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    assert run(["check", "net.py:build"]) == 1
    (tmp_path / "pyproject.toml").write_text('[tool.photic]\nignore = ["vanishing-gradient", "rank-collapse"]\n')
    assert run(["check", "net.py:build"]) == 0
    assert "silenced: vanishing-gradient" in capsys.readouterr().err
    assert run(["check", "net.py:build", "--ignore", "vanishing-gradients"]) == 2
    (tmp_path / "pyproject.toml").write_text("[tool.photic]\nignore = 3\n")
    assert run(["check", "net.py:build"]) == 2
