"""The page of the findings: what `photic explain --markdown` prints, below a table of contents."""

from __future__ import annotations

import contextlib
import io

from docstrings import cited, plain

from photic.cli.main import run
from photic.diagnosis.registry import rules

_HEAD = """# Findings

What photic can find, each with its signs, why it matters, and when it would be a false alarm. `photic explain NAME` prints the
same; how the rules are asked is on the page [How it judges](judging.md), what cures them on [Remedies](reference/remedies.md).
"""


def page() -> str:
    """Return the page."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(["explain", "--markdown"]) == 0
    table = ["| finding | in one sentence |", "|---|---|"]
    table += [f"| [{rule.problem}](#{rule.problem}) | {plain(rule.summary)} |" for rule in rules()]
    return _HEAD + "\n" + "\n".join(table) + "\n\n" + cited(plain(printed.getvalue()), up="reference/")
