"""Reports: nothing is lost, nothing is loaded, hostile names stay text."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from photic.checkups.check import check
from photic.records.findings import Checkup
from photic.records.profiles import BudgetLine, JoinPart
from photic.reports.bars import bar, decades, sparkline
from photic.reports.blocks import View
from photic.reports.figure import draw
from photic.reports.frame import Frame
from photic.reports.plain import plain
from photic.reports.still import still
from photic.reports.view import view_of
from tests import zoo


@pytest.fixture(scope="module")
def checkup() -> Checkup:
    return check(zoo.seeded(zoo.Mlp), [zoo.vectors(k) for k in range(3)], F.cross_entropy, steps=3)


def test_the_text_puts_the_verdict_first_and_gives_each_site_a_line(checkup: Checkup) -> None:
    text = plain(checkup)
    assert text.splitlines()[0] == "vanishing-gradient: the gradient reaches 2 of 11 layers"
    for site in checkup.run.sites:
        if site.phase == "model":
            assert re.search(rf"^ {re.escape(site.name)} ", text, re.MULTILINE)
    assert "\x1b" not in text


def test_records_print_as_the_report_and_keep_their_plain_data_as_repr(checkup: Checkup) -> None:
    for record in (checkup, checkup.run, checkup.prediction, checkup.diagnosis):
        assert str(record) == record.report() == plain(record) and str(record)
        assert repr(record).startswith(f"{type(record).__name__}(")


def test_shares_of_a_change_that_is_none_are_not_shown(checkup: Checkup) -> None:
    profile = checkup.diagnosis.profile
    assert profile is not None and "share: of the whole change" in plain(checkup)
    level = dataclasses.replace(profile, transport=1.3)
    text = plain(dataclasses.replace(checkup, diagnosis=dataclasses.replace(checkup.diagnosis, profile=level)))
    assert "share" not in text and " %" not in text.split("gradient bars")[0]


def test_a_long_network_is_folded_and_unfolded() -> None:
    long = check(zoo.seeded(lambda: zoo.Mlp(depth=60, width=16)), [zoo.vectors()], F.cross_entropy, steps=0)
    assert "are not shown; --all shows them" in plain(long)
    assert "/sigmoid#33" in plain(long, view=View(everything=True))


def test_what_is_left_out_is_said_and_small_numbers_are_no_zeros() -> None:
    long = check(zoo.seeded(lambda: zoo.Mlp(depth=60, width=16)), [zoo.vectors()], F.cross_entropy, steps=0)
    assert "... 13 more, --all shows them" in plain(long)
    assert "... 13 more" not in plain(long, view=View(everything=True))
    profile = long.diagnosis.profile
    assert profile is not None
    faint = dataclasses.replace(profile.layers[0], signal_mean=-0.0, signal_deviation=3.4e-7)
    profile = dataclasses.replace(profile, layers=(faint, *profile.layers[1:]))
    text = plain(dataclasses.replace(long, diagnosis=dataclasses.replace(long.diagnosis, profile=profile)))
    assert "3.4e-07" in text


def test_a_join_of_many_parts_shows_the_largest(checkup: Checkup) -> None:
    profile = checkup.diagnosis.profile
    assert profile is not None
    parts = tuple(JoinPart(f"cell#{k}", k / 10, None, None, k == 0) for k in range(9))
    join = BudgetLine("memory", "join", "join", 2.0, 0.0, "", parts)
    profile = dataclasses.replace(profile, budget=(join, *profile.budget))
    text = plain(dataclasses.replace(checkup, diagnosis=dataclasses.replace(checkup.diagnosis, profile=profile)))
    assert "skip 0 + cell#8 0.8" in text and "cell#1 " not in text and "4 smaller ones" in text


def test_the_still_picture_loads_nothing_runs_nothing_and_escapes_names(checkup: Checkup) -> None:
    profile = checkup.diagnosis.profile
    assert profile is not None
    hostile = "<img src=x onerror=alert(1)></table>"
    lines = (dataclasses.replace(profile.layers[0], site=hostile), *profile.layers[1:])
    diagnosis = dataclasses.replace(checkup.diagnosis, profile=dataclasses.replace(profile, layers=lines))
    text = still(dataclasses.replace(checkup, diagnosis=diagnosis))
    assert hostile not in text and "&lt;img src=x" in text
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=|url\(", text.replace("&lt;img src=x", ""))
    assert "/" not in re.findall(r"test_\w+\.py:\d+|(?<=>)[^<]*zoo\.py:\d+", text)[0]  # no folder of the user's machine


def test_a_notebook_gets_a_picture_without_scripts_and_the_whole_page_in_a_frame_without_rights(
    checkup: Checkup,
) -> None:
    assert checkup._repr_html_() == still(checkup)
    frame = Frame(view_of(checkup))._repr_html_()
    assert 'sandbox="allow-scripts"' in frame and "allow-same-origin" not in frame
    assert frame.count("<") == 2 and frame.endswith("></iframe>")  # the page is text inside an attribute


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_figure_is_drawn(checkup: Checkup, tmp_path: Path, ending: str) -> None:
    path = draw(checkup, tmp_path / f"profile.{ending}")
    assert path.stat().st_size > 5000


def test_a_figure_without_a_profile_is_refused(checkup: Checkup, tmp_path: Path) -> None:
    empty = dataclasses.replace(checkup, diagnosis=dataclasses.replace(checkup.diagnosis, profile=None))
    with pytest.raises(ValueError, match="no depth profile"):
        draw(empty, tmp_path / "x.png")


@given(st.lists(st.floats(), max_size=80), st.integers(1, 30))
def test_a_sparkline_never_fails_and_never_grows(values: list[float], width: int) -> None:
    assert len(sparkline(values, width=width)) == min(width, len(values))


@given(st.one_of(st.none(), st.floats()), st.lists(st.floats(), max_size=5), st.booleans())
def test_a_bar_never_fails_and_has_its_width(value: float | None, others: list[float], ascii_only: bool) -> None:
    assert len(bar(value, decades([*others, value]), width=9, ascii_only=ascii_only)) == 9


def test_bars_grow_with_the_logarithm() -> None:
    lengths = [bar(10.0**k, (0.0, 4.0), width=8).count("█") for k in range(5)]
    assert lengths == [0, 2, 4, 6, 8]
    assert math.isclose(decades([3e-9, 1.0])[0], -9.0)
