"""What the house promises: sizes, names, sources, layers, torch-free reading, and that adding is adding one file."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "photic"
FILES = sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in FILES if SOURCE in path.parents]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_is_longer_than_400_lines() -> None:
    assert [str(path) for path in [*FILES, ROOT / "dev.py"] if len(path.read_text().splitlines()) > 400] == []


def test_no_file_is_named_for_nothing() -> None:
    empty_words = {"utils", "helpers", "common", "misc", "base", "core", "manager", "util", "helper"}
    named = [path for path in MODULES if empty_words & {*path.stem.split("_"), *path.parent.name.split("_")}]
    assert named == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_says_its_one_idea_in_its_first_line(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text and text.splitlines()[0].endswith((".", ".,", ":")), path


def test_what_the_tests_import_is_there() -> None:
    """A module that cannot be imported is passed over by `--doctest-ignore-import-errors`, with every test in it."""
    missing: list[str] = []
    find, read = cache(importlib.util.find_spec), cache(Path.read_text)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in ("photic", "tests"):
                continue
            found = find(str(node.module))
            if found is None:
                missing.append(f"{path.name}: {node.module}")
            if found is None or found.origin is None:  # None: a folder without a file of its own
                continue
            text = read(Path(found.origin))
            below = (
                {one.stem for one in Path(found.origin).parent.iterdir()} if found.submodule_search_locations else ()
            )
            missing += [
                f"{path.name}: {name.name} of {node.module}"
                for name in node.names
                if name.name != "*" and name.name not in below and not re.search(rf"\b{name.name}\b", text)
            ]
    assert missing == []


def test_every_cited_source_is_in_the_references() -> None:
    keys = set(re.findall(r"@\w+\{(\w+),", (ROOT / "references.bib").read_text()))
    for path in MODULES:
        text = path.read_text()
        cited = set(re.findall(r"\b([a-z]+(?:19|20)\d\d)\b", text))
        assert cited <= keys, (path, cited - keys)


def test_nothing_speaks_of_the_machine_it_was_written_on() -> None:
    forbidden = re.compile("|".join(("\\.\\./" + "shared", "/" + "work/", "/" + "opt/pypi", "/" + "tmp/[a-z]")))
    for path in tracked():
        if (
            path.suffix in {".py", ".md", ".toml", ".txt", ".cff", ".bib", ".ts", ".css", ".html", ".json"}
            or path.name == "run"
        ):
            assert not forbidden.search(path.read_text()), path


def test_reading_needs_no_torch() -> None:
    modules = ("photic", "photic.records.documents", "photic.activations", "photic.theory.network", "photic.diagnosis.diagnose",
               "photic.reports.terminal", "photic.reports.page", "photic.cli.main")  # fmt: skip
    program = f"import sys\nfor name in {modules}:\n    __import__(name)\n    assert 'torch' not in sys.modules, name"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_imports_neither_torch_nor_numpy() -> None:
    program = "import sys; from photic.cli.main import run; run(['--help']); sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_the_layers_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(tool)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


RULE = '''"""A rule."""
from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.records.findings import Finding

@rule(sources=("he2015",))
def too_green(graph: Graph) -> Finding | None:
    """The network is too green."""
    return None
'''
REMEDY = '''"""A remedy."""
from photic.diagnosis.graph import Graph
from photic.remedies.registry import remedy

@remedy(treats=("too-green",), changes="training", sources=("he2015",))
def paint(graph: Graph) -> str:
    """Paint it."""
    return "there is no paint"
'''
COMMAND = '''"""A command."""

def water() -> int:
    """Water the network."""
    return 0
'''
PAPER = '''"""A paper."""
from photic.lab.claims import Claim, Numbers, Size

KEY = "hochreiter1998"
TITLE = "A title"
FULL = "the quick size is the only one."

def experiment(seed: int, size: Size) -> Numbers:
    """One."""
    return {"one": 1.0}

CLAIMS = (Claim(text="It is one.", place="p. 1", experiment=experiment, number="one", low=1.0, high=1.0, tolerance="exact"),)
'''
ACTIVATION = '''

def cube() -> Activation:
    """x^3."""
    return _make("cube", lambda x: x**3, lambda x: 3 * x**2)
'''
ADDITIONS = {
    "rule": ("diagnosis/rules/too_green.py", RULE, "from photic.diagnosis.registry import rules; print([r.problem for r in rules()])", "too-green"),
    "remedy": ("remedies/catalogue/paint.py", REMEDY, "from photic.remedies.registry import remedies; print([r.name for r in remedies()])", "paint"),
    "command": ("cli/commands/water.py", COMMAND, "from photic.cli.main import run; run(['--help'])", "Water the network"),
    "paper": ("lab/papers/one.py", PAPER, "from photic.lab import claims; print(claims.paper('hochreiter1998').claims)", "It is one."),
    "activation": ("activations/curves.py", ACTIVATION, "from photic.activations import find; print(find('cube'))", "name='cube'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Return what is printed from a copy of the package to which one file of each kind, and one function, were added."""
    target = tmp_path_factory.mktemp("copy")
    shutil.copytree(SOURCE, target / "photic")
    for name, text, _, _ in ADDITIONS.values():
        with (target / "photic" / name).open("a") as file:
            file.write(text)
    program = "\n".join(program for _, _, program, _ in ADDITIONS.values())
    environment = {"PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("kind", ADDITIONS)
def test_adding_one_thing_is_adding_one_file_or_one_function(
    kind: str, grown: subprocess.CompletedProcess[str]
) -> None:
    assert grown.returncode == 0, grown.stderr
    assert ADDITIONS[kind][3] in grown.stdout
