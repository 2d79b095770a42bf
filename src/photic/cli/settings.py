"""Settings of a project: the table `[tool.photic]` of the nearest pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from photic.cli.failures import UsageFailure


def silenced(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is to be silenced: as given, and `ignore` of the project's settings.

    Raises:
        UsageFailure: if `ignore` there is no list of strings, or names a problem that does not exist.
    """
    from photic.records.vocabulary import PROBLEMS

    file = next((place / "pyproject.toml" for place in _upwards() if (place / "pyproject.toml").is_file()), None)
    entries: Any = []
    if file is not None:
        try:
            entries = (
                tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("photic", {}).get("ignore", [])
            )
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageFailure(f"{file} could not be read: {error}") from error
    if not isinstance(entries, list) or any(not isinstance(entry, str) for entry in entries):
        raise UsageFailure(f'{file}: expected ignore = ["problem", "problem@site"] in [tool.photic], found {entries!r}')
    asked = (*given, *entries)
    for entry in asked:
        if entry.partition("@")[0] not in PROBLEMS:
            raise UsageFailure(
                f"there is no finding {entry.partition('@')[0]!r} to silence; `photic explain` lists them"
            )
    return asked


def _upwards() -> list[Path]:
    here = Path.cwd()
    return [here, *here.parents]
