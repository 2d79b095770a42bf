"""A checkup as JUnit XML, which every CI server shows among the tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from photic.records.findings import Checkup, Finding
from photic.reports.verdict import verdict

_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # in XML 1.0, also escaped


def junit(checkup: Checkup) -> str:
    """Return a test suite: the network as a whole, each finding of `warning` or worse failed, what was not asked skipped."""
    failed = [finding for finding in checkup.findings if finding.severity != "info"]
    suite = ElementTree.Element("testsuite", name=f"photic {checkup.run.model}")
    whole = ElementTree.SubElement(suite, "testcase", classname=checkup.run.model, name="the network runs")
    if checkup.run.stopped:
        ElementTree.SubElement(whole, "error", message=checkup.run.stopped)
    ElementTree.SubElement(whole, "system-out").text = verdict(checkup)
    for finding in failed:
        case = ElementTree.SubElement(suite, "testcase", classname=checkup.run.model, name=finding.problem)
        failure = ElementTree.SubElement(case, "failure", type=finding.severity, message=finding.reason)
        failure.text = _text(finding)
    for item in checkup.not_asked:
        case = ElementTree.SubElement(suite, "testcase", classname=checkup.run.model, name=item.problem)
        ElementTree.SubElement(case, "skipped", message=f"not asked: {item.missing}")
    suite.set("tests", str(1 + len(failed) + len(checkup.not_asked)))
    suite.set("failures", str(len(failed)))
    suite.set("errors", str(int(bool(checkup.run.stopped))))
    suite.set("skipped", str(len(checkup.not_asked)))
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(finding: Finding) -> str:
    lines = [finding.reason, f"where: {finding.where}" if finding.where else "", f"do: {finding.advice}"]
    lines += [f"site: {site}" for site in finding.sites[:20]]
    lines += [f"evidence: {item.name} = {item.value:.6g} {item.unit}" for item in finding.evidence]
    return "\n".join(line for line in lines if line)
