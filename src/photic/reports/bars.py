"""Bars and sparklines in characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_ASCII_HEIGHTS = "_.-=^"


def decades(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the decades that span all positive values, at least one: (lowest, highest) powers of ten."""
    logs = [math.log10(value) for value in values if value is not None and value > 0.0 and math.isfinite(value)]
    if not logs:
        return 0.0, 1.0
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return (low, high) if high > low else (low, low + 1.0)


def bar(value: float | None, span: tuple[float, float], *, width: int = 12, ascii_only: bool = False) -> str:
    """Return a bar whose length is the value's logarithm within the span; empty for 0 or nothing.

    Example:
        >>> bar(10.0, (0.0, 2.0), width=4)
        '██  '
        >>> bar(10.0, (0.0, 2.0), width=4, ascii_only=True)
        '##  '
    """
    if value is None or not value > 0.0 or not math.isfinite(value):
        return " " * width
    low, high = span
    share = min(max((math.log10(value) - low) / (high - low), 0.0), 1.0)
    eighths = round(share * width * 8)
    if ascii_only:
        return ("#" * (eighths // 8)).ljust(width)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[part] if part else "")).ljust(width)


def sparkline(values: Sequence[float], *, width: int = 16, ascii_only: bool = False) -> str:
    """Return the course of a curve in at most `width` characters; what is not finite is `!`.

    Example:
        >>> sparkline([0.0, 1.0, 2.0, 3.0], width=4)
        '▁▃▆█'
    """
    if not values:
        return ""
    marks = _ASCII_HEIGHTS if ascii_only else _HEIGHTS
    count = min(width, len(values))
    chunks = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(chunk) / len(chunk) for chunk in chunks]
    finite = [value for value in means if math.isfinite(value)]
    if not finite:
        return "!" * count
    low, high = min(finite), max(finite)
    steps = len(marks) - 1
    half = high / 2.0 - low / 2.0  # halves: the difference of the largest floats is not finite

    def mark(value: float) -> str:
        if not math.isfinite(value):
            return "!"
        return marks[round((value / 2.0 - low / 2.0) / half * steps)] if half > 0.0 else marks[0]

    return "".join(mark(value) for value in means)
