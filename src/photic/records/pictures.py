"""Pictures: how a record shows itself, printed and in a notebook."""

from __future__ import annotations

import importlib
from typing import Any


class Shown:
    """A record that prints as the report that the terminal shows; `repr` stays the plain data."""

    __slots__ = ()

    def report(self) -> str:
        """Return the record as plain text."""
        return str(importlib.import_module("photic.reports.plain").plain(self))

    def __str__(self) -> str:
        return self.report()

    def _repr_html_(self) -> str:
        return str(importlib.import_module("photic.reports.coloured").coloured(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.report())


def picture(record: object) -> str:
    """Return the record as HTML without scripts.

    Records stand below reports and do not know them; the one who draws is found by name, when a notebook asks.
    """
    return str(importlib.import_module("photic.reports.still").still(record))
