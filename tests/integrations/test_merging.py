"""What the ranks read is put together in one exchange; here the ranks are runs in one process."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.integrations import merging
from photic.integrations.merging import merge
from photic.records.runs import Run
from tests.zoo import seeded


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(x)[0][:, -1])


def merged(lengths: tuple[int, ...]) -> tuple[list[Run], list[Run]]:
    """Return the runs of the ranks, and those that each of them has after the exchange."""
    model, y = seeded(Reader), torch.arange(8) % 3
    runs = [photic.measure(model, (torch.randn(8, length, 6), y), F.cross_entropy) for length in lengths]
    sent: list[Tensor] = []

    def collect(vector: Tensor) -> None:
        sent.append(vector.clone())
        raise InterruptedError

    for run in runs:
        with pytest.raises(InterruptedError):
            merge(run, collect, ranks=len(runs), batches=len(runs), shards={})
    total = torch.stack(sent).sum(0)

    def give_total(vector: Tensor) -> None:
        vector.copy_(total)

    give = [merge(run, give_total, ranks=len(runs), batches=len(runs), shards={}) for run in runs]
    return runs, [each.run for each in give]


@pytest.mark.parametrize("lengths", [(5, 5), (5, 7), (40, 3)])
def test_ranks_with_sequences_of_other_lengths_are_put_together(lengths: tuple[int, int]) -> None:
    runs, found = merged(lengths)
    assert found[0].steps[0].loss == found[1].steps[0].loss
    assert found[0].steps[0].loss == pytest.approx(sum(run.steps[0].loss or 0.0 for run in runs) / 2)
    for run in found:
        head = run.reading("head").signal
        own = [r.reading("head").signal for r in runs]
        assert head is not None
        assert head.rms == pytest.approx(math.sqrt(sum(o.rms**2 for o in own if o is not None) / 2))
        (times,) = [r.times for s, r in zip(run.sites, run.steps[0].sites) if s.operation == "lstm"]
        assert (times is not None) == (lengths[0] == lengths[1])
        if times is not None:
            parts = [reading.times for r in runs for reading in r.steps[0].sites if reading.times is not None]
            assert times.signal_norms[0] == pytest.approx(math.sqrt(sum(p.signal_norms[0] ** 2 for p in parts)))
            assert len(times.gradient_norms) == lengths[0]


def test_sequences_for_which_there_is_no_room_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "ROOM_FOR_TIMES", 16)
    _, found = merged((900, 900))
    assert found[0].steps[0].loss is not None
    assert all(reading.times is None for reading in found[0].steps[0].sites)
