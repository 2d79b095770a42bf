"""The remedies: found in `catalogue/`, one file per change."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from photic.diagnosis.graph import Graph
from photic.records.vocabulary import Change
from photic.remedies.prescription import Prescription

Prescribe = Callable[[Graph], "Prescription | str"]


@dataclass(frozen=True)
class Remedy:
    """A change that may cure.

    Attributes:
        name: hyphenated, from the function's name.
        title: first sentence of its documentation.
        documentation: What it changes, When not to.
        treats: problems that it may cure.
        changes: training, weights or function; the smaller change wins when two cure equally well.
        rank: order of trial within the same change; the most specific first.
        sources: keys of references.bib.
        prescribe: returns what to change in the network at hand, or in words why it does not apply.
    """

    name: str
    title: str
    documentation: str
    treats: tuple[str, ...]
    changes: Change
    rank: int
    sources: tuple[str, ...]
    prescribe: Prescribe


def remedy(
    *, treats: tuple[str, ...], changes: Change, sources: tuple[str, ...], rank: int = 5
) -> Callable[[Prescribe], Prescribe]:
    """Mark a function as a remedy; its name is the remedy's, its docstring the documentation."""

    def mark(function: Prescribe) -> Prescribe:
        function.__dict__["photic_remedy"] = (treats, changes, sources, rank)
        return function

    return mark


_ORDER: dict[Change, int] = {"training": 0, "weights": 1, "function": 2}


@lru_cache(maxsize=1)
def remedies() -> tuple[Remedy, ...]:
    """Return every remedy in `photic.remedies.catalogue`, smaller changes first."""
    found: list[Remedy] = []
    folder: Any = importlib.import_module("photic.remedies.catalogue")
    for info in pkgutil.iter_modules(folder.__path__, prefix="photic.remedies.catalogue."):
        module = importlib.import_module(info.name)
        for function in vars(module).values():
            if getattr(function, "__module__", "") == info.name and hasattr(function, "photic_remedy"):
                treats, changes, sources, rank = function.photic_remedy
                text = inspect.getdoc(function) or ""
                name = function.__name__.replace("_", "-")
                found.append(
                    Remedy(name, text.split("\n", 1)[0].rstrip("."), text, treats, changes, rank, sources, function)
                )
    return tuple(sorted(found, key=lambda item: (_ORDER[item.changes], item.rank, item.name)))


def remedies_for(problems: set[str]) -> tuple[Remedy, ...]:
    """Return the remedies that treat one of the problems, smaller changes first."""
    return tuple(item for item in remedies() if problems & set(item.treats))
