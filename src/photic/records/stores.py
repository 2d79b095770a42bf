"""Stores: a run while it is being watched, in one SQLite file; readers follow it from other processes."""

from __future__ import annotations

import json
import queue
import sqlite3
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

SCHEMA_VERSION = 1
_TABLES = """
create table if not exists facts (name text primary key, value text not null);
create table if not exists rows (series text not null, step integer not null, data blob not null, primary key (series, step));
"""
MOST_ROWS = 4000  # of one series; beyond it every second older row is left out
_WAITING = 256


class StoreWriter:
    """Writes rows on a thread of its own; a full queue drops the row and counts it, it never makes the training wait.

    A row is a list of float32, one for each name of the series. Long runs are thinned: of the older half every second
    row goes when a series has more than `most` rows, so that the file has a bound.

    Raises:
        OSError: if the file cannot be made.
    """

    def __init__(self, path: Path, *, most: int = MOST_ROWS) -> None:
        self.path = path
        self.most = most
        self.dropped = 0
        self.failure = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        _begin(path)
        self._queue: queue.Queue[tuple[str, int, bytes] | tuple[str, str] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="photic store", daemon=True)
        self._thread.start()
        self.fact("schema_version", SCHEMA_VERSION)

    def fact(self, name: str, value: Any) -> None:
        """Write a JSON-ready value under a name; it replaces an older one."""
        self._queue.put((name, json.dumps(value)))

    def row(self, series: str, step: int, values: Sequence[float]) -> None:
        """Write one row of a series."""
        try:
            self._queue.put_nowait((series, step, struct.pack(f"<{len(values)}f", *map(_float32, values))))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)
        self._thread.join(timeout=30.0)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            connection = _connect(self.path)
            counts: dict[str, int] = {}
            ended = False
            while not ended:
                items = [self._queue.get()]
                while len(items) < _WAITING and not self._queue.empty():
                    items.append(self._queue.get_nowait())
                with connection:  # one transaction for all that waited
                    for item in items:
                        if item is None:
                            ended = True
                        elif len(item) == 2:
                            connection.execute("insert or replace into facts values (?, ?)", item)
                        else:
                            connection.execute("insert or replace into rows values (?, ?, ?)", item)
                            counts[item[0]] = counts.get(item[0], 0) + 1
                            if counts[item[0]] > self.most:
                                counts[item[0]] = _thin(connection, item[0])
            connection.close()
        except sqlite3.Error as error:  # a full disk ends the record, not the training
            self.failure = f"{type(error).__name__}: {error}"
            while self._queue.get() is not None:
                pass


def _float32(value: float) -> float:
    return max(-3.4e38, min(3.4e38, value)) if value == value and abs(value) != float("inf") else value


def _thin(connection: sqlite3.Connection, series: str) -> int:
    """Leave out every second row of the older half of a series; return how many rows are left."""
    steps = [row[0] for row in connection.execute("select step from rows where series = ? order by step", (series,))]
    gone = steps[1 : len(steps) // 2 : 2]
    connection.executemany("delete from rows where series = ? and step = ?", [(series, step) for step in gone])
    return len(steps) - len(gone)


def _begin(path: Path) -> None:
    """Make the tables; a new store appears under its name when it is whole, so that no reader finds half of one."""
    if path.exists():
        _connect(path).close()
        return
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    _connect(made).close()
    made.replace(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0)
    if connection.execute("pragma journal_mode = wal").fetchone()[0] != "wal":
        connection.execute("pragma journal_mode = truncate")  # network mounts know no shared memory
    connection.execute("pragma synchronous = normal")
    connection.executescript(_TABLES)
    return connection


class StoreReader:
    """Reads a store, also while it is written.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no store, or of a newer schema.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self.path = path
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)
        try:
            version = int(self.facts().get("schema_version", 0))
        except sqlite3.Error as error:
            raise ValueError(f"{path} is no photic store: {error}") from None
        if version > SCHEMA_VERSION:
            raise ValueError(f"{path} has schema {version}, this photic reads up to {SCHEMA_VERSION}; update photic")

    def facts(self) -> Mapping[str, Any]:
        """Return all facts."""
        return {name: json.loads(value) for name, value in self._connection.execute("select name, value from facts")}

    def series(self) -> tuple[str, ...]:
        """Return the names of the series."""
        return tuple(row[0] for row in self._connection.execute("select distinct series from rows order by series"))

    def rows(self, series: str, *, after: int = -1) -> list[tuple[int, tuple[float, ...]]]:
        """Return (step, values) of a series in order, those after a step."""
        query = "select step, data from rows where series = ? and step > ? order by step"
        return [
            (int(step), struct.unpack(f"<{len(data) // 4}f", data))
            for step, data in self._connection.execute(query, (series, after))
        ]

    def version(self) -> int:
        """Return a number that changes when another process has written."""
        return int(self._connection.execute("pragma data_version").fetchone()[0])

    def wait(self, series: str, *, after: int, seconds: float) -> list[tuple[int, tuple[float, ...]]]:
        """Return new rows of a series as soon as there are some, or nothing after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            found = self.rows(series, after=after)
            if found or time.monotonic() >= until:
                return found
            time.sleep(0.05)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
