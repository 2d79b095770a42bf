"""The demo: the article's network, from chance to more than 95 %, in three ways, one of which keeps the sigmoid."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from photic.cli.main import run
from photic.cli.story import tell
from photic.lab import demonstration
from photic.remedies.treat import Treatment


@pytest.mark.parametrize(("share", "tried"), [(2, 3), pytest.param(1, 1, marks=pytest.mark.slow)])
def test_the_demo_shows_the_whole_chain(
    share: int, tried: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In fewer steps it shows the same; then those of which no number is looked at are trained for a few alone."""
    monkeypatch.chdir(tmp_path)
    steps = demonstration.FULL_STEPS // share
    monkeypatch.setattr(demonstration, "TRIAL_STEPS", demonstration.TRIAL_STEPS // tried)
    kept: list[demonstration.Demonstration] = []
    made = demonstration.demonstrate

    def demonstrate(*given: Any) -> demonstration.Demonstration:
        kept.append(made(*given))
        return kept[0]

    def trained(treatment: Treatment, name: str) -> demonstration.Trained:
        looked_at = share == 1 or name in ("untreated", treatment.remedy)
        monkeypatch.setattr(demonstration, "FULL_STEPS", steps if looked_at else 20)
        return fully(treatment, name)

    fully = demonstration._trained
    monkeypatch.setattr(demonstration, "_trained", trained)
    monkeypatch.setattr(demonstration, "demonstrate", demonstrate)
    assert run(["demo", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["untreated"]["test_accuracy"] <= 0.15
    assert shown["treated"]["test_accuracy"] >= 0.95
    accepted = {trial["remedy"] for trial in shown["trials"] if trial["outcome"] == "accepted"}
    assert len(accepted) >= 3 and "centred-logistic" in accepted
    assert next(trial for trial in shown["trials"] if trial["remedy"] == "xavier")["outcome"] == "refused"
    assert shown["findings"][0]["problem"] == "vanishing-gradient"
    assert shown["patch"].startswith("---") and shown["treated"]["remedy"] in accepted
    assert shown["seconds"] < 600 and len(kept[0].others) == len(accepted) - 1
    for name in shown["files"]:
        assert Path(name).stat().st_size > 1000
    told = io.StringIO()
    tell(kept[0], Console(file=told, width=120, no_color=True, force_terminal=False))
    lines = told.getvalue().splitlines()
    assert len(lines) <= 80
    for part in (
        "reaches 2 of 11 layers",
        "it never exceeds 0.25",
        "critical vanishing-gradient",
        "centred-logistic",
        "\n+++ ",
        "0.9",
    ):
        assert part in told.getvalue()
