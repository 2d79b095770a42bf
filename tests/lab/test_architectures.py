"""Real architectures: all seen, nothing disturbed, no alarm. Those of `transformers` run in `python3 dev.py zoo`."""

from __future__ import annotations

import warnings

import pytest

from photic.lab import architectures
from photic.lab.survey import survey, table

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    OTHERS = architectures.transformers()


@pytest.mark.parametrize("name", [*architectures.TORCH, *OTHERS])
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
