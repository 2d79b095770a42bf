"""The profile along time of fused recurrent layers is the gradient of every time step's input, exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import photic
from tests.zoo import seeded

KINDS = [nn.LSTM, nn.GRU, nn.RNN]


class Last(nn.Module):
    """Classifies by the last output of a recurrent layer."""

    def __init__(self, kind: type[nn.RNNBase], *, lengths: list[int] | None = None, **settings: Any) -> None:
        super().__init__()
        self.layer = kind(8, 16, **settings)
        self.head = nn.Linear(32 if settings.get("bidirectional") else 16, 4)
        self.lengths = lengths
        self.batch_first = bool(settings.get("batch_first"))

    def forward(self, x: Tensor) -> Tensor:
        if self.lengths is not None:
            packed, _ = self.layer(pack_padded_sequence(x, torch.tensor(self.lengths), batch_first=self.batch_first))
            return self.head(packed.data)
        out, _ = self.layer(x)
        return self.head(out[:, -1] if self.batch_first else out[-1])


def total(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(
        output, target[: len(output)] if len(output) <= len(target) else target.repeat(9)[: len(output)]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"batch_first": True}, {"num_layers": 2}, {"bidirectional": True}])
def test_gradients_of_every_time_step_are_those_of_autograd(kind: type[nn.RNNBase], settings: dict[str, Any]) -> None:
    model = seeded(lambda: Last(kind, **settings))
    x = seeded(lambda: torch.randn(3, 20, 8) if settings.get("batch_first") else torch.randn(20, 3, 8))
    y = torch.tensor([0, 1, 2])
    loss = F.cross_entropy(model(x), y)
    plain = torch.autograd.grad(loss, list(model.parameters()))
    given = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(given), y), given)
    run = photic.measure(model, (x, y), F.cross_entropy)
    times = run.reading("layer").times
    assert times is not None
    axis = 1 if settings.get("batch_first") else 0
    truth = [float(step.double().norm()) for step in gradient.unbind(axis)]
    assert times.gradient_norms == pytest.approx(truth, rel=1e-12)
    assert len(times.signal_norms) == 20
    for parameter, ours, theirs in zip(run.parameters, run.steps[0].parameters, plain, strict=True):
        assert ours.gradient is not None, parameter.name
        assert ours.gradient.norm == pytest.approx(float(theirs.double().norm()), rel=1e-6)


def test_the_gradient_of_a_default_lstm_vanishes_along_time() -> None:
    model = seeded(lambda: Last(nn.LSTM))
    run = photic.measure(model, (seeded(lambda: torch.randn(100, 3, 8)), torch.tensor([0, 1, 2])), F.cross_entropy)
    times = run.reading("layer").times
    assert times is not None
    assert times.gradient_norms[0] < 1e-12 * times.gradient_norms[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_are_split_at_their_time_steps(kind: type[nn.RNNBase]) -> None:
    model = seeded(lambda: Last(kind, lengths=[9, 7, 3]))
    run = photic.measure(model, (seeded(lambda: torch.randn(9, 3, 8)), torch.arange(3)), total)
    times = run.reading("layer").times
    assert times is not None
    assert (len(times.signal_norms), len(times.gradient_norms)) == (9, 9)
    assert all(norm > 0 for norm in times.gradient_norms)


def test_only_this_layers_part_counts_where_the_input_has_other_consumers() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)
            self.layer = nn.GRU(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = self.inner(x)
            return self.layer(x)[0][-1] + 1000.0 * x[0]

    model = seeded(Skip)
    run = photic.measure(model, (seeded(lambda: torch.randn(40, 2, 8)), torch.zeros(2, 8)), F.mse_loss)
    times = run.reading("layer").times
    assert times is not None
    assert times.gradient_norms[0] < 1e-6 * times.gradient_norms[-1]
