"""States that nobody takes: an encoder's for its decoder, the last of a chain, an exponential gate that lets its state grow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.around import setup_lines
from photic.remedies.carry_out import carry_out
from photic.remedies.prescription import Prescription
from tests.remedies.test_structure import CATALOGUE

KINDS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Translator(nn.Module):
    """Reads a sequence and says it backwards; the decoder begins with what the encoder has read, or with zeros."""

    def __init__(self, kind: str = "gru", *, handed: bool = False, width: int = 48, layers: int = 1) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 12)
        self.encoder = KINDS[kind](12, 48, layers, batch_first=True)
        self.decoder = KINDS[kind](12, width, layers, batch_first=True)
        self.head, self.handed = nn.Linear(width, 6), handed

    def forward(self, source: Tensor, before: Tensor) -> Tensor:
        _, state = self.encoder(self.table(source))
        said, _ = self.decoder(self.table(before), state) if self.handed else self.decoder(self.table(before))
        return self.head(said).transpose(1, 2)


def sentences() -> list[Any]:
    made: list[Any] = []
    for seed in range(24):
        words = torch.randint(1, 6, (32, 3), generator=torch.Generator().manual_seed(seed))
        back = words.flip(1)
        made.append(((words, torch.cat([torch.zeros(32, 1, dtype=torch.int64), back[:, :-1]], 1)), back))
    return made


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def prescribed(name: str, model: nn.Module, batch: Any, loss: Any = F.cross_entropy) -> Any:
    return CATALOGUE[name].prescribe(Graph.of(measure(model, batch, loss)))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_begins_where_the_encoder_ended(kind: str, layers: int) -> None:
    torch.manual_seed(0)
    model, whole = Translator(kind, layers=layers), Translator(kind, layers=layers, handed=True)
    whole.load_state_dict(model.state_dict())
    (inputs, targets), _ = sentences()[0], None
    given = prescribed("handed-state", model, (inputs, targets))
    assert isinstance(given, Prescription) and given.states == (("encoder", "decoder"),)
    carry_out(given, model, seed=0)
    torch.testing.assert_close(model(*inputs), whole(*inputs))
    F.cross_entropy(model(*inputs), targets).backward()
    F.cross_entropy(whole(*inputs), targets).backward()
    torch.testing.assert_close(model.encoder.weight_hh_l0.grad, whole.encoder.weight_hh_l0.grad)
    assert "the state that encoder ends in" in "\n".join(setup_lines(given))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_what_enters_is_not_taken_for_the_state_that_has_its_shape(kind: str) -> None:
    """One word of the width of the state, sequence first: [1, batch, width] both."""

    class Same(nn.Module):
        def __init__(self, *, handed: bool) -> None:
            super().__init__()
            self.encoder, self.decoder, self.handed = KINDS[kind](16, 16), KINDS[kind](16, 16), handed

        def forward(self, source: Tensor, said: Tensor) -> Tensor:
            _, state = self.encoder(source)
            return (self.decoder(said, state) if self.handed else self.decoder(said))[0][0]

    torch.manual_seed(0)
    model, whole = Same(handed=False), Same(handed=True)
    whole.load_state_dict(model.state_dict())
    inputs = torch.randn(1, 8, 16), torch.randn(1, 8, 16)
    carry_out(Prescription(states=(("encoder", "decoder"),)), model, seed=0)
    torch.testing.assert_close(model(*inputs), whole(*inputs))


def test_who_hands_it_on_or_could_not_take_it_is_left_alone() -> None:
    for model in (Translator(handed=True), Translator(width=24)):
        assert isinstance(prescribed("handed-state", model, sentences()[0]), str)


def test_an_encoder_that_nobody_hears_is_cured() -> None:
    treatment = photic.treat(Translator, sentences(), F.cross_entropy, optimizer=adam, steps=100, workers=1)
    finding = treatment.record.before.findings[0]
    assert (
        finding.problem == "idle-layer"
        and "encoder gives goes nowhere" in finding.reason
        and "encoder runs" in finding.reason
    )
    assert treatment.remedy == "handed-state", treatment.report()


class Flow(nn.Module):
    """Steps of Euler along a field; the state that is read is that of `place`."""

    def __init__(self, place: int, steps: int = 4) -> None:
        super().__init__()
        self.lift, self.field, self.bend, self.head = (
            nn.Linear(2, 6),
            nn.Linear(6, 24),
            nn.Linear(24, 6),
            nn.Linear(6, 2),
        )
        self.place, self.steps = place, steps

    def forward(self, x: Tensor) -> Tensor:
        states = [self.lift(x)]
        for _ in range(self.steps):
            states.append(states[-1] + 0.25 * self.bend(torch.tanh(self.field(states[-1]))))
        return self.head(torch.stack(states)[self.place])


def rings() -> list[Any]:
    """Points on two circles."""
    made: list[Any] = []
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        y, turn = torch.randint(2, (32,), generator=draw), 6.3 * torch.rand(32, generator=draw)
        made.append(((0.5 + y)[:, None] * torch.stack([turn.cos(), turn.sin()], 1), y))
    return made


def test_the_last_state_is_read_in_place_of_the_first() -> None:
    torch.manual_seed(0)
    model, last = Flow(0), Flow(-1)
    last.load_state_dict(model.state_dict())
    given = prescribed("last-entry", model, rings()[0])
    assert isinstance(given, Prescription)
    carry_out(given, model, seed=0)
    torch.testing.assert_close(model(rings()[0][0]), last(rings()[0][0]))
    for healthy in (Flow(-1), Flow(0, steps=1)):
        assert isinstance(prescribed("last-entry", healthy, rings()[0]), str)


def test_a_flow_of_which_the_start_is_read_is_cured() -> None:
    treatment = photic.treat(lambda: Flow(0), rings(), F.cross_entropy, optimizer=adam, steps=120, workers=1)
    assert treatment.remedy == "last-entry" and "states[-1]" in treatment.paste, treatment.report()


class Exponential(nn.Module):
    """A memory whose gate is the exponential of a layer; `most` limits the exponent."""

    def __init__(self, most: float = 9.0) -> None:
        super().__init__()
        self.gate, self.new, self.head, self.most = nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(16, 4), most
        nn.init.constant_(self.gate.bias, 0.6)

    def forward(self, x: Tensor) -> Tensor:
        c = x.new_zeros(len(x), 16)
        for step in x.unbind(1):
            f = self.gate(step)
            c = (f if self.most > 1.0 else f.clamp(max=self.most)).exp() * c + torch.tanh(self.new(step))
        return self.head(c)


def test_an_exponential_gate_above_one_is_limited_to_one() -> None:
    torch.manual_seed(0)
    model, limited = Exponential(), Exponential(0.0)
    limited.load_state_dict(model.state_dict())
    batch = (torch.randn(16, 24, 4), torch.randint(4, (16,)))
    given = prescribed("limited-gate", model, batch)
    assert isinstance(given, Prescription)
    carry_out(given, model, seed=0)
    torch.testing.assert_close(model(batch[0]), limited(batch[0]))
    assert isinstance(prescribed("limited-gate", Exponential(0.0), batch), str)
