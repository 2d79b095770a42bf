"""Docstrings as Markdown: sections become lists, examples become code, keys of references.bib become links."""

from __future__ import annotations

import inspect
import re
from typing import Any

from sources import keys

_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source", "Example", "Examples")
_TITLES = {"Args": "Arguments"}


def cited(text: str, *, up: str = "") -> str:
    """Return text whose keys of references.bib link to the page of sources; `up` leads to docs/reference/."""
    known = "|".join(sorted(keys(), key=len, reverse=True))
    return re.sub(rf"(?<![\w/#\[])({known})(?!\w)", rf"[\1]({up}sources.md#\1)", text)


def plain(text: str) -> str:
    """Return prose in which `q*` and `a * b` stay as they are: asterisks outside code are no emphasis."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("*", "\\*") for part in parts)


def first_sentence(thing: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


def markdown(thing: Any) -> str:
    """Return a whole docstring as Markdown."""
    parts: list[str] = []
    for title, body in _split(inspect.getdoc(thing) or ""):
        if title in ("Args", "Attributes"):
            parts.append(f"{_TITLES.get(title, title)}:\n\n{_entries(body)}")
        elif title.startswith("Example"):
            parts.append(f"```pycon\n{inspect.cleandoc(body)}\n```")
        elif title:
            parts.append(plain(f"{title}: {' '.join(body.split())}"))
        else:
            parts.append(_paragraphs(body))
    return "\n\n".join(part for part in parts if part)


def _split(text: str) -> list[tuple[str, str]]:
    """Return (section, body) pairs; what belongs to no section has the name ''."""
    found: list[tuple[str, str]] = []
    title, lines = "", list[str]()
    for line in text.splitlines():
        head = re.match(rf"({'|'.join(_SECTIONS)}): ?(.*)$", line)
        if head:
            found.append((title, "\n".join(lines)))
            title, lines = head[1], [head[2]] if head[2] else []
        elif title and line and not line.startswith(" ") and title not in ("Source", "Raises", "Returns"):
            found.append((title, "\n".join(lines)))
            title, lines = "", [line]
        else:
            lines.append(line)
    return [*found, (title, "\n".join(lines))]


def _entries(body: str) -> str:
    """Return `name: words` entries, indented once, as a list."""
    entries: list[str] = []
    for line in inspect.cleandoc("\n" + body).splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        elif line.strip():
            entries.append(line.strip())
    split = [entry.partition(": ") for entry in entries]
    return "\n".join(f"- {_names(name)}: {plain(words)}" if words else f"- {plain(name)}" for name, _, words in split)


def _names(text: str) -> str:
    return ", ".join(f"`{name.strip('`')}`" for name in text.split(", "))


def _paragraphs(body: str) -> str:
    """Return paragraphs; what is indented below prose stays code, as it was written."""
    parts = re.split(r"\n\s*\n", body.strip("\n"))
    return "\n\n".join(part if part.startswith("    ") else plain(part.strip()) for part in parts).strip()
