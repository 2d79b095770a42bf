"""Reproduction: run the experiments behind a paper's claims, keep what was computed, and judge the claims."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from photic.lab import cache
from photic.lab.claims import Claim, Experiment, Numbers, Paper, Size, papers
from photic.records import documents
from photic.records.scoreboard import ClaimResult, PaperResult, Scoreboard
from photic.reports.scoreboard import STORED

Progress = Callable[[str, float], None]
_OVER: dict[str, Any] = {"mean": np.mean, "median": np.median, "smallest": np.min, "largest": np.max}  # nan stays nan


def _silent(_: str, __: float) -> None:
    return


def place(paper: Paper, experiment: Experiment, seed: int, size: Size) -> Path:
    """Return where the numbers of one experiment are kept."""
    question = {"experiment": experiment.__name__, "seed": seed, "size": size}
    name = f"{paper.key}-{experiment.__name__}-{size}-{seed}-{cache.key(paper.module, question)}.json"
    return cache.folder() / "papers" / name


def numbers(paper: Paper, experiment: Experiment, seed: int, size: Size) -> Numbers:
    """Return the numbers of one experiment, from the cache or computed now; `cpu_seconds` says what they cost."""

    def compute() -> Numbers:
        start = time.process_time()
        found = experiment(seed, size)
        return {**found, "cpu_seconds": time.process_time() - start}

    return cache.kept(place(paper, experiment, seed, size), compute)


def reproduce(
    paper: Paper, *, size: Size = "quick", seeds: int | None = None, progress: Progress = _silent
) -> PaperResult:
    """Run what is not in the cache yet and judge every claim.

    Claims that only the full size can show are judged when `size` is `full`, or when their experiments were run
    before; else they stay open (`measured` None). A run that was stopped goes on where it stopped.

    Args:
        seeds: how many seeds each claim gets; by default its own number.
        progress: told what is run, and the share that is done.
    """
    jobs: dict[tuple[str, int, Size], tuple[Experiment, int, Size]] = {}
    for claim in paper.claims:
        if claim.size == "quick" or size == "full":
            for seed in range(seeds or claim.seeds):
                jobs[claim.experiment.__name__, seed, claim.size] = (claim.experiment, seed, claim.size)
    seconds = 0.0
    for index, (experiment, seed, asked) in enumerate(jobs.values()):
        progress(f"{paper.key}: {experiment.__name__.replace('_', ' ')}, seed {seed}", index / len(jobs))
        spent = float(numbers(paper, experiment, seed, asked)["cpu_seconds"])
        seconds += spent if asked == "quick" else 0.0
    progress(f"{paper.key}: done", 1.0)
    results = tuple(judged(paper, claim, seeds or claim.seeds) for claim in paper.claims)
    return PaperResult(paper.key, paper.title, results, seconds, tuple(paper.figures), paper.full)


def judged(paper: Paper, claim: Claim, seeds: int) -> ClaimResult:
    """Return the claim with what the cache holds of it."""
    found = [cache.read(place(paper, claim.experiment, seed, claim.size)) for seed in range(seeds)]
    open_result = ClaimResult(
        claim.text, claim.place, claim.theirs, claim.low, claim.high, claim.tolerance, seeds,
        size=claim.size, note=claim.note, over=claim.over,
    )  # fmt: skip
    values = [float(item[claim.number]) for item in found if item is not None]
    if len(values) < seeds:
        return open_result
    measured = float(_OVER[claim.over](values))
    return ClaimResult(
        claim.text, claim.place, claim.theirs, claim.low, claim.high, claim.tolerance, seeds, measured,
        float(np.std(values, ddof=1)) if seeds > 1 else None, claim.holds(measured), claim.size, claim.note, claim.over,
    )  # fmt: skip


def scoreboard(results: Sequence[PaperResult]) -> Scoreboard:
    """Return the scoreboard of these papers, with the versions and the machine it was made on."""
    facts = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "scipy")}
    return Scoreboard(tuple(results), {**facts, "python": platform.python_version(), "machine": platform.machine()})


def merged(board: Scoreboard, stored: Scoreboard) -> Scoreboard:
    """Return `stored` with the papers of `board` in their places.

    What was not run in `board` keeps its stored result, where the very same claim was run before. Papers that are no
    longer there are left out.
    """
    before = {(paper.key, claim.text): claim for paper in stored.papers for claim in paper.claims}

    def filled(key: str, claim: ClaimResult) -> ClaimResult:
        old = before.get((key, claim.text))
        if claim.measured is not None or old is None or old.measured is None:
            return claim
        if (old.expected, old.place, old.size, old.over) != (claim.expected, claim.place, claim.size, claim.over):
            return claim
        return dataclasses.replace(claim, seeds=old.seeds, measured=old.measured, spread=old.spread, holds=old.holds)

    renewed = {
        paper.key: dataclasses.replace(paper, claims=tuple(filled(paper.key, claim) for claim in paper.claims))
        for paper in board.papers
    }
    full = {paper.key: paper.full for paper in papers()}
    kept = {paper.key: dataclasses.replace(paper, full=full[paper.key]) for paper in stored.papers if paper.key in full}
    together = kept | renewed
    return Scoreboard(tuple(together[key] for key in sorted(together)), board.facts)


def write_stored(board: Scoreboard) -> Path:
    """Write the scoreboard that the package brings along, and return its place."""
    return documents.write(board, STORED)
