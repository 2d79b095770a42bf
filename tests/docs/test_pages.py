"""The pages do what they say: each page's Python and commands run as they stand, in order, and print or pass.

A page with Python opens with `<!-- run: WAY -->` or `<!-- run: WAY; needs: LIBRARY -->`. WAY is `python`, `pytest` or `torchrun N`,
and the page's blocks are one script; a library that is not here skips the page: `python3 dev.py test --integrations` has them all. Or it
is `steps`: the blocks run one after the other in a fresh folder. There a Python block that opens with `# name.py` is written to
that file, any other runs by itself, and in an `sh` block the lines that begin with `photic` or `python` are run, with `> file`; `# prints: ...` below
one must be in what it prints, `# exit code: 1` says that it ends so.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from photic.cli.main import app
from photic.cli.options import Output
from tests import children

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXTS = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
WITH_PYTHON = [name for name, text in TEXTS.items() if "```python\n" in text]
ELSEWHERE = [name for name in WITH_PYTHON if TEXTS[name].startswith("<!-- run: tests/docs/")]
ONE_SCRIPT = [name for name in WITH_PYTHON if name not in ELSEWHERE and not TEXTS[name].startswith("<!-- run: steps")]
IN_STEPS = [name for name, text in TEXTS.items() if text.startswith("<!-- run: steps")]
# The interpreter's end takes gloo's threads down while they wait for it, and hangs or aborts now and then, also without photic.
LEAVE = "import os, sys\nsys.stdout.flush()\nos._exit(0)\n"
OFFLINE = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "KERAS_BACKEND": "torch"}


def finished(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**OFFLINE, "PHOTIC_CACHE": str(folder / "cache"), "COLUMNS": "140"}
    if "torch.distributed.run" not in command:
        return children.run(command, cwd=folder, **environment)
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=900
    )


def prints(done: subprocess.CompletedProcess[str], code: str) -> None:
    said = " ".join((done.stdout + done.stderr).split())
    for expected in re.findall(r"^(?:    )?# prints: (.*)$", code, flags=re.M):
        assert " ".join(expected.split()) in said, f"{expected!r} is not in:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", ONE_SCRIPT)
def test_the_code_of_the_page_runs(name: str, tmp_path: Path) -> None:
    text = TEXTS[name]
    head = re.match(r"<!-- run: (python|pytest|torchrun \d+)(?:; needs: ([\w, ]+))? -->\n", text)
    assert head, f"{name} does not say how it is run"
    for library in (head[2] or "").replace(",", " ").split():
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed here")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S))
    script = tmp_path / "test_page.py"
    way, *ranks = head[1].split()
    script.write_text(code + LEAVE if way == "torchrun" else code)
    start = {
        "python": [sys.executable],
        "pytest": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", *ranks],
    }[way]
    done = finished([*start, str(script)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    prints(done, code)


@pytest.mark.parametrize("name", IN_STEPS)
def test_the_steps_of_the_page_run_in_order(name: str, tmp_path: Path) -> None:
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```$", TEXTS[name], flags=re.M | re.S):
        named = re.match(r"# ([\w/]+\.py)\n", block)
        if language == "python" and named:
            (tmp_path / named[1]).write_text(block)
        elif language == "python":
            done = finished([sys.executable, "-c", block], tmp_path)
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
            prints(done, block)
        else:
            for line, below in re.findall(r"^((?:photic|python) .*)\n((?:# .*\n)*)", block, flags=re.M):
                words = shlex.split(line, comments=True)
                file = words[-1] if words[-2:-1] == [">"] else ""
                words = words[:-2] if file else words
                module = ["-m", "photic"] if words[0] == "photic" else []
                done = finished([sys.executable, *module, *words[1:]], tmp_path)
                wanted = re.search(r"^# exit code: (\d+)$", below, flags=re.M)
                assert done.returncode == int(wanted[1] if wanted else 0), f"{line}\n{done.stdout}{done.stderr}"
                prints(done, below)
                if file:
                    (tmp_path / file).write_text(done.stdout)


def test_every_command_that_a_page_names_is_one_with_these_options() -> None:
    made = app()
    unknown: list[str] = []
    for name, text in TEXTS.items():
        shell = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, flags=re.M | re.S))
        lines = re.findall(r"^photic .*$", shell, flags=re.M) + re.findall(r"^    (photic .*)$", text, flags=re.M)
        lines += re.findall(r"`(photic [^`\n]*)`", text)
        for line in lines:
            words = line.split("#")[0].split()
            if len(words) < 2 or not re.fullmatch(r"[a-z]+", words[1]):
                continue
            if words[1] not in made:
                unknown.append(f"{name}: {line}")
                continue
            function = made[words[1]].default_command
            names = {*inspect.signature(function).parameters, *(field.name for field in fields(Output))}
            known = {f"--{word.replace('_', '-')}" for word in names}
            ours = words[2:] if words[1] != "run" else _before_the_script(words[2:])
            given = {word.split("=")[0] for word in ours if word.startswith("--")}
            unknown += [f"{name}: {line}: {option}" for option in sorted(given - known - {"--help", "--version"})]
    assert unknown == []


def _before_the_script(words: list[str]) -> list[str]:
    script = next((place for place, word in enumerate(words) if word.endswith(".py")), len(words))
    return words[:script]
