"""Patched: functions of torch that tell of their calls while someone listens, and are torch's own again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Listener = TypeVar("Listener")
_lock = threading.RLock()


class Patched(Generic[Listener]):
    """One function of a namespace, replaced while there is a listener. Listeners may come and go in any order.

    Saving and restoring by each listener on its own would bring back another one's replacement for good.
    """

    def __init__(
        self, namespace: Any, name: str, wrap: Callable[[Callable[..., Any], list[Listener]], Callable[..., Any]]
    ) -> None:
        self.namespace, self.name, self.wrap = namespace, name, wrap
        self.listeners: list[Listener] = []
        self._original: Callable[..., Any] | None = None
        self._ours: Callable[..., Any] | None = None

    def listen(self, listener: Listener) -> None:
        """Tell a listener from now on; nothing happens where this torch has no such function."""
        with _lock:
            if self._ours is None:
                self._original = getattr(self.namespace, self.name, None)
                if self._original is None:
                    return
                self._ours = self.wrap(self._original, self.listeners)
                setattr(self.namespace, self.name, self._ours)
            self.listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Tell it no more. The last one restores torch's, unless someone else has replaced ours since."""
        with _lock:
            self.listeners[:] = [other for other in self.listeners if other is not listener]
            if not self.listeners and self._ours is not None and getattr(self.namespace, self.name) is self._ours:
                setattr(self.namespace, self.name, self._original)
                self._ours = None

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Tell a listener inside the block."""
        self.listen(listener)
        try:
            yield
        finally:
            self.leave(listener)
