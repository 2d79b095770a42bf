"""Real architectures: all seen, nothing disturbed, no alarm. Those of `transformers` run in `python3 dev.py zoo`."""

from __future__ import annotations

import warnings

import pytest

from photic.lab import architectures
from photic.lab.survey import survey, table

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    OTHERS = architectures.transformers()


TWINS = {
    "RNN, 2 layers, bidirectional",
    "GRU, 2 layers, bidirectional",
    "transformer encoder, post-norm",
}  # of one that is there


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in TWINS else ()) for name in (*architectures.TORCH, *OTHERS)],
)
@pytest.mark.filterwarnings("ignore")
def test_every_architecture_is_seen_whole_and_left_as_it_was(name: str) -> None:
    seen = survey(name, {**architectures.TORCH, **OTHERS}[name], rounds=1)
    assert seen.unseen == ()
    assert seen.different == ()
    assert seen.left == ()
    assert seen.findings == ()
    assert seen.alarms == ()
    assert seen.operations >= 4
    assert name in table([seen])
