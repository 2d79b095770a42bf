"""Coloured: what the terminal shows, as HTML with its colours and without any script."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from photic.reports.terminal import show

_PAGE = '<pre style="white-space:pre;overflow-x:auto;line-height:1.3;font-family:monospace">{code}</pre>'


def coloured(record: Any) -> str:
    """Return what the terminal shows of a record."""
    console = Console(record=True, file=io.StringIO(), width=130, force_jupyter=False, highlight=False)
    show(record, console)
    return console.export_html(inline_styles=True, code_format=_PAGE)
