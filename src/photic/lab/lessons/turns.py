"""Turns: torch's generators belong to the process, so what draws from them in several threads goes one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_TURN = threading.Lock()
_COUNT = threading.Lock()
_waiting = 0


@contextmanager
def turn(*, patient: bool = False) -> Iterator[None]:
    """Let nobody else draw, measure or train inside the block.

    Args:
        patient: let others pass first. A training asks for a turn at each step, and a lock is not fair: without this, a
            question that comes meanwhile would wait for the end of the training.
    """
    global _waiting  # one number for the process, like the generators
    while patient and _waiting:
        time.sleep(0.001)
    with _COUNT:
        _waiting += not patient
    try:
        _TURN.acquire()
    finally:
        with _COUNT:
            _waiting -= not patient
    try:
        yield
    finally:
        _TURN.release()
