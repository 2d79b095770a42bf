"""Failures that a command reports to its user, with their exit code."""

from __future__ import annotations

import json
import sys


class Failure(Exception):
    """An error with a text for the user and an exit code: 2 usage, 3 the target could not be loaded or run."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

    def tell(self, as_json: bool) -> None:
        """Print the text to stderr; with `--json` also an object with `error` to stdout."""
        print(f"photic: {self}", file=sys.stderr)
        if as_json:
            print(json.dumps({"error": str(self), "exit_code": self.code}))


class UsageFailure(Failure):
    """The command line asks for something that does not exist."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 2)


class TargetFailure(Failure):
    """The target could not be loaded or run."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 3)
