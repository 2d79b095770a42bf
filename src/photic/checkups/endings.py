"""Endings: a watch that is still open when the interpreter goes is closed, so that its record is whole."""

from __future__ import annotations

import atexit
import weakref
from contextlib import suppress
from typing import Protocol


class Closable(Protocol):
    """What can be closed, twice as well as once."""

    def close(self) -> None:
        """End it."""


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_at_exit(watch: Closable) -> None:
    """Close it when the interpreter ends, if it is still there: it is not kept alive for that.

    An open watch listens to the steps, and lives as long as it does: one whose handle nobody kept goes on watching.
    """
    _open.add(watch)


@atexit.register
def _close_all() -> None:
    for watch in list(_open):
        with suppress(Exception):  # the script has ended; its exit code is its own
            watch.close()
