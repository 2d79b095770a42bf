"""Documents: any record as JSON text and back, exactly; nan and infinities included."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from photic.records.atlas import Atlas, PhaseDiagram
from photic.records.dissections import Dissection
from photic.records.findings import Checkup, Diagnosis
from photic.records.predictions import Prediction
from photic.records.runs import Run
from photic.records.scoreboard import Scoreboard
from photic.records.sweeps import Sweep
from photic.records.treatments import TreatmentRecord

SCHEMA_VERSION = 1
DOCUMENTS: dict[str, type[Any]] = {
    "run": Run,
    "prediction": Prediction,
    "diagnosis": Diagnosis,
    "checkup": Checkup,
    "treatment": TreatmentRecord,
    "dissection": Dissection,
    "atlas": Atlas,
    "phase-diagram": PhaseDiagram,
    "scoreboard": Scoreboard,
    "sweep": Sweep,
}
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

type_hints_of_class: dict[type[Any], dict[str, Any]] = {}


def to_plain(value: object) -> Any:
    """Return `value` as JSON-ready data: dataclasses as dicts, nan and infinities as words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in cast(Mapping[object, object], value).items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in cast(tuple[object, ...], value)]
    return value


def from_plain(plain: Any, kind: Any) -> Any:
    """Return the record of type `kind` that `to_plain` turned into `plain`.

    Raises:
        ValueError: if the data does not have that form.
    """
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(plain, dict):
            raise ValueError(f"expected an object for {kind.__name__}, found {type(plain).__name__}")
        hints = type_hints_of_class.setdefault(kind, typing.get_type_hints(kind))
        known = cast(dict[str, Any], plain)
        try:
            return kind(**{name: from_plain(known[name], hint) for name, hint in hints.items() if name in known})
        except TypeError as error:
            raise ValueError(f"the {kind.__name__} in this document is incomplete: {error}") from None
    if origin in (types.UnionType, typing.Union):
        if plain is None:
            return None
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if float in options and str in options:  # settings: a word stays a word
            return plain
        return from_plain(plain, options[0])
    if origin is tuple:
        return tuple(from_plain(item, typing.get_args(kind)[0]) for item in plain)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        item_kind = typing.get_args(kind)[1]
        return {key: from_plain(item, item_kind) for key, item in plain.items()}
    if kind is float:
        return _WORDS[plain] if isinstance(plain, str) else float(plain)
    return plain


def to_json(record: object, *, indent: int | None = None) -> str:
    """Return a document with the record in it: format, schema version, kind, record."""
    kind = next(name for name, cls in DOCUMENTS.items() if isinstance(record, cls))
    document = {"format": "photic", "schema_version": SCHEMA_VERSION, "kind": kind, "record": to_plain(record)}
    return json.dumps(document, indent=indent, allow_nan=False)


def from_json(text: str) -> Any:
    """Return the record in a document.

    Raises:
        ValueError: if the text is not a document of ours, or of a newer schema.
    """
    try:
        document: Any = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not a photic record: {error}") from None
    if not isinstance(document, dict) or cast(dict[str, Any], document).get("format") != "photic":
        raise ValueError("not a photic record: expected a JSON object with `format: photic`")
    known = cast(dict[str, Any], document)
    version, kind = known.get("schema_version"), known.get("kind")
    if not isinstance(version, int):
        raise ValueError(f"not a photic record: its schema version is {version!r}, expected a number")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"this record has schema version {version}, this photic reads up to {SCHEMA_VERSION}; install a newer photic"
        )
    if not isinstance(kind, str) or kind not in DOCUMENTS:
        raise ValueError(f"unknown kind of record {kind!r}; expected one of {', '.join(DOCUMENTS)}")
    try:
        return from_plain(known.get("record"), DOCUMENTS[kind])
    except (TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"the {kind} in this document is not in our form: {type(error).__name__}: {error}") from None


def write(record: object, path: str | os.PathLike[str]) -> Path:
    """Write the record to `path`, whole or not at all, and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_text(to_json(record), encoding="utf-8")
    part.replace(target)
    return target


def read(path: str | os.PathLike[str]) -> Any:
    """Return the record that `write` put there.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a record of ours.
    """
    return from_json(Path(path).read_text(encoding="utf-8"))
