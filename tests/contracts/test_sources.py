"""Sources: what the code cites stands in references.bib, and nothing stands there twice."""

from __future__ import annotations

import re

from photic.diagnosis.registry import rules
from photic.remedies.registry import remedies
from tests.contracts.repository import ROOT, python_files

ENTRY = re.compile(r"^@(\w+)\{([\w-]+),$", re.MULTILINE)
CITED = re.compile(r"\b[a-z]{2,}(?:19|20)\d\d[a-z]?\b")
TEXT = (ROOT / "references.bib").read_text(encoding="utf-8")
KEYS = [key for _, key in ENTRY.findall(TEXT)]


def test_every_key_that_the_code_cites_is_an_entry() -> None:
    cited = {
        (key, str(path.relative_to(ROOT)))
        for path in python_files("src")
        for key in CITED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 10
    assert not [pair for pair in sorted(cited) if pair[0] not in KEYS]


def test_every_source_of_a_rule_or_a_remedy_is_an_entry() -> None:
    named = {(item.documentation[:40], key) for item in (*rules(), *remedies()) for key in item.sources}
    assert named
    assert not [pair for pair in sorted(named) if pair[1] not in KEYS]


def test_every_entry_is_complete_and_stands_once() -> None:
    assert len(KEYS) == len(set(KEYS))
    for entry in re.split(r"^(?=@)", TEXT, flags=re.MULTILINE)[1:]:
        for field in ("author", "title", "year"):
            assert re.search(rf"^\s*{field}\s*=", entry, re.MULTILINE), f"no {field}: {entry[:60]}"
