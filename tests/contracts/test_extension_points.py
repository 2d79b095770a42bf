"""Adding one thing is adding one file: a file dropped into an extension point's folder is found, and nothing else changes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from photic import activations
from photic.activations import curves
from photic.activations.activation import Activation
from photic.cli.main import app
from photic.diagnosis import registry as rule_registry
from photic.records.vocabulary import PROBLEMS
from photic.remedies import registry as remedy_registry
from tests.contracts.repository import ROOT, SOURCE

RULE = '''
"""A layer named after a fish."""
from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule

@rule(sources=("glorot2010",))
def fishy_layer(graph: Graph, *, share: float = 0.5):
    """A layer is named after a fish."""
    return None
'''

REMEDY = '''
"""Every layer is renamed."""
from photic.remedies.registry import remedy

@remedy(treats=("fishy-layer",), changes="weights", sources=("glorot2010",))
def new_names(graph):
    """New names for all layers."""
    return "no layer is named after a fish"
'''

COMMAND = '''
"""`photic swim`."""
def swim() -> int:
    """Swim in the photic zone."""
    return 0
'''


def dropped(folder: ModuleType, name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a file where `folder` finds its modules, for the time of one test."""
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    importlib.invalidate_caches()


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Make the registries look anew, before and after the test."""
    caches = (rule_registry.rules, remedy_registry.remedies)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_a_rule_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped(importlib.import_module("photic.diagnosis.rules"), "fishy_layer", RULE, tmp_path, monkeypatch)
    found = {rule.problem: rule for rule in rule_registry.rules()}
    assert found["fishy-layer"].summary == "A layer is named after a fish."
    assert found["fishy-layer"].evidence == ("graph",)


@pytest.mark.usefixtures("forgetful")
def test_a_remedy_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped(importlib.import_module("photic.remedies.catalogue"), "new_names", REMEDY, tmp_path, monkeypatch)
    assert [remedy.name for remedy in remedy_registry.remedies_for({"fishy-layer"})] == ["new-names"]


def test_a_command_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dropped(importlib.import_module("photic.cli.commands"), "swim", COMMAND, tmp_path, monkeypatch)
    app()("--help", result_action="return_value")
    assert "Swim in the photic zone." in capsys.readouterr().out


def test_an_activation_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("photic.activations.registry")

    def cube() -> Activation:
        return curves.tanh()

    cube.__module__ = curves.__name__
    monkeypatch.setattr(curves, "cube", cube, raising=False)
    registry._makers.cache_clear()
    try:
        found = activations.find("cube", {})
    finally:
        monkeypatch.undo()
        registry._makers.cache_clear()
    assert found is not None
    assert np.isclose(found.value(np.array([1.0]))[0], np.tanh(1.0))


def test_a_kernel_is_one_folder_with_its_definition_in_it() -> None:
    folders = [path for path in (SOURCE / "kernels").iterdir() if (path / "__init__.py").exists()]
    assert folders
    for folder in folders:
        assert (folder / "reference.py").exists(), f"{folder.name} has no reference.py that defines it"
        assert list((ROOT / "tests" / "kernels").glob(f"test_{folder.name}*.py")), f"nothing holds {folder.name} to it"


def test_every_rule_says_what_it_owes_and_is_tried_on_networks() -> None:
    tried = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for rule in rule_registry.rules():
        assert rule.problem in PROBLEMS, f"{rule.problem} is no word of records/vocabulary.py"
        for part in ("Signs:", "Why it matters:", "False alarms:"):
            assert part in rule.documentation, f"{rule.problem} does not say: {part}"
        assert rule.sources, f"{rule.problem} names no source"
        assert f'"{rule.problem}"' in tried, f"no test names {rule.problem}"
        assert Path(inspect.getfile(rule.judge)).stem == rule.problem.replace("-", "_")


def test_every_remedy_says_what_it_owes() -> None:
    known = {rule.problem for rule in rule_registry.rules()}
    for remedy in remedy_registry.remedies():
        for part in ("What it changes:", "When not to:"):
            assert part in remedy.documentation, f"{remedy.name} does not say: {part}"
        assert remedy.sources, f"{remedy.name} names no source"
        assert known & set(remedy.treats), f"{remedy.name} treats nothing that any rule finds"
        assert set(remedy.treats) <= set(PROBLEMS), f"{remedy.name} treats something that has no word"
