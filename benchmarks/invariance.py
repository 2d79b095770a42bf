"""Verdicts that must not change: every case of the clinic, written, scaled or seeded otherwise."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import multiprocessing
from typing import Any

from photic.lab.clinic.case import Case, cases
from photic.lab.clinic.scoreboard import examine
from photic.lab.clinic.variants import VARIANTS
from photic.lab.clinic.verify import stored, trained

SEEDS = range(4)


def judged(job: tuple[str, str, int]) -> dict[str, Any] | None:
    """Return the verdicts of a case and of its variant at one seed; None where the variant does not apply."""
    name, variant, seed = job
    case = next(case for case in cases() if case.name == name)
    own = examine(case, seed=seed)
    if variant == "seed":
        return {
            "case": name,
            "variant": f"seed {seed}",
            "seed": seed,
            "label": case.label,
            "own": examine(case).problems,
            "found": own.problems,
        }
    if VARIANTS[variant](case.build(seed)) is None:
        return None

    def build(at: int) -> Any:
        return VARIANTS[variant](case.build(at))

    altered = dataclasses.replace(case, build=build)
    other = examine(altered, seed=seed)
    found = (other.failed,) if other.failed else other.problems
    outcomes: list[float] = []
    if found[:1] != own.problems[:1]:
        try:
            outcomes = [trained(case, seed)[0], trained(altered, seed)[0]]
        except (
            RuntimeError,
            TypeError,
        ):  # what is no part of the network cannot be altered: a plain list of layers in float64
            return None
    return {
        "case": name, "variant": variant, "seed": seed, "label": case.label, "own": own.problems, "found": found,
        "outcomes": outcomes,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a comparison")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--variants", default="", help="names, separated by commas; all without it")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    known = stored()
    chosen: list[Case] = [case for case in cases() if case.name in known and known[case.name].holds]
    jobs = [
        (case.name, variant, seed)
        for case, variant, seed in itertools.product(chosen, VARIANTS, range(arguments.seeds))
        if not arguments.variants or variant in arguments.variants.split(",")
    ]
    if not arguments.variants or "seed" in arguments.variants.split(","):
        jobs += [(case.name, "seed", seed) for case, seed in itertools.product(chosen, range(1, arguments.seeds))]
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for row in pool.imap(judged, jobs, chunksize=8):
            if row is not None:
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
