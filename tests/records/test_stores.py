"""Stores: what was written is read, what is damaged is told, and no number is invented. `dev.py bench crash` does it by the thousand."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from pathlib import Path

import pytest
from benchmarks.crash import killed

from photic.records.stores import StoreReader, StoreWriter
from photic.reports.view import network_of_store

WIDTH = 20


def expected(step: int) -> tuple[float, ...]:
    return tuple(float(step * WIDTH + place) for place in range(WIDTH))


def written(path: Path, rows: int = 600, most: int = 10_000) -> Path:
    with StoreWriter(path, most=most) as writer:
        for step in range(rows):
            while writer._queue.qsize() > 200:
                time.sleep(0.0005)
            writer.row("loss", step, expected(step))
    return path


def test_a_whole_store_has_lost_nothing(tmp_path: Path) -> None:
    reader = StoreReader(written(tmp_path / "run.sqlite"))
    assert reader.rows("loss") == [(step, expected(step)) for step in range(600)]
    assert (reader.lost, reader.damage) == (0, "")
    assert reader.rows("loss", after=597) == [(step, expected(step)) for step in (598, 599)]


def test_reading_leaves_no_file_and_no_changed_byte(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with StoreWriter(path) as writer:
        writer.row("loss", 0, [1.0])
    before = path.read_bytes()
    reader = StoreReader(path)
    assert reader.rows("loss") == [(0, (1.0,))]
    reader.close()
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_reading_beside_a_writer_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with StoreWriter(path) as writer:
        for step in range(3):
            writer.row("loss", step, [1.0])
            reader = StoreReader(path)
            assert len(reader.wait("loss", after=step - 1, seconds=5.0)) == 1
            reader.close()
    assert len(StoreReader(path).rows("loss")) == 3


def test_a_row_whose_numbers_changed_is_lost_not_believed(tmp_path: Path) -> None:
    path = written(tmp_path / "run.sqlite", 10)
    with sqlite3.connect(path) as connection:
        data = bytearray(connection.execute("select data from rows where step = 4").fetchone()[0])
        data[3] ^= 1
        connection.execute("update rows set data = ? where step = 4", (bytes(data),))
        connection.execute("update facts set value = '3' where name = 'schema_version'")
    reader = StoreReader(path)
    assert [step for step, _ in reader.rows("loss")] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert reader.lost == 2  # the row, and the fact


def test_rows_that_vanish_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "run.sqlite", 10)
    with sqlite3.connect(path) as connection:
        connection.execute("delete from rows where step in (2, 7)")
    reader = StoreReader(path)
    assert len(reader.rows("loss")) == 8 and reader.lost == 2


@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_of_a_cut_file_the_rows_before_the_cut_are_read(tmp_path: Path, share: float) -> None:
    path = written(tmp_path / "run.sqlite")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    reader = StoreReader(path)
    rows = dict(reader.rows("loss"))
    assert 0.5 * share * 600 < len(rows) < 600
    assert all(values == expected(step) for step, values in rows.items())
    assert f"{len(data) - int(share * len(data))} bytes are missing" in reader.damage
    reader.close()


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_invent_nothing(tmp_path: Path, seed: int) -> None:
    path = written(tmp_path / "run.sqlite", 200)
    chance, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    try:
        reader = StoreReader(path)
    except ValueError as error:
        assert "no photic store" in str(error)
        return
    rows = dict(reader.rows("loss"))
    assert all(values == expected(step) for step, values in rows.items())
    assert len(rows) == 200 or reader.lost or reader.damage
    reader.close()


def test_too_little_of_a_store_is_said_to_be_none(tmp_path: Path) -> None:
    path = written(tmp_path / "run.sqlite", 10)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match="no photic store"):
        StoreReader(path)


def test_stores_without_checksums_are_read_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table facts (name text primary key, value text not null);"
            "create table rows (series text not null, step integer not null, data blob not null, primary key (series, step));"
        )
        connection.execute("insert into facts values ('schema_version', '1')")
        connection.execute("insert into rows values ('loss', 0, ?)", (b"\x00\x00\x80\x3f",))
    assert StoreReader(path).rows("loss") == [(0, (1.0,))]
    with StoreWriter(path) as writer:
        writer.row("loss", 1, [2.0])
    reader = StoreReader(path)
    assert reader.rows("loss") == [(0, (1.0,)), (1, (2.0,))] and reader.lost == 0
    assert json.loads(json.dumps(dict(reader.facts())))["rows"] == {"loss": 2}


def test_thinned_rows_are_not_lost_ones(tmp_path: Path) -> None:
    reader = StoreReader(written(tmp_path / "run.sqlite", 300, most=64))
    rows = reader.rows("loss")
    assert len(rows) <= 64 and rows[-1] == (299, expected(299)) and reader.lost == 0


def test_a_row_that_is_written_again_counts_once_and_is_the_later_one(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "run.sqlite") as writer:
        for count in range(3):
            writer.row("scaler/skipped", 4, [float(count)])
    reader = StoreReader(tmp_path / "run.sqlite")
    assert reader.rows("scaler/skipped") == [(4, (2.0,))] and reader.lost == 0
    assert reader.facts()["rows"] == {"scaler/skipped": 1}


def test_a_store_begins_anew_or_where_a_run_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "run.sqlite", 10)
    with StoreWriter(path, start=6) as writer:
        writer.row("loss", 6, [0.5])
    reader = StoreReader(path)
    assert reader.rows("loss") == [*((step, expected(step)) for step in range(6)), (6, (0.5,))] and reader.lost == 0
    with StoreWriter(path, start=0) as writer:
        writer.row("other", 0, [1.0])
    reader = StoreReader(path)
    assert reader.series() == ("other",) and reader.facts()["rows"] == {"other": 1} and reader.lost == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_leaves_whole_rows_without_a_gap(tmp_path: Path, seed: int) -> None:
    _, wrong = killed(tmp_path, seed)
    assert wrong == ""


def test_the_report_says_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "run.sqlite", 20)
    with sqlite3.connect(path) as connection:
        connection.execute("delete from rows where step = 7")
    assert network_of_store(StoreReader(path), title="run")["notes"] == [
        "1 rows of the record could not be read and are left out"
    ]
