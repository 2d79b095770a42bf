"""Findings for CI: SARIF, GitHub annotations and JUnit XML, read back by readers that we did not write."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch.nn.functional as F

import photic
from photic.cli.main import run
from photic.lab.examples import deep_sigmoid
from photic.records.findings import Checkup, Finding
from photic.reports.github import annotations
from photic.reports.junit import junit
from photic.reports.sarif import sarif
from tests import zoo

TARGET = f"{deep_sigmoid.__file__}:network"


@pytest.fixture(scope="module")
def sick() -> Checkup:
    return photic.check(zoo.seeded(zoo.Mlp), [zoo.vectors()] * 2, F.cross_entropy, steps=0)


@pytest.fixture(scope="module")
def healthy() -> Checkup:
    build, batch, loss = zoo.HEALTHY["relu-he-8"]
    return photic.check(zoo.seeded(build), [batch] * 2, loss, steps=0)


def test_sarif_has_what_the_standard_requires(sick: Checkup) -> None:
    log = json.loads(sarif(sick, version="1", documentation={"vanishing-gradient": "It vanishes.\nAll of it."}))
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (part,) = log["runs"]
    rules = part["tool"]["driver"]["rules"]
    assert len(part["results"]) == len(sick.findings) > 0
    for result, finding in zip(part["results"], sick.findings):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.problem
        assert result["level"] in ("none", "note", "warning", "error") and result["message"]["text"]
    first = part["results"][0]["locations"][0]
    assert first["physicalLocation"]["artifactLocation"]["uri"] == "tests/zoo.py"
    assert first["physicalLocation"]["region"]["startLine"] == int(sick.findings[0].where.rpartition(":")[2])
    assert first["logicalLocations"][0]["fullyQualifiedName"] == sick.findings[0].sites[0]
    assert rules[part["results"][0]["ruleIndex"]]["shortDescription"]["text"] == "It vanishes."


def stopped(checkup: Checkup) -> Checkup:
    """As if the run had stopped: its invocation carries a notification."""
    return dataclasses.replace(checkup, run=dataclasses.replace(checkup.run, stopped="ValueError: shapes differ"))


def nowhere(checkup: Checkup) -> Checkup:
    """Findings without a line and without a site, with words that JSON must escape, on a path with a space."""
    bare = Finding("odd, name", "info", (), "", (), 'says "no"\n', "mend\u2028it", 0.5)
    placed = Finding("dead-units", "critical", ("a.b",), "my models/net é.py:3", (), "dead", "mend", 1.0)
    return dataclasses.replace(checkup, diagnosis=dataclasses.replace(checkup.diagnosis, findings=(bare, placed)))


@pytest.mark.parametrize("change", [lambda checkup: checkup, stopped, nowhere], ids=["as it is", "stopped", "nowhere"])
def test_sarif_is_valid_by_the_standards_own_schema(sick: Checkup, healthy: Checkup, change: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(__file__).parent / "sarif-2.1.0.schema.json").read_text())
    checker = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    for checkup in (sick, healthy):
        log = json.loads(sarif(change(checkup), version="1.2.3", documentation={}))
        assert [f"{list(e.absolute_path)}: {e.message}" for e in checker.iter_errors(log)] == []
    log["runs"][0]["invocations"][0].pop("executionSuccessful")  # the schema would have noticed
    assert not checker.is_valid(log)


def test_uris_of_sarif_are_references_that_can_be_resolved(sick: Checkup) -> None:
    """RFC 3986: what is neither reserved nor unreserved is escaped, and no scheme is read into a path."""
    location = json.loads(sarif(nowhere(sick), version="1", documentation={}))["runs"][0]["results"][1]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "my%20models/net%20%C3%A9.py"


def test_a_fingerprint_outlives_other_numbers_and_lines(sick: Checkup) -> None:
    def marks(checkup: Checkup) -> list[str]:
        results = json.loads(sarif(checkup, version="1", documentation={}))["runs"][0]["results"]
        return [result["partialFingerprints"]["photic/v1"] for result in results]

    moved = tuple(dataclasses.replace(f, where="elsewhere.py:3", reason="other numbers") for f in sick.findings)
    other = dataclasses.replace(sick, diagnosis=dataclasses.replace(sick.diagnosis, findings=moved))
    assert marks(sick) == marks(other)


def test_annotations_name_file_and_line_and_escape_what_would_end_them(sick: Checkup) -> None:
    finding = Finding("odd, name", "critical", ("a",), "x,y.py:7", (), "50 % of it\nis gone", "mend", 1.0)
    odd = dataclasses.replace(sick, diagnosis=dataclasses.replace(sick.diagnosis, findings=(finding,)))
    first, last = annotations(odd).splitlines()
    assert first == "::error file=x%2Cy.py,line=7,title=photic%3A odd%2C name::50 %25 of it%0Ais gone [a]%0Amend"
    assert last.startswith("::warning title=photic::odd, name: the gradient reaches")
    assert annotations(sick).startswith("::error file=tests/zoo.py,line=")


def test_junit_counts_what_it_lists(sick: Checkup, healthy: Checkup) -> None:
    for checkup in (sick, healthy):
        suite = ElementTree.fromstring(junit(checkup))
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert (int(suite.get("failures", "")) == 0) == checkup.healthy


def test_junit_has_the_form_that_ci_servers_read(sick: Checkup, healthy: Checkup) -> None:
    """By the schema of Jenkins' xunit plugin (junit-10.xsd): elements, their attributes, one outcome per case."""
    allowed = {"testsuite": {"name", "tests", "failures", "errors", "skipped"}, "testcase": {"classname", "name"},
               "failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"message"}, "system-out": set[str]()}  # fmt: skip
    for checkup in (sick, healthy, stopped(sick), nowhere(sick)):
        suite = ElementTree.fromstring(junit(checkup))
        assert suite.tag == "testsuite" and suite.get("name")
        for element in suite.iter():
            assert set(element.keys()) <= allowed[element.tag], element.tag
        for case in suite:
            assert case.tag == "testcase" and case.get("classname") and case.get("name")
            assert sum(part.tag in ("failure", "error", "skipped") for part in case) <= 1
        assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))


