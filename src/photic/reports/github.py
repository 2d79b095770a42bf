"""A checkup as GitHub's workflow commands: `::error file=model.py,line=12::...` puts the finding beside the line."""

from photic.records.findings import Checkup
from photic.reports.sarif import place
from photic.reports.verdict import verdict

COMMANDS = {"info": "notice", "warning": "warning", "critical": "error"}


def annotations(checkup: Checkup) -> str:
    """Return one line for every finding, and one for the verdict."""
    lines: list[str] = []
    for finding in checkup.findings:
        known = place(finding)
        where = f"file={_property(known[0])},line={known[1]}," if known else ""
        sites = f" [{', '.join(finding.sites[:4])}]" if finding.sites else ""
        text = _data(f"{finding.reason}{sites}\n{finding.advice}")
        lines.append(f"::{COMMANDS[finding.severity]} {where}title={_property('photic: ' + finding.problem)}::{text}")
    whole = "error" if checkup.run.stopped else "notice" if checkup.healthy else "warning"
    return "\n".join([*lines, f"::{whole} title=photic::{_data(verdict(checkup))}"])


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
