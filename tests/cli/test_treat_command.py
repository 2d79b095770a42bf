"""`photic treat` takes what `photic check` takes, and says what it did not get to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from photic.cli.main import run
from photic.cli.targets import load

FILE = """
import torch
import torch.nn.functional as F
from torch import nn

def pieces():
    torch.manual_seed(0)
    net = nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(16, 16), nn.Sigmoid())], nn.Linear(16, 4))
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(32, 16, generator=draw) for _ in range(6)]
    return net, [(x, x[:, :4].argmax(1)) for x in inputs], F.cross_entropy

def build():
    net, batches, loss = pieces()
    groups = [{"params": net[:8].parameters(), "lr": 0.05}, {"params": net[8:].parameters()}]
    return net, batches, loss, torch.optim.SGD(groups, lr=0.1, momentum=0.5)

def bare():
    return pieces()[0]

made = pieces()
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(FILE)
    return str(tmp_path / "net.py")


def treated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["treat", *arguments, "--json", "--workers", "1"]) in (0, 1)
    return json.loads(capsys.readouterr().out)["record"]


def test_a_live_optimizer_is_made_again_over_each_model(file: str) -> None:
    loaded = load(f"{file}:build")
    model = loaded.build()
    optimizer = loaded.optimizer_of_each()(model)
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == [id(p) for p in model.parameters()]
    assert [(group["lr"], group["momentum"]) for group in optimizer.param_groups] == [(0.05, 0.5), (0.1, 0.5)]


def test_a_target_with_a_live_optimizer_is_treated(file: str, capsys: pytest.CaptureFixture[str], forked: None) -> None:
    record = treated(capsys, f"{file}:build", "--steps", "24")
    control = next(trial for trial in record["trials"] if trial["outcome"] == "control")
    assert len(control["losses"]) == 24 and len(record["trials"]) > 1


def test_a_network_that_is_one_object_is_copied_for_each_trial(file: str) -> None:
    loaded = load(f"{file}:made")
    one, other = loaded.build(), loaded.build()
    assert one is not other and one is not loaded.model
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), loaded.model.parameters(), strict=True))


def test_minutes_that_are_over_before_a_remedy_was_judged_are_said(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = treated(capsys, f"{file}:build", "--steps", "24", "--minutes", "0.0001")
    assert not any(trial["outcome"] in ("accepted", "refused") for trial in record["trials"])
    assert any("minutes were over before a remedy was judged" in note for note in record["notes"])
    assert not any("nothing in the catalogue cured it" in note for note in record["notes"])


def test_what_is_to_be_ignored_is_not_treated(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = treated(capsys, f"{file}:build", "--steps", "24", "--minutes", "0.0001")
    found = [finding["problem"] for finding in first["before"]["diagnosis"]["findings"]]
    assert "vanishing-gradient" in found
    words = [word for problem in found for word in ("--ignore", problem)]
    record = treated(capsys, f"{file}:build", "--steps", "24", "--minutes", "0.0001", *words)
    silenced = [finding["problem"] for finding in record["before"]["diagnosis"]["silenced"]]
    assert sorted(silenced) == sorted(found) and record["before"]["diagnosis"]["findings"] == []


def test_weights_are_where_every_trial_starts(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = load(f"{file}:bare").model.state_dict()
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, tmp_path / "zeros.pt")
    words = ("--input", "float32[32,16]", "--weights", str(tmp_path / "zeros.pt"))
    record = treated(capsys, f"{file}:bare", "--steps", "16", "--minutes", "0.0001", *words)
    assert {p["weight"]["rms"] for p in record["before"]["run"]["steps"][0]["parameters"]} == {0.0}


def test_a_format_that_a_treatment_has_not_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["treat", "no-such-file.py:build", "--format", "sarif"]) == 2
    assert "a treatment has none; use `photic check`" in capsys.readouterr().err


def test_an_exported_program_is_asked_for_in_words_that_treat_takes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], forked: None
) -> None:
    (tmp_path / "net.pt2").write_bytes(b"none")
    assert run(["treat", str(tmp_path / "net.pt2")]) == 3
    assert "if you trust the file, add --trust" in capfd.readouterr().err
    assert run(["treat", str(tmp_path / "net.pt2"), "--trust"]) == 3
    assert "could not be loaded as an exported program" in capfd.readouterr().err


def test_a_script_keeps_its_own_arguments_and_environment(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD'), os.getpid())\n"
    )
    import os

    assert run(["run", str(script), "--trust", "model.pt2"]) == 0
    assert f"['--trust', 'model.pt2'] None {os.getpid()}" in capfd.readouterr().out


def test_explain_gives_the_thresholds_and_suggests_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "vanishing-gradient"]) == 0
    assert "less than `warning` (0.005) of that at the top layer" in capsys.readouterr().err
    assert run(["explain", "vanish"]) == 2
    assert "did you mean vanishing-gradient or vanishing-in-time? There are: " in capsys.readouterr().err
    assert run(["explain", "qqq"]) == 2
    assert "there is no finding 'qqq'. There are: " in capsys.readouterr().err
