"""`photic explain`."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from photic.diagnosis.registry import Rule


def explain(
    problem: str = "",
    *,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Print what a finding means, its evidence and sources; without a problem, list them all.

    Parameters
    ----------
    problem
        Name of a finding, such as vanishing-gradient; without it all are listed, each in one sentence.
    markdown
        Print the whole documentation as Markdown to stdout.
    json
        Print the whole documentation as JSON to stdout.
    """
    import difflib
    import json as js

    from photic.cli.failures import UsageFailure
    from photic.cli.output import console
    from photic.diagnosis.registry import rules

    known = {rule.problem: rule for rule in rules()}
    if problem and problem not in known:
        near = [name for name in known if problem.lower() in name] or difflib.get_close_matches(problem, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise UsageFailure(f"there is no finding {problem!r}{hint} There are: {', '.join(known)}")
    chosen = [known[problem]] if problem else list(known.values())
    if json:
        print(
            js.dumps(
                [
                    {"problem": r.problem, "summary": r.summary, "documentation": r.documentation, "sources": r.sources}
                    for r in chosen
                ]
            )
        )
        return 0
    if markdown:
        print("\n\n".join(f"## {r.problem}\n\n{r.documentation}\n\nSources: {', '.join(r.sources)}." for r in chosen))
        return 0
    out = console()
    for rule in chosen:
        out.print(rule.problem, style="bold", markup=False)
        out.print(_with_numbers(rule) if problem else f"  {rule.summary}", markup=False)
        if problem:
            out.print(f"\nSources: {', '.join(rule.sources)} (references.bib)", style="dim", markup=False)
    return 0


def _with_numbers(rule: Rule) -> str:
    """Return what a rule says, with its thresholds: "less than `share` (0.05)"."""
    asked = inspect.signature(rule.judge).parameters.values()
    numbers = {p.name: p.default for p in asked if p.kind is p.KEYWORD_ONLY and isinstance(p.default, (int, float))}

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        return f"`{name}` ({numbers[name]:,.12g})" if name in numbers else found[0]

    return re.sub(r"`(\w+)`", filled, rule.documentation)
