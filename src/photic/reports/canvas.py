"""The canvas of all figures: matplotlib with our style, written without a date so that equal figures are equal files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def canvas(*, rows: int, columns: int, width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """Yield a figure of that size in inches, and its axes as rows of columns.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed; the message says how to install it.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ModuleNotFoundError("figures need matplotlib: pip install 'photic[lab]'") from None
    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "photic"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False)


def store(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure as SVG, PNG or PDF, as the ending says, and return the path.

    Raises:
        ValueError: for another ending.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=160, metadata={"Date": None} if target.suffix == ".svg" else None)
    return target
