"""Results on disk, keyed by their content: what the code is, what it was asked, with which torch."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any


def folder() -> Path:
    """Return where results are kept: `PHOTIC_CACHE`, else `photic` in the user's cache folder."""
    named = os.environ.get("PHOTIC_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photic"


@lru_cache(maxsize=64)
def source_key(module: str) -> str:
    """Return a hash of the source of a module and of all of photic that it imports, directly or not.

    A result that was computed by other code has another key and is computed again.
    """
    found: dict[str, str] = {}
    open_ends = [module]
    while open_ends:
        name = open_ends.pop()
        text = None if name in found else _source(name)
        if text is None:
            continue
        found[name] = hashlib.sha256(text.encode()).hexdigest()
        open_ends.extend(_imported(text))
    return hashlib.sha256("".join(found[name] for name in sorted(found)).encode()).hexdigest()


def _source(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path.read_text(encoding="utf-8") if path is not None and path.suffix == ".py" else None


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("photic."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("photic."):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def key(module: str, question: Mapping[str, Any]) -> str:
    """Return the key of a result: a hash of the code behind it, of what was asked, and of torch's version."""
    import torch

    asked = json.dumps(dict(question), sort_keys=True)
    return hashlib.sha256(f"{source_key(module)}|{asked}|{torch.__version__}".encode()).hexdigest()[:32]


def read(place: Path) -> Any | None:
    """Return what lies at `place`; None where nothing does."""
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else None


def kept(place: Path, compute: Callable[[], Any]) -> Any:
    """Return what lies at `place`, or compute it and put it there, whole or not at all.

    What is returned went through JSON either way, so a result from disk is the same as a fresh one, bit for bit.
    """
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(compute()), encoding="utf-8")
        part.replace(place)
    return read(place)
