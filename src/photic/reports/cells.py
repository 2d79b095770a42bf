"""Cells: a table of magnitudes, readings by rows, packed for the page.

Each magnitude becomes round(32 log2 |x|), so a cell is known within 1.1 % over all of float32's range. Differences
along the steps are small and go into two planes of bytes, which deflate squeezes well; the page undoes it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_OCTAVE = 32
MISSING, ZERO, INFINITE = -32768, -32767, 32767
MOST_CELLS = 2_000_000


def codes(values: NDArray[np.float64]) -> NDArray[np.int16]:
    """Return the code of each magnitude; nan, zero and infinities have codes of their own."""
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.round(PER_OCTAVE * np.log2(size))
    found = np.where(np.isnan(size), MISSING, np.where(size == 0.0, ZERO, np.where(np.isinf(size), INFINITE, found)))
    return found.astype(np.int16)


def pack(
    steps: Sequence[int], values: Sequence[Sequence[float]], *, most: int = MOST_CELLS, bare: bool = False
) -> dict[str, Any]:
    """Return `{"steps", "rows", "every", "data"}`; `values` holds one list of magnitudes for each step.

    With `bare` the planes are not deflated, which a page reads at once: for the few rows of a live run.
    A table of more than `most` cells is thinned to every second, third, ... step; `every` says which.
    """
    rows = len(values[0]) if values else 0
    every = max(1, -(-len(steps) * rows // most))
    kept = list(values[::every])
    table = codes(
        np.asarray(kept, dtype=np.float64).reshape(len(kept), rows)
    ).T  # one row of the picture after the other
    deltas = np.diff(table.astype(np.int32), axis=1, prepend=0).astype(np.int16).view(np.uint16).ravel()
    planes = (deltas & 255).astype(np.uint8).tobytes() + (deltas >> 8).astype(np.uint8).tobytes()
    data = base64.b64encode(planes if bare else zlib.compress(planes, 6)).decode("ascii")
    return {
        "steps": list(steps[::every]),
        "rows": rows,
        "every": every,
        "data": data,
        **({"bare": True} if bare else {}),
    }
