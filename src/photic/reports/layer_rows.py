"""Layer rows: what a store knows of each layer at each step, from glances and from audits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from photic.records.stores import StoreReader

# Glances read modules; audits read every operation, so the modules are among them.
AUDITED = {"glance/gradient": "audit/gradient", "glance/signal": "audit/signal"}


def layer_rows(
    store: StoreReader, series: str, facts: Mapping[str, Any], *, own: str = "", after: int = -1
) -> list[tuple[int, Sequence[float]]]:
    """Return the rows of a series after a step; those of glances with the audited steps between them.

    A module that was called several times in an audit is read as one, as a glance reads it: the norms of its gradients
    add in squares, and of its signals the mean square is taken, which is exact for calls of equal size. A module that
    the audit did not name is nan there. `own` stands before the names of a further optimizer's series.
    """
    rows: list[tuple[int, Sequence[float]]] = list(store.rows(series, after=after))
    audited = AUDITED.get(series.removeprefix(own))
    modules, sites = list(facts.get(own + "modules", ())), list(facts.get(own + "sites", ()))
    if audited is None or not modules or not sites:
        return rows
    calls: dict[str, list[int]] = {}
    for place, site in enumerate(sites):
        calls.setdefault(str(site).split("#")[0], []).append(place)
    places = [calls.get(str(module), []) for module in modules]
    known = {step for step, _ in rows}
    mean = series == own + "glance/signal"
    rows += [
        (step, [_together([values[place] for place in found], mean) for found in places])
        for step, values in store.rows(own + audited, after=after)
        if step not in known and len(values) == len(sites)
    ]
    return sorted(rows, key=lambda row: row[0])


def _together(values: Sequence[float], mean: bool) -> float:
    if not values:
        return math.nan
    if len(values) == 1:
        return values[0]
    squares = sum(value * value for value in values)
    return math.sqrt(squares / len(values) if mean else squares)
