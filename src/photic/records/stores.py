"""Stores: a run while it is being watched, in one SQLite file; readers follow it from other processes."""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

_Item = tuple[str, int, bytes] | Literal["fact", "end"]
SCHEMA_VERSION = 2  # 1 had no checksums
_TABLES = """
create table if not exists facts (name text primary key, value text not null, crc integer);
create table if not exists rows (series text not null, step integer not null, data blob not null, crc integer, primary key (series, step));
"""
MOST_ROWS = 4000  # of one series; beyond it every second older row is left out
_WAITING = 256  # rows
_WAITING_BYTES = 8 * 2**20
_CLOSING_SECONDS = 30.0


class StoreWriter:
    """Writes rows on a thread of its own; a full queue drops the row and counts it, it never makes the training wait.

    A row is a list of float32, one for each name of the series. Long runs are thinned: of the older half every second
    row goes when a series has more than `most` rows, so that the file has a bound. What waits is at most 256 rows and
    8 MiB, and the latest value of each fact. In a forked process the writer does nothing: its thread is not there.
    Of a store that is there already the rows before step `start` are kept; with 0 it begins anew, and without `start`
    it goes on.

    Attributes:
        offered: rows that were given to it; those that are not `dropped` were stored.
        failure: why the record ended early; '' while it goes on.

    Raises:
        OSError, sqlite3.Error: if the file cannot be made.
        ValueError: if it is the database of another program.
    """

    def __init__(self, path: Path, *, most: int = MOST_ROWS, start: int | None = None) -> None:
        self.path = path
        self.most = most
        self.offered = 0
        self.failure = ""
        self._refused = self._lost = 0  # one counter for each thread, as for the next two
        self._put = self._taken = 0  # bytes
        self._process = os.getpid()
        path.parent.mkdir(parents=True, exist_ok=True)
        _begin(path)
        if start is not None:
            cut(path, start)
        self._facts: dict[str, str] = {}
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()  # its `put` never waits
        self._thread = threading.Thread(target=self._work, name="photic store", daemon=True)
        self.fact("schema_version", SCHEMA_VERSION)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many rows were offered and not stored, because the queue was full or the disk failed."""
        return self._refused + self._lost

    def fact(self, name: str, value: Any) -> None:
        """Write a JSON-ready value under a name; it replaces an older one."""
        if os.getpid() != self._process:
            return
        self._facts[name] = json.dumps(value)
        if not self.failure and self._queue.qsize() < _WAITING:
            self._queue.put("fact")  # in a full queue the next row says it too

    def row(self, series: str, step: int, values: Sequence[float] | bytes) -> None:
        """Write one row of a series; bytes are float32 already, little end first."""
        if os.getpid() != self._process:
            return
        self.offered += 1
        waiting = self._put - self._taken
        size = len(values) if isinstance(values, bytes) else 4 * len(values)
        full = self._queue.qsize() >= _WAITING or 0 < waiting > _WAITING_BYTES - size
        if self.failure or full:
            self._refused += 1
            return
        data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}f", *map(_float32, values))
        self._put += len(data)
        self._queue.put((series, step, data))

    def close(self) -> None:
        """Write what waits, and end."""
        if os.getpid() != self._process:
            return
        self._queue.put("end")
        self._thread.join(timeout=_CLOSING_SECONDS)
        if self._thread.is_alive():
            self.failure = self.failure or f"the disk did not take the last rows within {_CLOSING_SECONDS:.0f} s"

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        """Write until the end; a full disk, or whatever else fails, ends the record and not the training."""
        items: list[_Item] = []
        try:
            with closing(_connect(self.path)) as connection:
                counts = dict(connection.execute("select series, count(*) from rows group by series"))
                while "end" not in items:
                    items = self._waited()
                    with connection:  # one transaction for all that waited
                        self._write(connection, items, counts)
                    items = [item for item in items if item == "end"]  # the rest is stored
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            with suppress(Exception):
                while "end" not in items:
                    self._lost += sum(isinstance(item, tuple) for item in items)
                    items = self._waited()
                self._lost += sum(isinstance(item, tuple) for item in items)

    def _waited(self) -> list[_Item]:
        items: list[_Item] = [self._queue.get()]
        while len(items) < _WAITING and not self._queue.empty():
            items.append(self._queue.get_nowait())
        self._taken += sum(len(item[2]) for item in items if isinstance(item, tuple))
        return items

    def _write(self, connection: sqlite3.Connection, items: Sequence[_Item], counts: dict[str, int]) -> None:
        for item in items:
            if isinstance(item, tuple):
                series, step, data = item
                made = connection.execute("insert or ignore into rows values (?, ?, ?, ?)", (*item, _sum(*item)))
                if made.rowcount:
                    counts[series] = counts.get(series, 0) + 1
                else:  # a later reading of the same step takes its place
                    connection.execute(
                        "update rows set data = ?, crc = ? where series = ? and step = ?",
                        (data, _sum(*item), series, step),
                    )
                if counts[series] > self.most:
                    counts[series] = _thin(connection, series)
        facts = {"rows": json.dumps(counts)}  # so that a reader of a damaged file can say how much is missing
        if self.dropped:
            facts["dropped"] = json.dumps(self.dropped)
        while self._facts:
            name, value = self._facts.popitem()
            facts[name] = value
        for fact in facts.items():
            connection.execute("insert or replace into facts values (?, ?, ?)", (*fact, _sum(*fact)))


def _sum(*parts: str | int | bytes) -> int:
    """Return the CRC-32 of a row or a fact with its key: a flipped bit is found, and no number invented."""
    found = 0
    for part in parts:
        found = zlib.crc32(part if isinstance(part, bytes) else f"{part}|".encode(), found)
    return found


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
    if path.exists() and path.stat().st_size > 0:
        with closing(sqlite3.connect(path, timeout=10.0)) as connection:
            tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
        if tables and not {"facts", "rows"} <= tables:
            raise ValueError(f"{path} is the database of another program; choose another file for the record")
        _connect(path).close()
        return
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    _connect(made).close()
    made.replace(path)


def cut(path: Path, start: int) -> None:
    """Leave of a store only the rows before a step, and nothing at all with 0."""
    with closing(_connect(path)) as connection, connection:
        connection.execute("delete from rows where step >= ?", (start,))
        if start <= 0:
            connection.execute("delete from facts")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0)
    try:
        if connection.execute("pragma journal_mode = wal").fetchone()[0] != "wal":
            connection.execute("pragma journal_mode = truncate")  # network mounts know no shared memory
        connection.execute("pragma synchronous = normal")
        connection.executescript(_TABLES)
        for table in ("facts", "rows"):
            if not _has_sums(connection, table):
                connection.execute(f"alter table {table} add column crc integer")
    except BaseException:
        connection.close()
        raise
    return connection


def _has_sums(connection: sqlite3.Connection, table: str) -> bool:
    return any(column[1] == "crc" for column in connection.execute(f"pragma table_info({table})"))


class StoreReader:
    """Reads a store, also while it is written, and of a damaged one what can be trusted.

    Attributes:
        damage: what is wrong with the file, in words; '' where nothing was noticed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no store, or of a newer schema.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self.path = path
        self.damage = ""
        self._missing: dict[str, int] = {}
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._alone = not any(path.with_name(path.name + end).exists() for end in ("-wal", "-shm", "-journal"))
        try:
            self._open(path)
        except sqlite3.Error as error:
            whole = _padded(path.read_bytes())
            if whole is None:
                raise ValueError(f"{path} is no photic store: {error}") from None
            self._copy = tempfile.TemporaryDirectory()
            copy = Path(self._copy.name) / "padded.sqlite"
            copy.write_bytes(whole)
            self.damage = f"{len(whole) - path.stat().st_size} bytes are missing at its end"
            try:
                self._open(copy)
            except sqlite3.Error as second:
                self.close()
                raise ValueError(f"{path} is no photic store, or too little of one: {second}") from None
        version = self.facts().get("schema_version", 0)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            self.close()
            raise ValueError(f"{path} has schema {version}, this photic reads up to {SCHEMA_VERSION}; update photic")

    def _open(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)
        self._connection.text_factory = lambda given: given.decode("utf-8", "replace")
        try:
            self._sums = "crc" if _has_sums(self._connection, "rows") else "null"
            list(self._connection.execute("select rowid from facts limit 1"))
        except sqlite3.Error:
            self._connection.close()
            raise

    @property
    def lost(self) -> int:
        """How many rows and facts were written and could not be read so far, or not with the numbers they had."""
        return sum(self._missing.values())

    def _read(self, query: str, given: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, given)
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise
            self.damage = self.damage or f"SQLite says: {error}"

    def facts(self) -> Mapping[str, Any]:
        """Return all facts."""
        found: dict[str, Any] = {}
        bad = 0
        for name, value, crc in self._read(f"select name, value, {self._sums} from facts"):
            try:
                if not isinstance(name, str) or not isinstance(value, str) or crc not in (None, _sum(name, value)):
                    raise ValueError
                found[name] = json.loads(value)
            except (ValueError, RecursionError):  # damaged, or written by somebody who wishes us ill
                bad += 1
        self._missing["facts"] = bad
        return found

    def series(self) -> tuple[str, ...]:
        """Return the names of the series."""
        return tuple(row[0] for row in self._read("select distinct series from rows order by series"))

    def rows(self, series: str, *, after: int = -1) -> list[tuple[int, tuple[float, ...]]]:
        """Return (step, values) of a series in order, those after a step."""
        query = f"select step, data, {self._sums} from rows where series = ? and step > ? order by step"
        found: dict[int, tuple[float, ...]] = {}
        bad = 0
        for step, data, crc in self._read(query, (series, after)):
            good = _good(series, step, data, crc)
            bad += not good
            if good:
                found[step] = _values(data)
        if after < 0:
            counts = self.facts().get("rows", {}) if self._sums == "crc" else {}
            wanted = counts.get(series, len(found) + bad)
            if self.damage or len(found) < wanted:
                found |= self._salvaged(series)
            self._missing[series] = max(0, wanted - len(found))
        return sorted(found.items())

    def _salvaged(self, series: str) -> dict[int, tuple[float, ...]]:
        """Return what a walk over the table finds, past pages that cannot be read."""
        query = f"select rowid, series, step, data, {self._sums} from rows not indexed where rowid >= ?"
        found: dict[int, tuple[float, ...]] = {}
        start, failures = 1, 0
        while failures < 320:
            try:
                for rowid, name, step, data, crc in self._connection.execute(query, (start,)):
                    start, failures = max(start, rowid) + 1, 0
                    if name == series and _good(series, step, data, crc):
                        found[step] = _values(data)
                break
            except sqlite3.DatabaseError:
                start += 1 if failures < 300 else 2 ** (failures - 300)
                failures += 1
        return found

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
        """Close the file, and leave none beside it that was not there."""
        self._connection.close()
        if self._alone and not self.damage:  # who only reads may not take away SQLite's two files, who might write does
            with suppress(sqlite3.Error), closing(sqlite3.connect(self.path, timeout=0.1)) as last:
                last.execute("select rowid from facts limit 1").fetchone()
        if self._copy is not None:
            self._copy.cleanup()


def _good(series: str, step: Any, data: Any, crc: Any) -> bool:
    return isinstance(step, int) and isinstance(data, bytes) and crc in (None, _sum(series, step, data))


def _values(data: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 4}f", data[: len(data) // 4 * 4])


def _padded(data: bytes) -> bytes | None:
    """Return a file that was cut, filled with zeros to the length in its header; None where it is not cut, or no SQLite file."""
    if not data.startswith(b"SQLite format 3\0") or len(data) < 512:
        return None
    size = int.from_bytes(data[16:18], "big")
    length = (65536 if size == 1 else size) * int.from_bytes(data[28:32], "big")
    return data.ljust(length, b"\0") if len(data) < length < 2**33 else None
