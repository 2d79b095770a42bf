"""Work spread over processes, with progress."""

from __future__ import annotations

from typing import Any


def pooled(work: Any, items: list[Any], processes: int, quiet: bool) -> list[Any]:
    """Return what `work` gives of each item, in order, from several processes, with progress on the screen."""
    import multiprocessing

    from photic.cli.output import progress

    tell = progress(quiet)
    found: list[Any] = []
    with multiprocessing.get_context("spawn").Pool(max(1, processes)) as pool:
        for index, item in enumerate(pool.imap(work, items, chunksize=1)):
            found.append(item)
            tell("cases", (index + 1) / len(items))
    return found
