"""The page of the command line, from its own help."""

from __future__ import annotations

import re

from photic.cli.main import app

_HEAD = """# Command line

People read stderr, programs read stdout (`--json`). Exit codes: `check` 0 healthy, 1 findings; `treat` 0 cured or nothing to cure, 1
nothing cured; `run` the script's own, unless `--fail-on` asks for more; every other command 0 when it did its work; 2 usage; 3 the
target could not be loaded or run. `photic COMMAND --help` prints the same as this page.
"""


def page() -> str:
    """Return the page."""
    text = app().generate_docs(output_format="markdown")
    commands = re.sub(r"^# photic\n.*?(?=^## photic )", "", text, flags=re.MULTILINE | re.DOTALL)
    commands = re.sub(r"\*\*(Parameters|Arguments|Commands)\*\*:", r"\1:", commands)
    commands = re.sub(r"\n {4}(?=\S)", " ", commands)  # one line per option: wrapped lines would become code
    commands = re.sub(r""" \*\[default: (?:""|\(\)|False)\]\*""", "", commands)  # nothing, or switched off
    names = re.findall(r"^## photic (\w+)", commands, flags=re.MULTILINE)
    listed = ", ".join(f"[{name}](#photic-{name})" for name in names)
    return f"{_HEAD}\n{listed}.\n\n{commands}"
