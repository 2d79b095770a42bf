"""Claims: sentences of papers as something that can be run, and the registry that finds them in `papers/`."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

Size = Literal["quick", "full", "paper"]
Numbers = dict[str, Any]  # plain numbers, words, and lists of them: what JSON keeps
Experiment = Callable[[int, Size], Numbers]  # one that trains also takes `device`
Over = Literal["mean", "median", "smallest", "largest"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence of a paper, with the experiment that tests it.

    Attributes:
        text: the sentence, in our own words.
        place: section, equation, figure or table of the paper.
        experiment: called with a seed and a size; returns plain numbers. Several claims may share one.
        number: which of them the claim is about.
        low, high: the range in which it must lie; None where it has no end.
        tolerance: how that range was derived.
        theirs: what the paper prints.
        seeds: how many seeds.
        over: how the seeds are put together.
        size: `quick`, or `full` where the quick size cannot show it.
        note: why it does not hold, or what to know about the number.
    """

    text: str
    place: str
    experiment: Experiment
    number: str
    tolerance: str
    low: float | None = None
    high: float | None = None
    theirs: str = ""
    seeds: int = 3
    over: Over = "mean"
    size: Size = "quick"
    note: str = ""

    def holds(self, measured: float) -> bool:
        """Tell whether `measured` lies in the range; nan does not."""
        return (
            not math.isnan(measured)
            and (self.low is None or measured >= self.low)
            and (self.high is None or measured <= self.high)
        )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the paper, drawn from the numbers of experiments.

    Attributes:
        title: what it shows.
        experiments: whose numbers it is drawn from.
        draw: called with those numbers, at the size that was asked for, and the file to write. They come experiment by
            experiment, seed by seed.
        seeds: how many seeds of each experiment.
    """

    title: str
    experiments: tuple[Experiment, ...]
    draw: Callable[[Sequence[Numbers], Path], Path]
    seeds: int = 1


@dataclass(frozen=True)
class Paper:
    """A file of `papers/`: key of references.bib, title, claims, figures by their number in the paper, and what `--full` is."""

    key: str
    title: str
    module: str
    claims: tuple[Claim, ...]
    figures: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    full: str = ""


def around(value: float, *, relative: float = 0.0, absolute: float = 0.0) -> tuple[float, float]:
    """Return the range `value` plus and minus a share of it, or an amount."""
    margin = abs(value) * relative + absolute
    return value - margin, value + margin


@lru_cache(maxsize=1)
def papers() -> tuple[Paper, ...]:
    """Return every paper in `photic.lab.papers`, by key. A paper is one file with KEY, TITLE, CLAIMS, FULL, perhaps FIGURES.

    FULL says in a sentence what `--full` runs, and where that is smaller than the paper's size, why.
    """
    folder: Any = importlib.import_module("photic.lab.papers")
    found: list[Paper] = []
    for info in pkgutil.iter_modules(folder.__path__, prefix="photic.lab.papers."):
        module: Any = importlib.import_module(info.name)
        figures: dict[str, Figure] = getattr(module, "FIGURES", {})
        claims = tuple(module.CLAIMS)
        found.append(Paper(module.KEY, module.TITLE, info.name, claims, figures, module.FULL))
    return tuple(sorted(found, key=lambda paper: paper.key))


def paper(key: str) -> Paper:
    """Return the paper of that key.

    Raises:
        KeyError: if there is none; the message lists those there are.
    """
    for found in papers():
        if found.key == key:
            return found
    raise KeyError(f"there is no paper {key!r}; there are: {', '.join(found.key for found in papers())}")
