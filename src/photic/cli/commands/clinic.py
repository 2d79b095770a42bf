"""`photic clinic`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

_KEPT_AFTER = 32  # cases, with their twins: a pool for each such group


def clinic(
    *,
    split: Literal["all", "tuning", "held-out"] = "all",
    only: str = "",
    steps: int | None = None,
    watch: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    verify: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(negative="")] = False,
    rivals: Annotated[bool, Parameter(negative="")] = False,
    plot: Path | None = None,
    processes: int = 2,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run photic over networks with a known disease, and over healthy ones, and print how often it is right.

    The cases are runnable PyTorch set-ups written from published faults. Those whose disease (or health) training did not
    confirm on three seeds are left out and named. The rules may be tuned on the tuning part alone.

    Parameters
    ----------
    split
        The tuning part, the held-out part, or both.
    only
        Only cases whose name contains this.
    steps
        Training steps after which the verdict is asked for. Without it as `photic check` does, and 75 with --watch.
    watch
        Judge under `photic.watch` in a plain loop instead of by `photic.check`.
    seed
        Seed of weights and batches.
    verify
        Train every case to its end on three seeds instead, and say whether it is what it says (about ten minutes).
    resume
        With --verify: leave out what was verified before; outcomes are kept from time to time, so a run that was cut off goes on.
    rivals
        Ask the published rules of other tools as well, which may see the whole training (about a minute).
    plot
        With --rivals: draw detections against false alarms into this file (PNG, SVG or PDF).
    processes
        Cases at once, each on one thread.
    json
        Print scores and rows as JSON to stdout.
    """
    from photic.cli.failures import UsageFailure

    try:
        from photic.lab.clinic.case import cases
    except ModuleNotFoundError as error:
        raise UsageFailure(f"the clinic needs {error.name}; install photic[lab]") from error
    chosen = [c for c in cases() if only in c.name and (split == "all" or c.part == split)]
    if not chosen:
        raise UsageFailure(f"no case of the part {split!r} has {only!r} in its name; there are {len(cases())} cases")
    if resume and not verify:
        raise UsageFailure("--resume goes on with a verification: add --verify")
    if plot is not None and not rivals:
        raise UsageFailure("--plot draws the comparison with other tools: add --rivals")
    if rivals:
        from photic.cli.rivals import compared

        return compared(chosen, steps, seed, processes, json, plot)
    return _verify(chosen, processes, json, resume) if verify else _score(chosen, steps, watch, seed, processes, json)


def _examined(item: tuple[str, int | None, bool, int]) -> Any:
    from photic.lab.clinic.case import cases
    from photic.lab.clinic.scoreboard import examine

    name, steps, watched, seed = item
    found = next(case for case in cases() if case.name == name)
    return examine(found, steps=steps, way="watch" if watched else "check", seed=seed)


def _score(chosen: list[Any], steps: int | None, watched: bool, seed: int, processes: int, as_json: bool) -> int:
    import dataclasses
    import json as encoder

    from photic.cli.output import console
    from photic.cli.pools import pooled
    from photic.lab.clinic.scoreboard import score
    from photic.lab.clinic.verify import stored

    known = stored()
    dropped = [c.name for c in chosen if c.name in known and not known[c.name].holds]
    kept = [c for c in chosen if c.name not in dropped]
    rows = pooled(_examined, [(c.name, steps, watched, seed) for c in kept], processes, as_json)
    parts = sorted({row.part for row in rows}, reverse=True)
    scores = [score(rows, part) for part in parts]
    if as_json:
        plain = {"scores": [dataclasses.asdict(s) for s in scores], "rows": [dataclasses.asdict(r) for r in rows]}
        print(
            encoder.dumps({**plain, "left_out": dropped, "unverified": [c.name for c in kept if c.name not in known]})
        )
        return 0
    from rich.table import Table

    screen = console()
    table = Table("part", "detected", "named first", "named", "at the root", "false alarms", "not run")
    for s in scores:
        table.add_row(
            s.part, f"{s.detected} of {s.sick}", f"{s.named_first} of {s.sick}", f"{s.named} of {s.sick}",
            f"{s.rooted} of {s.with_root}", f"{s.false_alarms} of {s.healthy}", str(s.failed),
        )  # fmt: skip
    screen.print(table)
    for row in rows:  # of the held-out part only numbers are told: nobody may tune on it
        wrong = (
            row.failed or (bool(row.problems) != bool(row.label)) or (row.label and row.problems[:1] != (row.label,))
        )
        if wrong and row.part == "tuning":
            said = row.failed or ", ".join(row.problems) or "nothing"
            screen.print(f"{row.name}: {row.label or 'healthy'}; found {said}", markup=False)
    seconds, made = sorted(row.seconds for row in rows), sorted(row.steps for row in rows)
    screen.print(
        f"{len(rows)} cases, "
        f"verdict after {made[len(made) // 2]} (at most {made[-1]}) of up to 300 steps, median {seconds[len(seconds) // 2]:.2f} s a case; "
        f"{len(dropped)} left out, as training did not confirm them.",
        markup=False,
    )
    return 0


def _trained(item: tuple[str, int]) -> tuple[str, int, float, float]:
    import warnings

    import torch

    from photic.lab.clinic.case import cases
    from photic.lab.clinic.verify import trained

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    name, seed = item
    try:
        score, fell = trained(next(case for case in cases() if case.name == name), seed)
    except Exception:  # a case that cannot be trained (nan in its own loss) has learned nothing
        score, fell = 0.0, -1.0
    return name, seed, score, fell


def _verify(chosen: list[Any], processes: int, as_json: bool, resume: bool) -> int:
    import dataclasses
    import json as encoder

    from photic.cli.output import console
    from photic.cli.pools import pooled
    from photic.lab.clinic.case import CURED, cases
    from photic.lab.clinic.verify import SEEDS, Outcome, judged, store, stored

    known = stored() if resume else {}
    names = {case.name.removesuffix(CURED) for case in chosen}
    pairs = sorted(name for name in names if name not in known)
    everything = [case for case in cases() if case.name.removesuffix(CURED) in names]
    verdicts = {case.name: known[case.name] for case in everything if case.name in known}
    for start in range(0, len(pairs), _KEPT_AFTER):
        some = [case for case in everything if case.name.removesuffix(CURED) in pairs[start : start + _KEPT_AFTER]]
        found = pooled(_trained, [(case.name, seed) for case in some for seed in SEEDS], processes, as_json)
        outcomes = {
            case.name: Outcome(
                tuple(round(s, 4) for n, _, s, _ in found if n == case.name),
                tuple(round(f, 4) for n, _, _, f in found if n == case.name),
            )
            for case in some
        }
        verdicts |= judged(tuple(some), outcomes)
        store({**stored(), **verdicts})
    if as_json:
        print(encoder.dumps({name: dataclasses.asdict(outcome) for name, outcome in verdicts.items()}))
        return 0
    screen = console()
    for case in everything:
        outcome = verdicts[case.name]
        if not outcome.holds:
            screen.print(
                f"{case.name}: {'sick' if case.sick else 'healthy'} not confirmed; {outcome.score}", markup=False
            )
    screen.print(f"{sum(o.holds for o in verdicts.values())} of {len(verdicts)} cases are what they say", markup=False)
    return 0
