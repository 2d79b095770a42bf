"""Pictures: how a record shows itself in a notebook."""

from __future__ import annotations

import importlib


def picture(record: object) -> str:
    """Return the record as HTML without scripts.

    Records stand below reports and do not know them; the one who draws is found by name, when a notebook asks.
    """
    return str(importlib.import_module("photic.reports.still").still(record))
