"""Layers that take no part, what is made alike, and streams that grow: each sign on a sick network and on a healthy one like it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import held_still
from photic.diagnosis.one_choice import one_choice
from photic.diagnosis.one_position import one_position
from photic.diagnosis.stream_growth import stream_growth
from photic.probes.audit import measure
from photic.probes.spread import choice_facts, spread_facts
from photic.records.findings import Checkup
from tests.diagnosis.idle_and_alike import SICK, Narrow, Passing, Stream, adam, draw, far_from_0, places, remembered
from tests.zoo import seeded


def alarms(checkup: Checkup) -> list[str]:
    return [f.problem for f in checkup.findings if f.severity != "info"]


@pytest.mark.parametrize("name", SICK)
def test_the_sick_one_is_found_and_the_healthy_one_is_not(name: str) -> None:
    sick, healthy, batches, loss, problem = SICK[name]
    assert alarms(photic.check(seeded(sick), batches(), loss, adam))[:1] == [problem]
    assert problem not in alarms(photic.check(seeded(healthy), batches(), loss, adam))


def test_an_optimizer_that_ends_at_a_layer_without_a_gradient_passes_over_what_follows() -> None:
    def check(ends: bool) -> Checkup:
        model = seeded(Narrow)
        return photic.check(model, far_from_0(), F.cross_entropy, Passing(model.parameters(), ends=ends))

    found = check(True).findings[0]
    assert found.problem == "idle-layer" and "code" in found.reason
    assert "idle-layer" not in alarms(check(False))


def test_a_smaller_rate_is_no_step_that_passes_over() -> None:
    def slow(model: Any) -> torch.optim.Optimizer:
        rest = [p for name, p in model.named_parameters() if name != "code.weight"]
        return torch.optim.SGD([{"params": rest}, {"params": [model.code.weight], "lr": 1e-12}], lr=0.1)

    assert "idle-layer" not in alarms(photic.check(seeded(Narrow), far_from_0(), F.cross_entropy, slow))


def test_a_loop_whose_last_steps_are_quiet_is_heard_at_its_first() -> None:
    class Fading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.take, self.head = nn.Linear(4, 16), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            state = x.new_zeros(len(x), 16)
            for place, step in enumerate(x.unbind(1)):
                state = state + torch.tanh(self.take(step)) * 1e-2 ** (2 * place)
            return self.head(state)

    assert "idle-layer" not in alarms(photic.check(seeded(Fading), remembered(), F.cross_entropy, adam))


def test_rows_of_a_table_that_are_given_are_no_choice() -> None:
    class Typed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kind, self.enter, self.head = nn.Embedding(2, 16), nn.Linear(8, 16), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(self.enter(x) + self.kind(torch.zeros(len(x), dtype=torch.long))))

    checkup = photic.check(seeded(Typed), far_from_0(), F.cross_entropy, adam)
    assert one_choice(Graph.of(checkup.run)) is None and not alarms(checkup)


def test_one_answer_for_an_example_is_no_collapse() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.head = nn.Linear(3, 16), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.enter(x)).mean(1))

    batches = [(x, y.mean(1)) for x, y in places()]
    assert one_position(Graph.of(photic.check(seeded(Mean), batches, F.mse_loss, adam).run)) is None


def test_the_growth_of_a_stream_counts_blocks_not_the_sums_within() -> None:
    x, y = far_from_0()[0]
    once, twice = (
        stream_growth(Graph.of(measure(seeded(lambda t=t: Stream(twice=t)), (x, y), F.cross_entropy)))
        for t in (False, True)
    )
    assert once is not None and twice is not None
    assert 1.0 < once.each < 1.5 and 2.0 < twice.each < 3.0
    assert twice.ratio == pytest.approx(twice.each**10)


def test_choices_are_counted_and_what_they_are_made_of_compared() -> None:
    x = torch.arange(16.0)[:, None].expand(16, 3).contiguous()
    facts = choice_facts([x], (x > 100.0).long().argmax(1))
    assert facts is not None and (facts.made, facts.count) == (1, 16) and facts.entering > 0.1
    facts = choice_facts([x[:, 0]], x[:, 0].long())
    assert facts is not None and facts.made == 16
    assert choice_facts([x[:, :1]], x[:, :1].argmax(1)) is None  # a choice among one
    assert choice_facts([x], x[:, 0]) is None  # no whole numbers


def test_positions_that_lie_flat_are_compared_within_each_example() -> None:
    x = torch.randn(4, 5, 3, generator=draw())
    flat, cubed = spread_facts(x.flatten(0, 1), "weight", (4, 5)), spread_facts(x, "weight")
    assert flat is not None and cubed is not None
    assert flat.tokens == pytest.approx(cubed.tokens)
    same = spread_facts(x[:, :1].expand(4, 5, 3).flatten(0, 1), "weight", (4, 5))
    assert same is not None and same.tokens == pytest.approx(0.0, abs=1e-12)
    image = spread_facts(torch.ones(4, 2, 3, 3), "weight")
    assert image is not None and image.places == 0.0


class Faint(nn.Module):
    """Two layers in a row with the head that hear next to nothing: what one of them would move by is rounded away."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False), nn.Linear(8, 4)
        self.share = share
        with torch.no_grad():
            self.one.weight.fill_(1.0)
            self.two.weight.fill_(1.0)
            self.two.weight[0, 0] = 0.0  # this number alone takes the smallest step

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.share * torch.tanh(self.one(x)) + 0.5 * self.share * torch.tanh(self.two(x)))


def test_a_step_that_is_rounded_away_passes_over_no_layer() -> None:
    batches = seeded(lambda: [(torch.randn(16, 8), torch.randint(4, (16,))) for _ in range(4)])

    def descend(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), 0.1)

    run = photic.check(seeded(lambda: Faint(1e-8)), batches, F.cross_entropy, descend).run
    one, two = (p for p in run.steps[-1].parameters[:2])
    assert one.weight == run.steps[0].parameters[0].weight and two.weight != run.steps[0].parameters[1].weight
    assert held_still(Graph.of(run)) is None
