"""The page of the remedies, from their registry."""

from __future__ import annotations

from docstrings import cited, plain

from photic.remedies.registry import remedies

_HEAD = """# Remedies

What `photic treat` can try, smaller changes first: of the training, of the weights, of the function. None is applied because a book says
so: each is tried on a copy against the untreated control, and kept when it cures ([Treat](../guides/treat.md)).
"""
_CHANGES = {"training": "the training", "weights": "the initial weights", "function": "the function"}


def page() -> str:
    """Return the page."""
    table = ["| remedy | changes | may cure |", "|---|---|---|"]
    for item in remedies():
        treats = ", ".join(f"[{problem}](../rules.md#{problem})" for problem in item.treats)
        table.append(f"| [{item.name}](#{item.name}) | {_CHANGES[item.changes]} | {treats} |")
    parts = [
        f"## {item.name}\n\n{plain(item.documentation)}\n\nSources: {cited(', '.join(item.sources))}."
        for item in remedies()
    ]
    return _HEAD + "\n" + "\n".join(table) + "\n\n" + "\n\n".join(parts)
