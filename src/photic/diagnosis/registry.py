"""The rules: plain functions of evidence, found in `rules/`, one file per problem."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from photic.records.findings import Finding

Judge = Callable[..., "Finding | None"]


@dataclass(frozen=True)
class Rule:
    """A rule with its documentation.

    Attributes:
        problem: hyphenated name, from the function's name.
        summary: first sentence of its documentation.
        documentation: all of it: Signs, Why it matters, False alarms.
        sources: keys of references.bib.
        evidence: names of the evidence it asks for.
        judge: the function itself.
    """

    problem: str
    summary: str
    documentation: str
    sources: tuple[str, ...]
    evidence: tuple[str, ...]
    judge: Judge


def rule(*, sources: tuple[str, ...]) -> Callable[[Judge], Judge]:
    """Mark a function as a rule: evidence before the star, thresholds after it; its name is the problem's."""

    def mark(function: Judge) -> Judge:
        function.__dict__["photic_sources"] = sources
        return function

    return mark


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """Return every rule in `photic.diagnosis.rules`, by name."""
    return tuple(sorted(_discover("photic.diagnosis.rules"), key=lambda item: item.problem))


def _discover(package: str) -> list[Rule]:
    found: list[Rule] = []
    folder: Any = importlib.import_module(package)
    for info in pkgutil.iter_modules(folder.__path__, prefix=f"{package}."):
        module = importlib.import_module(info.name)
        for function in vars(module).values():
            if (
                callable(function)
                and getattr(function, "__module__", "") == info.name
                and hasattr(function, "photic_sources")
            ):
                found.append(_described(function))
    return found


def _described(function: Any) -> Rule:
    text = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters.values()
    asked = tuple(p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY)
    problem = function.__name__.replace("_", "-")
    return Rule(problem, text.split("\n", 1)[0], text, function.photic_sources, asked, function)
