"""Documents: what is written is read back exactly, and what is no document is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from photic.probes.audit import measure
from photic.records import documents
from photic.records.moments import Moments
from photic.records.predictions import Prediction, SitePrediction
from photic.records.runs import Run, Step
from photic.records.sites import Site
from tests import zoo

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False))


@given(st.lists(st.tuples(st.text(), NUMBERS, NUMBERS, st.text()), max_size=6), st.text())
def test_any_prediction_survives_its_document(rows: list[Any], top: str) -> None:
    sites = tuple(SitePrediction(name, a, b, a, b, a, b, why) for name, a, b, why in rows)
    prediction = Prediction(sites, top, ("one", "two"))
    assert documents.from_json(documents.to_json(prediction)) == prediction


def test_a_measured_run_survives_its_document(tmp_path: Path) -> None:
    run = measure(zoo.seeded(zoo.cnn), zoo.images(), F.cross_entropy)
    assert documents.read(documents.write(run, tmp_path / "run.json")) == run
    assert not list(tmp_path.glob("*.part"))


def test_nan_and_infinity_are_kept_in_valid_json() -> None:
    site = Site("a", "pow", "", "activation", 0, settings={"exponent": math.inf, "word": "nan"})
    run = Run("m", (site,), (), (), (Step(0, math.nan, (), (), ()),), losses=(math.inf, -math.inf))
    text = documents.to_json(run)
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    again = documents.from_json(text)
    assert math.isnan(again.steps[0].loss) and again.losses == (math.inf, -math.inf)
    assert again.sites[0].settings["word"] == "nan"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "not a photic record"),
        ("[1, 2]", "not a photic record"),
        ('{"format": "photic", "schema_version": 99, "kind": "run", "record": {}}', "newer photic"),
        ('{"format": "photic", "schema_version": 1, "kind": "cake", "record": {}}', "unknown kind"),
        ('{"format": "photic", "schema_version": 1, "kind": "run", "record": {}}', "incomplete"),
        ('{"format": "photic", "schema_version": 1, "kind": "run", "record": 5}', "expected an object"),
    ],
)
def test_what_is_no_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        documents.from_json(text)


@pytest.mark.parametrize(
    ("mean", "rms", "told"), [(0.05, 0.05, True), (-0.05, 0.05, True), (0.0499, 0.04999, False), (0.0, 0.05, False)]
)
def test_weights_of_one_number_are_told_from_others_in_spite_of_rounding(mean: float, rms: float, told: bool) -> None:
    seen = Moments(512, mean * (1.0 + 2e-7), rms * (1.0 - 2e-7), 0.05)  # sums of 512 numbers in single precision
    assert seen.of_one_number is told


def test_moments_of_nothing_are_zero() -> None:
    empty = Moments(0, 0.0, 0.0, 0.0)
    assert (empty.norm, empty.deviation, empty.zero_fraction) == (0.0, 0.0, 0.0)
