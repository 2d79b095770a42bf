"""The page: one HTML file with its data inside; nothing is loaded from anywhere, and every name stays text.

`page.html` beside this file is built from `web/` at the root of the repository (`dev.py page`).
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any

_OPEN, _EMPTY, _CLOSE = '<script type="application/json" id="photic-data">', '{"mode":"empty"}', "</script>"
_CLOSED = "connect-src 'none'"


@lru_cache(maxsize=1)
def template() -> str:
    """Return the built page without data."""
    return resources.files("photic.reports").joinpath("page.html").read_text(encoding="utf-8")


def page(view: dict[str, Any]) -> str:
    """Return the page with a view inside. It opens from a file, offline; its content policy allows no request."""
    return _filled(template(), view)


def served(view: dict[str, Any]) -> str:
    """Return the page for our own server, which it may ask; nobody else."""
    return _filled(template().replace(_CLOSED, "connect-src 'self'", 1), view)


def _filled(text: str, view: dict[str, Any]) -> str:
    # Inside a script element only `<` could end the data or open a comment; JSON may write it as an escape.
    data = json.dumps(view, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
    before, _, after = text.partition(_OPEN + _EMPTY + _CLOSE)
    if not after:
        raise RuntimeError("page.html has no place for its data: build it again with `python3 dev.py page`")
    return "".join((before, _OPEN, data, _CLOSE, after))
