"""Following: a running store as a stream of events: everything so far, then what comes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from photic.records.documents import to_plain
from photic.records.stores import StoreReader
from photic.reports.view import findings_of, heat_of, network_of_store, shown

PAUSE = 0.04
BREATH = 15.0


def event(kind: str, data: Any) -> bytes:
    """Return one server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data, allow_nan=False, separators=(',', ':'))}\n\n".encode()


async def follow(path: Path, *, gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """Yield a store as events until the listener is gone.

    `start` carries the whole network as the page shows it, `rows` what was written since, `facts` newer findings. Reads
    take a millisecond and hold no lock that the writer would wait for.
    """
    reader = StoreReader(path)
    try:
        first = network_of_store(reader, title=path.stem)
        yield event("start", first)
        after = {heat["series"]: heat["steps"][-1] for heat in first["heats"]}
        after["loss"] = max(first["loss_steps"], default=-1)
        findings, version, quiet = first["findings"], -1, time.monotonic()
        while not await gone():
            if (now := reader.version()) != version:
                version = now
                rows = _rows(reader, after)
                if rows is not None:
                    yield event("rows", rows)
                    quiet = time.monotonic()
                if (found := findings_of(reader.facts())) != findings:
                    findings = found
                    yield event("findings", found)
            if time.monotonic() - quiet > BREATH:
                yield b": still here\n\n"
                quiet = time.monotonic()
            await anyio.sleep(PAUSE)
    except sqlite3.Error:  # the file was taken away
        yield event("ended", "the record can no longer be read")
    finally:
        reader.close()


def _rows(reader: StoreReader, after: dict[str, int]) -> dict[str, Any] | None:
    """Return the rows after those that were sent, and remember how far they go; None when there are none."""
    facts = reader.facts()
    names = shown(reader.series())
    heats = [heat for name in names if (heat := heat_of(reader, name, facts, after=after.get(name, -1))) is not None]
    losses = reader.rows("loss", after=after["loss"])
    if not heats and not losses:
        return None
    after.update({heat["series"]: heat["steps"][-1] for heat in heats})
    after["loss"] = losses[-1][0] if losses else after["loss"]
    return {
        "heats": heats,
        "losses": to_plain([values[0] for _, values in losses]),
        "loss_steps": [s for s, _ in losses],
    }
