"""What every part owes: a rule its false alarms, a remedy its limits, a kernel its definition, a source its place."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

from photic.diagnosis.registry import rules
from photic.records import documents
from photic.records.runs import Run
from photic.records.vocabulary import PROBLEMS
from photic.remedies.registry import remedies

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "photic"
REFERENCES = (ROOT / "references.bib").read_text(encoding="utf-8")


def test_every_rule_says_its_signs_and_false_alarms_and_is_tried_on_networks() -> None:
    tried = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for rule in rules():
        assert rule.problem in PROBLEMS, f"{rule.problem} is no word of records/vocabulary.py"
        for part in ("Signs:", "Why it matters:", "False alarms:"):
            assert part in rule.documentation, f"{rule.problem} does not say: {part}"
        assert f'"{rule.problem}"' in tried, f"no test names {rule.problem}"
        assert Path(inspect.getfile(rule.judge)).stem == rule.problem.replace("-", "_")


def test_every_remedy_says_what_it_changes_and_when_not_to() -> None:
    found = {rule.problem for rule in rules()}
    for remedy in remedies():
        for part in ("What it changes:", "When not to:"):
            assert part in remedy.documentation, f"{remedy.name} does not say: {part}"
        assert found & set(remedy.treats), f"{remedy.name} treats nothing that any rule finds"
        assert set(remedy.treats) <= set(PROBLEMS), f"{remedy.name} treats something that has no word"


def test_every_kernel_has_its_definition_and_a_test_that_holds_it_to_that() -> None:
    folders = [path.parent for path in (SOURCE / "kernels").glob("*/__init__.py")]
    assert folders
    for folder in folders:
        assert (folder / "reference.py").exists(), f"{folder.name} has no reference.py"
        assert list((ROOT / "tests" / "kernels").glob(f"test_{folder.name}*.py")), f"nothing tests {folder.name}"


def test_every_source_of_a_rule_or_remedy_is_an_entry_that_stands_once_and_is_complete() -> None:
    keys = re.findall(r"^@\w+\{(\w+),", REFERENCES, re.MULTILINE)
    assert len(keys) == len(set(keys))
    for item in (*rules(), *remedies()):
        assert item.sources and set(item.sources) <= set(keys), item
    for entry in re.split(r"^(?=@)", REFERENCES, flags=re.MULTILINE)[1:]:
        for field in ("author", "title", "year"):
            assert re.search(rf"^\s*{field}\s*=", entry, re.MULTILINE), f"no {field}: {entry[:60]}"


def test_records_are_frozen() -> None:
    kinds: list[type] = []
    for path in (SOURCE / "records").glob("[a-z]*.py"):
        module = importlib.import_module(f"photic.records.{path.stem}")
        kinds += [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    plain = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    assert len(plain) > 10
    assert [kind for kind in plain if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


def test_a_saved_record_is_reported_where_torch_is_not_installed(tmp_path: Path) -> None:
    path = documents.write(Run(model="Nothing", sites=(), edges=(), parameters=(), steps=()), tmp_path / "run.json")
    program = (
        "import sys; sys.modules['torch'] = None; from photic.cli.main import run; "
        "raise SystemExit(run(['report', sys.argv[1], '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert documents.from_json(done.stdout).model == "Nothing"
