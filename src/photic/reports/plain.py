"""A record as plain text: fixed width, no control codes."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from photic.reports.blocks import View
from photic.reports.terminal import WHOLE, show


def plain(record: Any, *, width: int = 140, view: View = WHOLE) -> str:
    """Return what `show` prints, as text without colours."""
    text = io.StringIO()
    console = Console(file=text, width=width, no_color=True, force_terminal=False, highlight=False)
    show(record, console, view)
    return text.getvalue()
