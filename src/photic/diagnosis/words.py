"""Words for numbers: shares, ratios and lists as people write them."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float) -> str:
    """Return a number with two significant digits: `3.1e-09`, `0.14`, `24`.

    Example:
        >>> number(3.14e-9), number(0.1443), number(24.4)
        ('3.1e-09', '0.14', '24')
    """
    return f"{value:.2g}"


def percent(share: float) -> str:
    """Return a share in percent: `24.5 %`.

    Example:
        >>> percent(0.2451), percent(1.0)
        ('24.5 %', '100 %')
    """
    return f"{100.0 * share:.3g} %"


def listed(names: Sequence[str], *, most: int = 3) -> str:
    """Return names as a list, the rest counted.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
        >>> listed(["a", "b"])
        'a and b'
    """
    shown = [name or "the root" for name in names]
    if len(shown) <= most:
        return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"{', '.join(shown[:most])} and {len(shown) - most} more"
