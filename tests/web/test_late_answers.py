"""Answers that overtake each other: the page shows what was asked last, and threads do not disturb each other's seeds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from photic.lab.lessons.turns import turn
from photic.web.lessons import answer


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(served_at: str, open_tab: Any) -> None:
    tab = open_tab(f"{served_at}/learn#depth")
    tab.page.wait_for_selector(".experiment figure", timeout=90000)
    late: list[Any] = []

    def kept(route: Any) -> None:
        if "depth=3&" in route.request.url:
            late.append(route)  # answered below, after the newer one
        else:
            route.continue_()

    tab.page.route("**/api/learn/audit*", kept)
    depth = tab.page.get_by_label("hidden layers")
    depth.fill("2")  # three layers
    tab.page.wait_for_timeout(200)
    depth.fill("19")
    tab.page.locator(".said", has_text="of 21 layers").wait_for(timeout=90000)
    assert len(late) == 1
    with tab.page.expect_response("**depth=3&**", timeout=90000):
        late[0].continue_()
    tab.page.wait_for_timeout(300)
    assert "of 21 layers" in tab.page.locator(".said").first.inner_text() and tab.errors == []
    tab.page.close()


def test_the_phase_diagram_is_that_of_the_chosen_activation(served_at: str, open_tab: Any) -> None:
    tab = open_tab(f"{served_at}/learn#phases")
    tab.page.wait_for_selector(".experiment figure", timeout=90000)
    late: list[Any] = []
    tab.page.route("**/api/learn/phases?activation=sigmoid", lambda route: late.append(route))
    chosen = tab.page.get_by_label("activation")
    chosen.select_option("sigmoid")
    tab.page.wait_for_timeout(200)
    chosen.select_option("relu")
    said = tab.page.locator(".said", has_text="χ = 0.5 ")  # weights of variance 1: half of the mean square
    said.wait_for(timeout=90000)
    with tab.page.expect_response("**/phases?activation=sigmoid", timeout=90000):
        late[0].continue_()
    tab.page.wait_for_timeout(300)
    assert said.count() == 1
    tab.page.close()


def test_the_seed_of_a_question_is_its_own_in_every_thread() -> None:
    asked = [("audit", {"seed": str(seed), "depth": "4", "width": "16"}) for seed in range(3)] * 3
    alone = [answer(kind, given)["loss"] for kind, given in asked]
    for _ in range(3):
        with ThreadPoolExecutor(4) as threads:
            assert [found["loss"] for found in threads.map(lambda one: answer(*one), asked)] == alone


def test_a_question_does_not_wait_for_the_end_of_a_training() -> None:
    def training() -> float:
        end = time.monotonic() + 5.0
        while time.monotonic() < end and not asked.done():
            with turn(patient=True):
                time.sleep(0.005)
        return end - time.monotonic()

    def question() -> None:
        time.sleep(0.05)
        with turn():
            pass

    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(question)
        assert threads.submit(training).result() > 2.0
