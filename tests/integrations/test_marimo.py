"""The notebook of the cookbook, run by the real marimo without anybody watching: its records show themselves, and no cell fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cookbook" / "marimo.md"


def exported(folder: Path, code: str) -> tuple[int, list[Any]]:
    """Return marimo's exit code, and what the exported page holds as the output of each cell."""
    pytest.importorskip("marimo", exc_type=ImportError)
    (folder / "notebook.py").write_text(code)
    command = ["-m", "marimo", "export", "html", "notebook.py", "-o", "notebook.html", "--no-include-code", "-f"]
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=False, timeout=300)
    page = (folder / "notebook.html").read_text()
    session, _ = json.JSONDecoder().raw_decode(page[page.index('"session": ') + len('"session": ') :])
    return done.returncode, [cell["outputs"][0] for cell in session["cells"]]


def test_the_records_of_a_notebook_show_themselves(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.M | re.S)
    failed, outputs = exported(tmp_path, code)
    assert failed == 0 and [output["type"] for output in outputs] == ["data"] * 4
    still, run, page = (output["data"]["text/html"] for output in outputs[1:])
    assert "<svg" in still and "<table" in still and "vanishing-gradient" in still and "<script" not in still
    assert run.startswith('<pre style="white-space:pre') and "Run(model=" not in run and "gradient bars span" in run
    assert page.startswith('<iframe sandbox="allow-scripts"')


def test_a_cell_that_fails_is_seen_as_such(tmp_path: Path) -> None:
    failed, outputs = exported(
        tmp_path, "import marimo\napp = marimo.App()\n\n@app.cell\ndef _():\n    1 / 0\n    return\n"
    )
    assert failed == 1 and outputs[0]["type"] == "error"
