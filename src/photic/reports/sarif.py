"""A checkup as SARIF 2.1.0, which code scanning of GitHub, GitLab and Azure and the editors' problem lists read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from photic.records.findings import Checkup, Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"info": "note", "warning": "warning", "critical": "error"}


def place(finding: Finding) -> tuple[str, int] | None:
    """Return file and line of a finding, the path with forward slashes; None where the line is not known."""
    file, _, line = finding.where.rpartition(":")
    return (Path(file).as_posix(), int(line)) if file and line.isdigit() else None


def sarif(checkup: Checkup, *, version: str, documentation: Mapping[str, str]) -> str:
    """Return a SARIF log with one result for every finding.

    Args:
        version: of photic.
        documentation: text of each rule, by problem; problems that are not listed get the finding's advice.
    """
    problems = sorted({finding.problem for finding in checkup.findings})
    rules = [_rule(problem, documentation, checkup) for problem in problems]
    run = {
        "tool": {"driver": {"name": "photic", "version": version, "rules": rules}},
        "results": [_result(finding, problems.index(finding.problem)) for finding in checkup.findings],
        "invocations": [_invocation(checkup)],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(problem: str, documentation: Mapping[str, str], checkup: Checkup) -> dict[str, Any]:
    finding = next(f for f in checkup.findings if f.problem == problem)
    text = documentation.get(problem, "") or finding.advice
    return {
        "id": problem,
        "shortDescription": {"text": text.splitlines()[0]},
        "help": {"text": text},
        "properties": {"sources": list(finding.sources)},
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": site} for site in finding.sites[:20]]}
    known = place(finding)
    if known is not None:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(known[0])},
            "region": {"startLine": known[1]},
        }
    # The fingerprint tells a finding again when lines have moved; numbers are left out, they change with every run.
    identity = "\n".join((finding.problem, *finding.sites[:1]))
    return {
        "ruleId": finding.problem,
        "ruleIndex": rule,
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.reason} {finding.advice}"},
        "locations": [location] if known or finding.sites else [],
        "partialFingerprints": {"photic/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {
            "confidence": finding.confidence,
            "evidence": [f"{item.name} = {item.value:.6g} {item.unit}" for item in finding.evidence],
        },
    }


def _uri(path: str) -> str:
    """Return a path as a URI reference: relative to the repository, or `file:` where the path is absolute."""
    return Path(path).as_uri() if Path(path).is_absolute() else quote(path)


def _invocation(checkup: Checkup) -> dict[str, Any]:
    if not checkup.run.stopped:
        return {"executionSuccessful": True}
    note = {"level": "error", "message": {"text": checkup.run.stopped}}
    return {"executionSuccessful": False, "toolExecutionNotifications": [note]}
