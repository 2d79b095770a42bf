"""The page of the sources: every entry of references.bib, under the key that code and pages cite."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).resolve().parents[2] / "references.bib"


@lru_cache(maxsize=1)
def entries() -> dict[str, dict[str, str]]:
    """Return the fields of every entry, by key."""
    found: dict[str, dict[str, str]] = {}
    for text in re.split(r"^(?=@)", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head = re.match(r"@\w+\{(\w+),", text)
        assert head is not None, text[:40]
        fields = re.findall(r"(\w+)\s*=\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text)
        found[head[1]] = {
            name: re.sub(r"[{}]", "", " ".join(value.split())).replace("\\", "") for name, value in fields
        }
    return found


def keys() -> tuple[str, ...]:
    """Return every key."""
    return tuple(entries())


def page() -> str:
    """Return the page."""
    lines = [
        "# Sources",
        "",
        "What is cited by a key, in the code as on these pages. Made from `references.bib`; cite a paper for what it says, "
        "and with a place in it.",
    ]
    for key, fields in sorted(entries().items()):
        authors = fields["author"].split(" and ")
        who = ", ".join(authors[:4]) + (" and others" if len(authors) > 4 else "")
        where = next(
            (fields[n] for n in ("journal", "booktitle", "institution", "publisher", "howpublished") if n in fields), ""
        )
        note = f" {fields['note']}." if "note" in fields else ""
        place = f" {where}," if where else ""
        lines += ["", f"## {key}", "", f"{who}: *{fields['title']}*.{place} {fields['year']}.{note}"]
    return "\n".join(lines)