def test_junit_is_xml_whatever_an_error_says(sick: Checkup) -> None:
    """XML 1.0 has no control characters, not even escaped: terminal colours and zero bytes come from other people's errors."""
    broken = dataclasses.replace(sick, run=dataclasses.replace(sick.run, stopped="\x1b[31mbad\x00 <&> \ud800 end"))
    error = ElementTree.fromstring(junit(broken)).find("testcase/error")
    assert error is not None and error.get("message") == "\ufffd[31mbad\ufffd <&> \ufffd end"


def test_annotations_are_lines_that_githubs_runner_reads(sick: Checkup) -> None:
    """The runner's grammar: `::command key=value,key=value::data`, one line each; %, CR, LF, `:` and `,` are escaped."""
    for checkup in (sick, stopped(sick), nowhere(sick)):
        for line in annotations(checkup).split("\n"):
            found = re.fullmatch(r"::(error|warning|notice) ([^:]*)::([^\r\n]*)", line)
            assert found, line
            properties = dict(part.split("=", 1) for part in found[2].split(","))
            assert properties.keys() <= {"file", "line", "title"} and "title" in properties
            assert all(
                re.fullmatch(r"[^%,:\r\n]*(%(25|0D|0A|3A|2C)[^%,:\r\n]*)*", value) for value in properties.values()
            )


@pytest.mark.parametrize(("form", "start"), [("sarif", "{"), ("github", "::"), ("junit", "<?xml")])
def test_check_prints_only_the_format_to_stdout_and_keeps_its_exit_code(
    form: str, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", TARGET, "--steps", "0", "--format", form]) == 1
    out = capsys.readouterr().out
    assert out.startswith(start) and "vanishing-gradient" in out


def test_a_record_without_findings_is_refused(
    sick: Checkup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = photic.write(sick.run, tmp_path / "run.json")
    assert run(["report", str(saved), "--format", "sarif"]) == 2
    assert "has none; use `photic check`" in capsys.readouterr().err
    assert run(["report", str(photic.write(sick, saved)), "--format", "junit"]) == 0
