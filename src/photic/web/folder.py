"""Folder: the runs in a folder, running and finished, under names that say nothing of the file system."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photic.diagnosis.units_on_curves import units_on_curves
from photic.records import documents
from photic.records.findings import Checkup
from photic.records.stores import StoreReader
from photic.records.treatments import TreatmentRecord
from photic.reports.verdict import verdict
from photic.reports.view import bare, network_of_store, view_of

RUNNING_SECONDS = 20.0
DEEPEST = 4
MOST_RUNS = 2000


@dataclass(frozen=True)
class Entry:
    """One run of the list.

    Attributes:
        id: what the page calls it; made from the path, and the path cannot be made from it.
        name: file name without ending, with its folder inside ours.
        model: class name of the model, where it is known.
        verdict: in one sentence, or what is known so far.
        healthy: whether there was no finding.
        running: whether it is being written.
        changed: seconds since 1970.
        live: whether there is a store to follow.
    """

    id: str
    name: str
    model: str
    verdict: str
    healthy: bool
    running: bool
    changed: float
    live: bool


class Folder:
    """Finds runs and reads them. What a client names is looked up in our own list, never made into a path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: dict[str, Path] = {}
        self._known: dict[Path, tuple[float, Entry]] = {}

    def entries(self) -> list[Entry]:
        """Return all runs, the newest first."""
        found: list[Entry] = []
        for path in self._files():
            changed = _changed(path)
            known = self._known.get(path)
            running = path.suffix == ".sqlite" and time.time() - changed < RUNNING_SECONDS
            running = running and not path.with_suffix(".json").exists()
            if known is None or known[0] != changed or known[1].running != running:
                entry = self._entry(path, changed, running)
                if entry is None:
                    continue
                known = (changed, entry)
                self._known[path] = known
            self._paths[known[1].id] = path
            found.append(known[1])
        return sorted(found, key=lambda entry: -entry.changed)

    def path(self, name: str) -> Path:
        """Return the file of a run.

        Raises:
            KeyError: if no run of our list has that name.
        """
        if name not in self._paths:
            self.entries()
        return self._paths[name]

    def view(self, name: str) -> dict[str, Any]:
        """Return the page's data of a run.

        Raises:
            KeyError: if no run has that name.
            ValueError: if its file cannot be read.
        """
        path = self.path(name)
        store, document = path.with_suffix(".sqlite"), path.with_suffix(".json")
        reader = StoreReader(store) if store.exists() else None
        try:
            if not document.exists():
                assert reader is not None
                return {"mode": "report", "runs": [network_of_store(reader, title=path.stem)], "treatment": None}
            record = documents.read(document)
            networks = [record] if isinstance(record, Checkup) else [record.before, record.after]
            curves = [units_on_curves(network.run) for network in networks if network is not None]
            return view_of(record, title=path.stem, curves=curves, store=reader)
        finally:
            if reader is not None:
                reader.close()

    def _files(self) -> Iterator[Path]:
        """Yield one file for each run: the store where there is one, else the document."""
        count = 0
        for path in sorted(self.root.rglob("*")):
            if path.suffix not in (".sqlite", ".json") or len(path.relative_to(self.root).parts) > DEEPEST:
                continue
            if path.suffix == ".json" and path.with_suffix(".sqlite").exists():
                continue
            if path.is_symlink() or not path.is_file():  # a link could lead out of the folder
                continue
            count += 1
            if count > MOST_RUNS:
                return
            yield path

    def _entry(self, path: Path, changed: float, running: bool) -> Entry | None:
        inside = path.relative_to(self.root)
        name = inside.with_suffix("").as_posix()
        made = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
        store, document = path.with_suffix(".sqlite"), path.with_suffix(".json")
        try:
            if document.exists():
                record = documents.read(document)
                if isinstance(record, TreatmentRecord):
                    said, healthy = _treated(record)
                    model = record.before.run.model
                elif isinstance(record, Checkup):
                    said, healthy, model = bare(verdict(record)), record.healthy, record.run.model
                else:
                    return None
            else:
                reader = StoreReader(path)
                try:
                    facts = reader.facts()
                finally:
                    reader.close()
                bad = [f["problem"] for f in facts.get("findings", []) if f["severity"] != "info"]
                said, healthy, model = bad[0] if bad else "no finding so far", not bad, str(facts.get("model", ""))
        except (ValueError, KeyError, TypeError, OSError):
            return None  # another program's file
        return Entry(made, name, model, said, healthy, running, changed, store.exists())


def _treated(record: TreatmentRecord) -> tuple[str, bool]:
    """Return what the list says of a treatment, and whether the network is well after it."""
    before, after = record.before, record.after
    if not record.remedy or after is None:
        tried = sum(trial.outcome not in ("control", "not-applicable") for trial in record.trials)
        nothing = f"; none of {tried} remedies cured it" if tried else ""
        return bare(verdict(before)) + nothing, before.healthy
    problem = f"{before.findings[0].problem} " if before.findings else ""
    profile = after.diagnosis.profile
    reach = f": {profile.reach}" if profile is not None else ""
    return bare(f"{problem}{'relieved' if record.left else 'cured'} by {record.remedy}{reach}"), after.healthy


def _changed(path: Path) -> float:
    """Return when a file changed last; the newest rows of a store lie in the log beside it."""
    times: list[float] = []
    for part in (path, path.with_name(path.name + "-wal"), path.with_suffix(".json")):
        try:
            times.append(part.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=0.0)
