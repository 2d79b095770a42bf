"""What is learned stays learned: trainings that climb, fall back, or falter."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photic.records.findings import Diagnosis
from photic.remedies.course import Course, HeldBack
from photic.remedies.crew import Member, Order
from photic.remedies.prescription import Prescription
from photic.remedies.search import Candidate, Search
from photic.remedies.steadiness import breaks_through, falls_back, falters, wild
from photic.remedies.trials import deep, judge
from tests.remedies.test_catalogue import CATALOGUE


def noisy(levels: list[float], each: int = 20, noise: float = 0.05) -> list[float]:
    """Ten levels of loss of so many steps, with a noise of that size."""
    draw = torch.Generator().manual_seed(1)
    return [level + noise * float(torch.randn((), generator=draw)) for level in levels for _ in range(each)]


LEARNS = [2.3, 1.8, 1.4, 1.1, 0.9, 0.7, 0.6, 0.5, 0.45, 0.4]
FALLS_BACK = [2.3, 1.5, 1.1, 1.0, 0.9, 1.0, 1.4, 1.9, 2.1, 2.2]
FALTERS = [2.3, 1.5, 1.1, 1.0, 0.9, 1.6, 1.4, 1.0, 0.8, 0.7]
LATE = [2.3, 2.3, 2.3, 2.3, 2.3, 2.2, 1.7, 1.2, 0.9, 0.8]


def test_what_falls_back_to_where_it_began_is_no_cure() -> None:
    assert falls_back(noisy(FALLS_BACK)).startswith("unsteady: the training loss comes down to 0.9 and ends at 2.2")
    assert falls_back(noisy(FALTERS)) == "" and falls_back(noisy(LEARNS)) == ""
    assert falls_back(noisy([1.0] * 10, noise=0.1)) == ""  # nothing gained, nothing lost


@pytest.mark.parametrize(
    ("deep", "share", "sick"), [(True, 0.3, True), (True, 0.1, False), (False, 0.1, True), (False, 0.01, False)]
)
def test_a_relapse_counts_sooner_where_much_of_the_loss_is_left(deep: bool, share: float, sick: bool) -> None:
    levels = [2.3, 1.5, 1.0, 1.0 + 1.3 * share, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert falters(noisy(levels, noise=0.001), deep=deep) == sick
    assert not falters(noisy(LEARNS), deep=deep) and falters(noisy(FALTERS), deep=deep)


def test_a_course_too_short_or_not_finite_says_nothing() -> None:
    assert falls_back([1.0, 0.5]) == "" and not falters([1.0, 0.5], deep=False)
    assert not falters([1.0, math.nan] * 20, deep=False) and falls_back([1.0, math.nan] * 20) == ""


def test_what_stands_first_and_learns_later_is_told_from_what_learns_slowly() -> None:
    assert breaks_through(noisy(LATE)) and not breaks_through(noisy(LEARNS))
    assert not breaks_through(noisy([2.3 - 0.1 * step for step in range(10)]))  # slow, and as slow to the end
    assert not breaks_through(noisy([1.0] * 9 + [0.97], noise=0.01))  # it gains nothing
    assert not breaks_through([2.3, 0.9]) and not breaks_through([2.3] * 19 + [math.nan])


@given(st.lists(st.floats(0.0, 1e6), min_size=0, max_size=120))
def test_a_loss_that_never_rises_is_steady(losses: list[float]) -> None:
    down = sorted(losses, reverse=True)
    assert not falters(down, deep=False) and falls_back(down) == "" and wild(down, down[0] if down else 1.0) == ""


def course(losses: list[float], held_back: float, chance: float | None = None) -> Course:
    start = Diagnosis(findings=())
    kept = (HeldBack(0, (2.3,) * 4), HeldBack(len(losses), (held_back,) * 4))
    return Course(tuple(losses), kept, start, 1, 1.0, 1.0, end=start, chance=chance)


@pytest.mark.parametrize(("second", "outcome"), [(LEARNS, "accepted"), (FALLS_BACK, "refused")])
def test_every_seed_has_to_keep_what_it_learned(second: list[float], outcome: str) -> None:
    flat = course(noisy([2.3] * 10), 2.3)
    pairs = [(flat, course(noisy(LEARNS), 0.4), 200), (flat, course(noisy(second), 0.4), 200)]
    assert judge(CATALOGUE["he"], {"dead-units"}, pairs).outcome == outcome


def test_a_loss_of_0_beside_one_of_0_is_no_improvement() -> None:
    falls = noisy([2.3 * 0.1**place for place in range(10)], noise=0.0)
    pairs = [(course(falls, 0.0), course(falls, 0.0), 200)]
    assert judge(CATALOGUE["he"], {"exploding-in-time"}, pairs).outcome == "refused"
    assert (
        judge(CATALOGUE["he"], {"exploding-in-time"}, [(course(falls, 0.1), course(falls, 0.0), 200)]).outcome
        == "accepted"
    )


def test_what_ends_higher_on_what_it_is_trained_on_is_no_cure() -> None:
    """A loss on held-back batches may lie lower all the same, where a dropout is at work in training alone."""
    flat, worse = course(noisy([1.8] * 10), 1.7), course(noisy([5.0, *[3.0] * 9]), 0.9)
    trial = judge(CATALOGUE["he"], {"dead-units"}, [(flat, worse, 200)])
    assert trial.outcome == "refused" and "ends higher" in trial.reason
    by_heart, slower = course(noisy([2.3, 1.8, 1.5, *[1.0] * 7]), 2.2), course(noisy([2.3, 2.0, 1.9, *[1.5] * 7]), 1.4)
    assert judge(CATALOGUE["he"], {"dead-units"}, [(by_heart, slower, 200)]).outcome == "accepted"


def test_a_loss_is_deep_where_a_quarter_of_the_beginning_is_left() -> None:
    flat = course(noisy([2.3] * 10), 2.3)
    assert deep(flat, course(noisy(LEARNS), 0.4)) and not deep(flat, course(noisy(LEARNS), 0.9))
    assert not deep(flat, course(noisy(LEARNS), 0.4, chance=0.69)) or deep(
        flat, course(noisy(LEARNS), 0.1, chance=0.69)
    )
    assert not deep(flat, course(noisy(LEARNS), math.nan))


def test_the_gain_counts_from_chance_where_a_loss_begins_far_above_it() -> None:
    levels = [90.0, 2.3, 2.1, 1.9, 2.0, 1.8, 1.7, 1.6, 1.5, 1.5]
    assert not falters(noisy(levels, noise=0.001), deep=False)
    assert falters(noisy(levels, noise=0.001), math.log(10.0), deep=False)
    back = [90.0, 2.3, 1.5, 1.0, 1.0, 1.2, 1.7, 2.1, 2.2, 2.2]
    assert falls_back(noisy(back)) == "" and falls_back(noisy(back), math.log(10.0)).startswith("unsteady")
    assert falls_back(noisy([2.4] * 10), math.log(10.0)) == ""  # above chance all the time: nothing to lose


RUNGS = (25, 67, 200)
HALF_WAY = [2.3, 1.9, 1.5, 1.3, 1.6, 1.3, 1.2, 1.1, 1.1, 1.0]  # and up again for a while


class Workers:
    """Stands for a crew: arms whose courses are known, of which the second seed may be interrupted before the end."""

    def __init__(self, *, interrupted: bool) -> None:
        self.rungs, self.at_once, self.interrupted = RUNGS, 1, interrupted

    def enlist(self, name: str, prescription: Prescription | None, seed: int) -> Member:
        return Member(name, prescription, seed)

    def work(self, *orders: Order) -> None:
        for order in orders:
            if self.interrupted and order.member.seed and order.member.prescription and order.steps == RUNGS[-1]:
                continue
            levels = noisy([2.3] * 10 if order.member.prescription is None else HALF_WAY)
            kept = tuple(HeldBack(n, (levels[n - 1] if n else 2.3,) * 4) for n in (0, *RUNGS) if n <= order.steps)
            start = Diagnosis(findings=())
            order.member.course = Course(tuple(levels[: order.steps]), kept, start, 1, 1.0, 1.0, end=start)

    def release(self, *_: Member) -> None:
        return None


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_falters_is_no_cure_until_every_seed_came_to_its_end(interrupted: bool) -> None:
    crew: Any = Workers(interrupted=interrupted)
    search = Search(crew, {"dead-units"}, (0, 1), False)
    crew.work(Order(search.control(0), RUNGS[-1]))
    remedy = CATALOGUE["he"]
    search._prove(Candidate(remedy, 0, crew.enlist("he", Prescription(), 0)))  # pyright: ignore[reportPrivateUsage]
    (trial,) = search.trials
    assert trial.outcome == ("refused" if interrupted else "accepted"), trial.reason
    assert trial.reason.startswith("not repeated with every seed") == interrupted
    assert interrupted or [len(losses) for losses in trial.seed_losses] == [RUNGS[-1]]


class OneStands(Workers):
    """Arms that learn soon, or late; one seed stands at what it begins with to the end, or begins to learn after the first rung."""

    def __init__(self, stands: int, later: float, *, late: bool = False) -> None:
        super().__init__(interrupted=False)
        self.stands, self.later, self.levels = stands, later, LATE if late else LEARNS
        self.well = {25: 2.3, 67: 2.3, 200: 0.8} if late else dict.fromkeys(RUNGS, 0.9)

    def work(self, *orders: Order) -> None:
        for order in orders:
            member = order.member
            stands = member.prescription is None or member.seed == self.stands
            ends = (
                {25: 2.3, 67: self.later, 200: self.later}
                if stands and member.prescription
                else dict.fromkeys(RUNGS, 2.3)
                if stands
                else self.well
            )
            kept = (HeldBack(0, (2.3,) * 4), *(HeldBack(n, (ends[n],) * 4) for n in RUNGS if n <= order.steps))
            levels = noisy([2.3] * 10 if stands else self.levels)
            start = Diagnosis(findings=())
            member.course = Course(tuple(levels[: order.steps]), kept, start, 1, 1.0, 1.0, end=start)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("stands", "later", "outcome"), [(4, 2.3, "refused"), (4, 1.5, "accepted"), (9, 2.3, "accepted")]
)
def test_what_shows_at_once_or_late_has_to_show_with_three_more_seeds(
    stands: int, later: float, outcome: str, late: bool
) -> None:
    crew: Any = OneStands(stands, later, late=late)
    search = Search(crew, {"dead-units"}, (0, 1), False)
    crew.work(Order(search.control(0), RUNGS[-1]))
    search._prove(Candidate(CATALOGUE["he"], 0, crew.enlist("he", Prescription(), 0)))  # pyright: ignore[reportPrivateUsage]
    (trial,) = search.trials
    assert trial.outcome == outcome, trial.reason
    assert (outcome == "accepted") or trial.reason.startswith("with seed 4 the loss does not fall: 2.3 after 200 steps")
