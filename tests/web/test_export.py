"""The exported lessons: every knob that they show has an answer, each in the words in which the page asks."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from photic.records.documents import to_plain
from photic.reports.page import page
from photic.web.export import key, options, questions, trained_knobs
from photic.web.lessons import answer
from tests.web.test_lessons import LESSONS


@lru_cache(maxsize=32)
def one(kind: str, activation: str = "") -> Any:
    """Return an answer of this kind; which one does not matter here."""
    given = {"activation": activation} if activation else {}
    return to_plain(answer(kind, {**given, "depth": "2", "width": "8"} if kind in ("audit", "precision") else given))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page that `photic learn --export` makes, with one answer of each kind for all questions of that kind."""
    answers: dict[str, Any] = {"options": options()}
    for kind, given in questions():
        answers[key(kind, given)] = one(kind, given["activation"] if kind == "phases" else "")
    for knobs in trained_knobs():
        answers[key("train", dataclasses.asdict(knobs))] = {"heats": [], "losses": [2.0, 1.0], "loss_steps": [0, 1]}
    path: Path = tmp_path_factory.mktemp("site") / "index.html"
    path.write_text(page({"mode": "learn", "answers": answers}), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_knob_of_the_export_has_an_answer(exported: str, open_tab: Any, lesson: str) -> None:
    tab = open_tab(f"{exported}#{lesson}")
    tab.page.wait_for_selector(".experiment figure, .experiment table")
    knobs = tab.page.locator(".experiment .knobs").first

    def settled() -> None:
        tab.page.wait_for_timeout(60)  # questions are asked after 30 ms
        assert tab.page.locator("[role=alert]").first.inner_text() == ""
        train = tab.page.get_by_role("button", name="Train it")
        assert train.count() == 0 or train.is_enabled()

    for index in range(knobs.locator("select").count()):
        chosen = knobs.locator("select").nth(index)
        values = chosen.locator("option").evaluate_all("found => found.map(option => option.value)")
        assert len(values) > 1
        for value in [*values, values[0]]:
            chosen.select_option(value)
            settled()
    for index in range(knobs.locator("input[type=range]").count()):
        slid = knobs.locator("input[type=range]").nth(index)
        low, high = int(slid.get_attribute("min") or 0), int(slid.get_attribute("max") or 0)
        assert high > low  # a knob with one value is not shown
        for value in range(low, min(high, 45) + 1):
            slid.fill(str(value))
            settled()
    assert tab.errors == []
    tab.page.close()


def test_small_numbers_are_written_as_javascript_writes_them() -> None:
    written = {1e-6: "0.000001", 1.5e-5: "0.000015", 1e-7: "1e-7", 1e-12: "1e-12", 1e-4: "0.0001", 0.025: "0.025"}
    assert {number: key("x", {"e": number}) for number in written} == {n: f"x?e={w}" for n, w in written.items()}
