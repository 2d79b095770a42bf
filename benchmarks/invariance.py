"""Verdicts that must not change: every case of the clinic, written, scaled or seeded otherwise.

Cases come in the order of their names' hashes, so that what `--minutes` leaves undone is a random part.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import math
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from photic.lab.clinic.case import Case, cases
from photic.lab.clinic.scoreboard import examine
from photic.lab.clinic.variants import VARIANTS
from photic.lab.clinic.verify import stored, trained

SEEDS = range(4)


def judged(job: tuple[str, tuple[str, ...], int]) -> list[dict[str, Any]]:
    """Return a row for each comparison of a case: with its variants at each seed, and with itself at other seeds."""
    name, variants, seeds = job
    case = next(case for case in cases() if case.name == name)
    own = {seed: examine(case, seed=seed).problems for seed in range(seeds)}
    rows = [
        {"case": name, "variant": f"seed {seed}", "seed": seed, "label": case.label, "own": own[0], "found": own[seed]}
        for seed in range(1, seeds)
        if "seed" in variants
    ]
    for variant, seed in itertools.product(variants, range(seeds)):
        if variant != "seed":
            row = altered(case, variant, seed, own[seed])
            rows += [] if row is None else [row]
    return rows


def altered(case: Case, variant: str, seed: int, own: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the verdicts of a case and of its variant; None where the variant does not apply."""
    if VARIANTS[variant](case.build(seed)) is None:
        return None

    def build(at: int) -> Any:
        return VARIANTS[variant](case.build(at))

    twin = dataclasses.replace(case, build=build)
    other = examine(twin, seed=seed)
    found = (other.failed,) if other.failed else other.problems
    outcomes: list[float] = []
    if found[:1] != own[:1]:
        try:
            outcomes = [trained(case, seed)[0], trained(twin, seed)[0]]
        except (RuntimeError, TypeError):
            return None  # what is no part of the network cannot be altered: a plain list of layers in float64
    return {
        "case": case.name, "variant": variant, "seed": seed, "label": case.label, "own": own, "found": found,
        "outcomes": outcomes,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line a comparison")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--variants", default="", help="names, separated by commas; all without it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no further case after so long")
    parser.add_argument("--table", type=Path, help="print the table of a file that --json wrote, and do nothing else")
    arguments = parser.parse_args()
    if arguments.table:
        print_table([json.loads(line) for line in arguments.table.read_text().splitlines()])
        return
    known = stored()
    chosen = [case.name for case in cases() if case.name in known and known[case.name].holds]
    chosen.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    variants = tuple(arguments.variants.split(",")) if arguments.variants else (*VARIANTS, "seed")
    until = time.monotonic() + 60.0 * arguments.minutes
    rows: list[dict[str, Any]] = []
    jobs = iter([(name, variants, arguments.seeds) for name in chosen])
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(judged, job) for job in itertools.islice(jobs, arguments.processes)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            if time.monotonic() < until:
                waiting |= {pool.submit(judged, job) for job in itertools.islice(jobs, len(done))}
            for row in itertools.chain.from_iterable(future.result() for future in done):
                rows.append(row)
                if arguments.json:
                    print(json.dumps(row), flush=True)
    if not arguments.json:
        print_table(rows)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print how many verdicts stayed, and those that did not."""
    print("| variant | comparisons | same first finding | healthy in one, sick in the other |")
    print("|---|---|---|---|")
    for variant in dict.fromkeys(row["variant"] for row in rows):
        here = [row for row in rows if row["variant"] == variant]
        same = sum(row["own"][:1] == row["found"][:1] for row in here)
        turned = sum(bool(row["own"]) != bool(row["found"]) for row in here)
        print(f"| {variant} | {len(here)} | {same} ({100 * same / len(here):.1f} %) | {turned} |")
    print()
    tuning = {case.name for case in cases() if case.part == "tuning"}
    for row in rows:
        if row["own"][:1] != row["found"][:1] and row["case"] in tuning:  # nobody may tune on the other
            outcomes = " against ".join(f"{score:.2f}" for score in row.get("outcomes", []))
            print(
                f"- {row['case']} (seed {row['seed']}), {row['variant']}: {', '.join(row['own']) or 'nothing'} -> "
                f"{', '.join(row['found']) or 'nothing'}{'; scores after training ' + outcomes if outcomes else ''}"
            )


if __name__ == "__main__":
    main()
