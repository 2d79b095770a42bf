"""Shell lines of the pages: the real command line takes each `photic` line, and `dev.py` has what is asked of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from cyclopts import CycloptsError

from photic.cli.main import app, guarded

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shell_lines(page: Path) -> list[str]:
    """Return the lines of fenced and indented shell blocks that call us, without what is said beside them."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = "".join(re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```$", text, flags=re.M | re.S))
    lines = re.findall(r"^(?:\$ )?((?:photic|python3? dev\.py) .*)$", fenced, flags=re.M)
    lines += re.findall(r"^ {4}((?:photic|python3? dev\.py) .*)$", text, flags=re.M)
    return [re.split(r"\s{3,}|\s+#|\s+>", line)[0] for line in lines]


def test_the_command_line_takes_every_photic_line() -> None:
    refused: list[str] = []
    made, count = app(), 0
    for page in PAGES:
        for line in shell_lines(page):
            words = shlex.split(line)[1:]
            if not line.startswith("photic") or "[OPTIONS]" in words:
                continue
            count += 1
            try:
                made.parse_args(guarded(words), exit_on_error=False, print_error=False)
            except CycloptsError as error:
                refused.append(f"{page.relative_to(ROOT)}: {line}: {error}")
    assert count > 60 and refused == []


def test_dev_has_every_task_benchmark_and_option_that_a_page_names() -> None:
    unknown: list[str] = []
    dev = (ROOT / "dev.py").read_text(encoding="utf-8")
    for page in PAGES:
        for line in shell_lines(page):
            if line.startswith("photic"):
                continue
            task, *rest = shlex.split(line)[2:]
            known = dev + (ROOT / "benchmarks" / "tables.py").read_text(encoding="utf-8")
            if not re.search(rf"^def {task.replace('-', '_')}\(", dev, flags=re.M):
                unknown.append(f"{page.relative_to(ROOT)}: {line}: {task}")
            if task == "bench" and rest and not rest[0].startswith("-"):
                file = ROOT / "benchmarks" / f"{rest[0].replace('-', '_')}.py"
                known += file.read_text(encoding="utf-8") if file.exists() else ""
                unknown += [] if file.exists() else [f"{page.relative_to(ROOT)}: {line}: {rest[0]}"]
            if task != "test":  # the rest is pytest's
                options = [word.split("=")[0] for word in rest if word.startswith("--")]
                unknown += [f"{page.relative_to(ROOT)}: {line}: {o}" for o in options if f'"{o}"' not in known]
    assert unknown == []
