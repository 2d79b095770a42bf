"""Combinations: two prescriptions carried out together, where they do not contradict each other."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from photic.records.vocabulary import Change
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy

_LARGER: dict[Change, int] = {"training": 0, "weights": 1, "function": 2}
_PLAIN = Prescription()


def combine(one: Prescription, other: Prescription) -> Prescription | None:
    """Return both in one; None where they set the same thing, so that one would undo the other."""
    changed: dict[str, Any] = {}
    for field in fields(Prescription):
        first, second, plain = (getattr(p, field.name) for p in (one, other, _PLAIN))
        if field.name == "why":
            changed["why"] = "; ".join(part for part in (first, second) if part)
        elif second == plain:
            changed[field.name] = first
        elif first == plain:
            changed[field.name] = second
        elif isinstance(first, dict) and isinstance(second, dict) and not set(first) & set(second):  # pyright: ignore
            changed[field.name] = {**first, **second}
        else:
            return None
    drawn = bool(changed["layers"]) + bool(changed["scheme"])
    undone = changed["fresh"] and (
        drawn or changed["recurrence"] or changed["loops"]
    )  # all weights drawn anew once more
    return None if drawn > 1 or undone else replace(_PLAIN, **changed)


def together(one: Remedy, other: Remedy) -> Remedy:
    """Return the remedy that a combination of two is; it changes what the larger of the two changes."""
    larger = max(one, other, key=lambda item: _LARGER[item.changes])
    return replace(
        larger,
        name=f"{one.name} + {other.name}",
        title=f"{one.title}; and {other.title[:1].lower()}{other.title[1:]}",
        treats=tuple(sorted({*one.treats, *other.treats})),
        sources=tuple(sorted({*one.sources, *other.sources})),
    )
