"""Files: one idea each, of a size to be read at one go, named after what they do, and complete in themselves."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

from tests.contracts.repository import ROOT, SOURCE, modules, python_files, text_files

MOST_LINES = 400
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager", "managers"}


def test_no_file_is_longer_than_can_be_read_at_one_go() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*python_files("src", "tests", "benchmarks"), ROOT / "dev.py"]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long, f"an idea wants out of {long}"


def test_every_file_and_folder_is_named_after_what_it_does() -> None:
    named_badly = [
        str(path.relative_to(ROOT))
        for path in python_files("src", "tests", "benchmarks")
        if EMPTY_NAMES & {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    ]
    assert not named_badly


def test_folders_of_the_package_say_in_one_line_what_they_are_for() -> None:
    for folder in (path for path in SOURCE.rglob("*") if path.is_dir() and any(path.glob("*.py"))):
        first = (folder / "__init__.py").read_text(encoding="utf-8").split("\n", 1)[0]
        assert first.startswith('"""') and len(first) > 15, folder


def test_nothing_in_the_repository_points_outside_it() -> None:
    outside = ["../" + "shared", "/" + "work/", "/" + "tmp/", "py" + "pi.org", "registry" + ".npmjs"]
    pointing = {
        str(path.relative_to(ROOT)): word
        for path in text_files()
        for word in outside
        if word in path.read_text(encoding="utf-8")
    }
    assert not pointing


def test_records_are_frozen_plain_data() -> None:
    seen = 0
    for name in modules("records"):
        module = importlib.import_module(name)
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == name and dataclasses.is_dataclass(kind):
                seen += 1
                assert kind.__dataclass_params__.frozen, f"{name}.{kind.__name__} can be changed"  # pyright: ignore
    assert seen > 10
