"""Faults: what goes wrong inside photic, said once and never raised into the user's training."""

from __future__ import annotations

import logging
import warnings


def words(error: Exception) -> str:
    """Return what an error says, after its kind; some fail to say anything."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


class Warned:
    """Warns once and no more; a warning that the user's filters would raise goes to the log."""

    def __init__(self) -> None:
        self.yet = False

    def say(self, text: str, error: Exception) -> None:
        """Warn of an error, if nothing was warned of yet."""
        log = logging.getLogger("photic")
        try:
            if not self.yet:
                self.yet = True
                warnings.warn(text, stacklevel=4)
        except Exception:
            log.warning(text)
        log.debug("the error", exc_info=error)
