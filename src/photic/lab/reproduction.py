"""Reproduction: run the experiments behind a paper's claims, keep what was computed, and judge the claims."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from photic.lab import cache
from photic.lab.claims import Claim, Experiment, Numbers, Paper, Size, papers
from photic.records import documents
from photic.records.scoreboard import ClaimResult, PaperResult, Scoreboard
from photic.reports.scoreboard import STORED

Progress = Callable[[str, float], None]
_OVER: dict[str, Any] = {"mean": np.mean, "median": np.median, "smallest": np.min, "largest": np.max}  # nan stays nan


def _silent(_: str, __: float) -> None:
    return


def trains(experiment: Experiment) -> bool:
    """Tell whether the experiment takes a device to train on; what only measures runs on the CPU."""
    return "device" in inspect.signature(experiment).parameters


def place(paper: Paper, experiment: Experiment, seed: int, size: Size, device: str = "cpu") -> Path:
    """Return where the numbers of one experiment are kept; those of another kind of device lie elsewhere."""
    kind = torch.device(device).type if trains(experiment) else "cpu"
    question = {"experiment": experiment.__name__, "seed": seed, "size": size, "device": kind}
    name = f"{paper.key}-{experiment.__name__}-{size}-{seed}-{cache.key(paper.module, question)}.json"
    return cache.folder() / "papers" / name


def numbers(paper: Paper, experiment: Experiment, seed: int, size: Size, device: str = "cpu") -> Numbers:
    """Return the numbers of one experiment, from the cache or computed now; `cpu_seconds` says what they cost."""

    def compute() -> Numbers:
        start = time.process_time()
        where: dict[str, Any] = {"device": device} if trains(experiment) else {}
        found = experiment(seed, size, **where)
        return {**found, "cpu_seconds": time.process_time() - start}

    return cache.kept(place(paper, experiment, seed, size, device), compute)


def reproduce(
    paper: Paper,
    *,
    size: Size = "quick",
    seeds: int | None = None,
    device: str = "cpu",
    progress: Progress = _silent,
) -> PaperResult:
    """Run what is not in the cache yet and judge every claim.

    Claims that only the full size can show are judged when `size` is `full` or `paper` (then at the paper's own), or when
    their experiments were run before; else they stay open (`measured` None). A run that was stopped goes on where it stopped.

    Args:
        size: `paper` is another one than `full` for glorot2010 alone.
        seeds: how many seeds each claim gets; by default its own number.
        device: where experiments that train do so.
        progress: told what is run, and the share that is done.
    """
    jobs: dict[tuple[str, int, Size], tuple[Experiment, int, Size]] = {}
    for claim in paper.claims:
        asked = _asked(claim, size)
        if asked == "quick" or size != "quick":
            for seed in range(seeds or claim.seeds):
                jobs[claim.experiment.__name__, seed, asked] = (claim.experiment, seed, asked)
    seconds = 0.0
    for index, (experiment, seed, asked) in enumerate(jobs.values()):
        progress(f"{paper.key}: {experiment.__name__.replace('_', ' ')}, seed {seed}", index / len(jobs))
        spent = float(numbers(paper, experiment, seed, asked, device)["cpu_seconds"])
        seconds += spent if asked == "quick" else 0.0
    progress(f"{paper.key}: done", 1.0)
    results = tuple(
        judged(paper, claim, seeds or claim.seeds, size=_asked(claim, size), device=device) for claim in paper.claims
    )
    return PaperResult(paper.key, paper.title, results, seconds, tuple(paper.figures), paper.full)


def _asked(claim: Claim, size: Size) -> Size:
    """Return the size that a claim is run at: its own, or the paper's in the place of our full one."""
    return "paper" if size == "paper" and claim.size == "full" else claim.size


def judged(paper: Paper, claim: Claim, seeds: int, *, size: Size | None = None, device: str = "cpu") -> ClaimResult:
    """Return the claim with what the cache holds of it, by default at the claim's own size."""
    found = [cache.read(place(paper, claim.experiment, seed, size or claim.size, device)) for seed in range(seeds)]
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
