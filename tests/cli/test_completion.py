"""The shell's completion: written where it is asked for, and right in a real bash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from photic.cli.main import run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_script_for_each_shell_is_written_and_nothing_else(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run(["--install-completion", "--shell", shell, "--output", str(tmp_path / "script")]) == 0
    text = (tmp_path / "script").read_text(encoding="utf-8")
    assert all(word in text for word in ("photic", "check", "treat", "--budget"))
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_a_command_and_an_option(tmp_path: Path) -> None:
    assert run(["--install-completion", "--shell", "bash", "--output", str(tmp_path / "script")]) == 0
    asked = 'source {}; COMP_WORDS=({}); COMP_CWORD={}; _photic; echo "${{COMPREPLY[@]}}"'
    for words, expected in (("photic tre", "treat"), ("photic run --bud", "--budget")):
        program = asked.format(tmp_path / "script", words, len(words.split()) - 1)
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout.split() == [expected], done.stderr


def test_a_shell_that_nobody_knows_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHELL", raising=False)
    (tmp_path / "file").write_text("")
    assert run(["--install-completion", "--shell", "fish", "--output", str(tmp_path / "file" / "script")]) == 2
    assert "choose a file with --output" in capsys.readouterr().err
