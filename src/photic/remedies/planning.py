"""The plan of a patch: which expression of a file serves which site, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import libcst as cst

from photic.records.runs import Run
from photic.remedies.rewrites import Expression, Rewrite
from photic.remedies.source import Change, NoPlace, Source, line_of, words_of


def planned(source: Source, rewrites: dict[str, Rewrite], run: Run) -> dict[cst.CSTNode, Change]:
    """Return what is done to which expression of a file.

    Raises:
        NoPlace: where a site's expression is not found, or serves a site that must stay as it is.
    """
    plan: dict[cst.CSTNode, Change] = {}
    said: dict[cst.CSTNode, Any] = {}
    for name, rewrite in rewrites.items():
        site = run.site(name)
        (word,) = words_of(site)
        beside = [one for one in run.sites if one.where == site.where and words_of(one) == (word,)]
        if any(one.name not in rewrites for one in beside):
            raise NoPlace(f"one line makes {name} and another site that must stay")
        nodes = source.at(line_of(site), rewrite.called or word)
        if rewrite.operand:
            maker = run.site(rewrite.operand)
            given = [one for one in (source.operand(node, maker) for node in nodes) if one is not None]
            nodes = [min(given, key=_length)] if given else []
        if site.phase == "loss" and len(nodes) > len(beside):  # the same is done to targets, which are no signal
            nodes = [node for node in nodes if source.takes_first(node)]
        if not nodes or (site.phase == "loss" and len(nodes) > len(beside)):
            raise NoPlace(f"{name} is not found on its line")
        for node in nodes:
            stream = source.assigned_again(node) if rewrite.stream else ""
            if rewrite.stream and not (stream and _carries(source, run, rewrite.stream, stream, node, rewrites)):
                raise NoPlace("it is not assigned to the variable that holds the stream")
            if said.setdefault(node, rewrite.said) != rewrite.said:
                raise NoPlace("one expression would be changed in two ways")
            plan[node] = _Changed(rewrite, frozenset(source.imported), word[0] == ".", stream)
    return plan


def _carries(
    source: Source, run: Run, start: str, variable: str, node: cst.CSTNode, rewrites: dict[str, Rewrite]
) -> bool:
    """Whether a variable holds what the site `start` gives where an expression takes it: from the turn of a loop before, or as last assigned."""
    site = run.site(start)
    (word,) = words_of(site)
    again = start in rewrites and rewrites[start].stream and node in source.at(line_of(site), word)
    return bool(again) or source.holds(variable, site, source.line(node))


def _length(node: cst.CSTNode) -> int:
    return len(cst.Module([]).code_for_node(node))


@dataclass(frozen=True)
class _Changed:
    rewrite: Rewrite
    imported: frozenset[str]
    module: bool
    stream: str

    def __call__(self, node: Any) -> cst.BaseExpression:
        if not isinstance(node, cst.BaseExpression):
            raise NoPlace("an assignment in place")
        return self.rewrite.change(Expression(node, self.imported, self.module, self.stream))
