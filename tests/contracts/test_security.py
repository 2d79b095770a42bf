"""Security: no format of ours can carry code, and hostile files are refused without being run."""

from __future__ import annotations

import ast
import json
import pickle
import sqlite3
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from torch import nn

from photic.cli.failures import TargetFailure
from photic.cli.main import run
from photic.cli.sources import load_weights
from photic.records import documents
from photic.records.stores import StoreReader
from photic.web.server import application

SOURCE = Path(__file__).resolve().parents[2] / "src" / "photic"
# Modules whose loading runs code that is hidden in a file.
HIDING = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "jsonpickle"}
# Who may run code, and whose: `photic run` runs the user's script, as Python does.
RUNNING = {("cli/script.py", "exec")}


@cache
def read() -> tuple[list[tuple[str, str]], list[tuple[str, str, dict[str | None, str]]]]:
    """Return file and name of every import in photic, and file, name and keywords of every call: `torch.load`, `exec`."""
    imports, calls = [], []
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imports += [(file, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imports.append((file, node.module or ""))
            elif isinstance(node, ast.Call):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                calls.append((file, ast.unparse(node.func), given))
    return imports, calls


def test_no_module_is_imported_that_unpickles() -> None:
    assert [(file, name) for file, name in read()[0] if name.split(".")[0] in HIDING] == []


def test_no_string_is_run_and_nothing_is_loaded_that_could_hide_code() -> None:
    found: list[str] = []
    for file, name, given in read()[1]:
        last = name.rpartition(".")[2]
        if name in ("exec", "eval", "__import__", "os.system", "os.popen") and (file, name) not in RUNNING:
            found.append(f"{file}: {name}")
        if last in ("load", "loads") and name.startswith(("torch.load", "joblib", "np.load", "numpy.load")):
            safe = (
                given.get("weights_only") == "True"
                if name.startswith("torch")
                else given.get("allow_pickle") == "False"
            )
            found += [] if safe else [f"{file}: {name}"]
        if given.get("shell") == "True" or given.get("trust_remote_code") == "True":
            found.append(f"{file}: {name} with {given}")
    assert found == []


def test_the_scan_would_see_what_it_looks_for() -> None:
    imports, calls = read()
    names = [name for _, name, _ in calls]
    assert "torch.load" in names and "exec" in names and len(names) > 5000
    assert len(imports) > 1000 and ("records/stores.py", "sqlite3") in imports


class Touches:
    """Harmless malice: who unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


HOSTILE_DOCUMENTS = {
    "deep": '{"format": "photic", "schema_version": 1, "kind": "run", "record": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "no version": '{"format": "photic", "kind": "run", "record": {}}',
    "version of words": '{"format": "photic", "schema_version": "x", "kind": "run", "record": {}}',
    "kind of list": '{"format": "photic", "schema_version": 1, "kind": [], "record": {}}',
    "no record": '{"format": "photic", "schema_version": 1, "kind": "run"}',
    "numbers for lists": '{"format": "photic", "schema_version": 1, "kind": "run", "record": {"sites": 3}}',
    "a word for a number": '{"format": "photic", "schema_version": 1, "kind": "run", "record": {"model": "m", "sites": [], "edges": [], '
    '"parameters": [], "steps": [{"step": 0, "loss": "__import__", "sites": [], "edges": [], "parameters": []}]}}',
    "huge number": '{"format": "photic", "schema_version": 1, "kind": "run", "record": {"steps": '
    + "9" * 10_000
    + "}}",
    "not text": "\x00\xff",
}


@pytest.mark.parametrize("name", HOSTILE_DOCUMENTS)
def test_a_hostile_document_is_refused_with_an_error_that_says_so(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(HOSTILE_DOCUMENTS[name], encoding="utf-8")
    with pytest.raises(ValueError):
        documents.read(path)
    assert run(["report", str(path)]) in (2, 3)
    assert "Traceback" not in capsys.readouterr().err
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    assert client.get("/api/runs").json() == []


def test_a_pickle_in_the_place_of_any_file_of_ours_is_not_run(tmp_path: Path) -> None:
    for name in ("a.json", "b.sqlite", "c.pt", "d.safetensors", "e.pt2"):
        (tmp_path / name).write_bytes(pickle.dumps(Touches(tmp_path / "ran")))
        assert run(["report", str(tmp_path / name)]) in (2, 3)
    model = nn.Linear(2, 2)
    for name in ("c.pt", "d.safetensors"):
        with pytest.raises(TargetFailure):
            load_weights(model, tmp_path / name)
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    assert client.get("/api/runs").json() == []
    assert not (tmp_path / "ran").exists()


def test_a_value_in_a_store_is_data_whatever_it_says(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "r.sqlite")
    connection.executescript(
        "create table facts (name text primary key, value text not null);"
        "create table rows (series text not null, step integer not null, data blob not null, primary key (series, step));"
    )
    connection.execute("insert into facts values ('findings', ?)", (pickle.dumps(Touches(tmp_path / "ran")),))
    connection.execute("insert into facts values ('model', ?)", ("[" * 100_000,))
    connection.execute("insert into rows values ('loss', 1, ?)", (b"abc",))
    connection.commit()
    connection.close()
    reader = StoreReader(tmp_path / "r.sqlite")
    assert reader.facts() == {} and reader.lost == 2
    assert reader.rows("loss") == [(1, ())]
    reader.close()
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1", raise_server_exceptions=False)
    assert client.get("/api/runs").status_code == 200
    assert not (tmp_path / "ran").exists()


def test_a_bomb_of_a_checkpoint_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """A zip of 1 MB that claims a thousand times as much: what torch reads of it is one small table."""
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({}))
        archive.writestr("bomb/data/0", b"\0" * 2**28)
    with pytest.raises(TargetFailure):
        load_weights(nn.Linear(2, 2), path)
    torch.save({"weight": torch.zeros(1).expand(2, 2), "bias": torch.zeros(2)}, tmp_path / "shared.pt")
    assert "were loaded" in load_weights(nn.Linear(2, 2), tmp_path / "shared.pt")


def test_links_are_neither_listed_nor_followed(tmp_path: Path) -> None:
    outside, runs = tmp_path / "outside", tmp_path / "runs"
    outside.mkdir(), runs.mkdir()
    (outside / "secret.json").write_text(json.dumps({"format": "photic"}))
    (runs / "link.json").symlink_to(outside / "secret.json")
    (runs / "folder").symlink_to(outside, target_is_directory=True)
    (runs / "loop").symlink_to(runs, target_is_directory=True)
    client = TestClient(application(runs), base_url="http://127.0.0.1")
    assert client.get("/api/runs").json() == []
    (runs / "real.json").write_text("{}")
    (runs / "real.sqlite").symlink_to(outside / "secret.json")
    assert client.get("/api/runs").json() == []


def test_what_is_dangerous_to_show_is_shown_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A module may be called anything; no terminal obeys it and no page runs it."""
    from photic.records.runs import Run
    from photic.reports.page import served

    name = (
        "\x1b]0;pwned\x07\x1b[2J<img src=x onerror=alert(1)></script><script>alert(2)</script>[red]x[/red]\u202e=cmd()"
    )
    path = documents.write(Run(model=name, sites=(), edges=(), parameters=(), steps=()), tmp_path / "r.json")
    assert run(["report", str(path)]) == 0
    shown = capsys.readouterr().err
    assert "\x1b]0;" not in shown and "\x1b[2J" not in shown and "\x07" not in shown
    page = served({"mode": "live", "folder": name})
    assert "<img" not in page and "<script>alert" not in page
