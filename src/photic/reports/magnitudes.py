"""Magnitudes: the histograms by octave that a watched run kept, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from photic.records.histograms import FIRST, OCTAVES
from photic.records.stores import StoreReader
from photic.reports.cells import pack

READINGS = 16  # of those that the store has, first and last among them
_CELLS = 4_000_000  # before packing; most are empty and weigh nothing


def magnitudes(store: StoreReader, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for signals and gradients the share of each octave, module by module, at some of the readings.

    Rows are the octaves of the first module, from 2^first upwards, then those of the second ...
    """
    names = [str(name) for name in facts.get("modules", ())]
    found: list[dict[str, Any]] = []
    for series, title in (("histogram/signal", "signal"), ("histogram/gradient", "gradient")):
        rows = [(step, row) for step, row in store.rows(series) if len(row) == OCTAVES * len(names) and any(row)]
        if not rows:
            continue
        most = max(2, min(READINGS, _CELLS // len(rows[0][1])))
        chosen = sorted({round(k * (len(rows) - 1) / (most - 1)) for k in range(most)})
        packed = pack([rows[k][0] for k in chosen], [rows[k][1] for k in chosen], most=_CELLS)
        found.append(
            {
                "series": series,
                "name": title,
                "unit": "of the values",
                "names": names,
                "first": FIRST,
                "octaves": OCTAVES,
                **packed,
            }
        )
    return found
