"""The worked examples of docs/contributing.md: copied from the page, added to photic, found by it, and their own tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests import children

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n# ((?:src|tests)/\S+\.py)\n(.*?)^```$", PAGE, flags=re.M | re.S)
# What adding the file to the repository would do: its folder becomes a part of photic's package.
DRIVER = """
import importlib, pathlib, sys
place = pathlib.Path(sys.argv[1])
for folder in sorted({path.parent.relative_to(place / "src") for path in (place / "src").rglob("*.py")}):
    importlib.import_module(".".join(folder.parts)).__path__.append(str(place / "src" / folder))
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(place), str(place / "tests")]))
"""


def written(place: Path) -> Path:
    for name, text in BLOCKS:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def test_every_python_block_of_the_page_is_a_file_with_its_test() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == 6


def test_photic_finds_the_examples_and_their_tests_pass(tmp_path: Path) -> None:
    done = children.run([sys.executable, "-c", DRIVER, str(written(tmp_path))])
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b6 passed", done.stdout), done.stdout


def test_the_examples_read_like_the_rest(tmp_path: Path) -> None:
    place = written(tmp_path)
    (place / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for words in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "."],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
