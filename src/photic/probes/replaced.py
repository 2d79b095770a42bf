"""Replaced: functions of torch's that are wrapped while somebody needs it, and put back in whatever order they leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Around = Callable[..., Any]  # called with the function below, then with what the caller gave

_lock = threading.RLock()
_layers: dict[tuple[int, str], list[_Layer]] = {}


class _Layer:
    """One wrapping: what it does, and what it stands on."""

    def __init__(self, below: Callable[..., Any], around: Around) -> None:
        self.below = below
        self.around: Around | None = around

        def function(*args: Any, **kwargs: Any) -> Any:
            return self.below(*args, **kwargs) if self.around is None else self.around(self.below, *args, **kwargs)

        self.function = function


@contextmanager
def replaced(place: Any, name: str, around: Around) -> Iterator[None]:
    """While open, calls of `place.name` go to `around(original, *args, **kwargs)`.

    Two threads, or two watches in one step, do not leave in the order in which they came: then the layer above is set on
    what is below. Where somebody else has wrapped ours meanwhile, ours stays beneath it and passes everything on.
    """
    with _lock:
        layer = _Layer(getattr(place, name), around)
        layers = _layers.setdefault((id(place), name), [])
        layers.append(layer)
        setattr(place, name, layer.function)
    try:
        yield
    finally:
        with _lock:
            above = next((other for other in layers if other.below is layer.function), None)
            if above is not None:
                above.below = layer.below
            elif getattr(place, name) is layer.function:
                setattr(place, name, layer.below)
            layer.around = None
            layers.remove(layer)
