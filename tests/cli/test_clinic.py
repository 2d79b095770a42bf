"""The clinic's verification goes on where it was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from photic.cli.main import run
from photic.lab.clinic import verify


def test_what_was_verified_is_not_trained_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = verify.VERIFIED.read_text()
    kept = tmp_path / "verified.json"
    kept.write_text(before)
    monkeypatch.setattr(verify, "VERIFIED", kept)
    assert run(["clinic", "--verify", "--resume", "--only", "rate-typed-wrong"]) == 0
    said = capsys.readouterr()
    assert "2 of 2 cases are what they say" in said.out + said.err
    assert kept.read_text() == before


def test_only_a_verification_can_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["clinic", "--resume"]) == 2
    assert "add --verify" in capsys.readouterr().err
