"""Where: the line of the user's source that is running now."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

_TORCH = os.path.dirname(torch.__file__) + os.sep
_PHOTIC = str(Path(__file__).resolve().parents[1]) + os.sep
_EXAMPLES = os.path.join(_PHOTIC, "lab", "examples") + os.sep  # code that stands in for the user's
_INTERCEPTION = os.path.join(_PHOTIC, "probes", "calls.py")
_shown: dict[tuple[str, str], str] = {}


def user_line(depth: int = 1) -> str:
    """Return `path:line` of the innermost frame that is neither torch's nor ours; '' if ours comes first.

    The path is relative to the working directory if it lies below it. A frame of photic ends the search (its
    own interception apart): what called photic is not where the network's operation stands.
    """
    frame = sys._getframe(depth)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_PHOTIC) and not file.startswith(_EXAMPLES):
            if file != _INTERCEPTION:
                return ""
        elif not file.startswith(_TORCH) and not file.startswith("<"):
            return f"{_show(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _show(file: str) -> str:
    try:
        key = (file, os.getcwd())
    except OSError:  # the folder was taken away
        return file
    if key not in _shown:
        inside = file.startswith(key[1] + os.sep)
        _shown[key] = os.path.relpath(file, key[1]) if inside else file
    return _shown[key]
