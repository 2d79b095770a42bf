"""Ways to fail that a stranger's cases showed: loops, states, clips inside an optimizer, overflows, bounds, means; and their look-alikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import loops
from photic.records.findings import Checkup
from tests import zoo
from tests.zoo import seeded


def adam(rate: float = 1e-2) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.Adam(model.parameters(), rate)


def sequences(steps: int = 30) -> list[Any]:
    """The class is said in the first step, the rest is noise."""
    draw = torch.Generator().manual_seed(0)
    found: list[Any] = []
    for _ in range(8):
        y = torch.randint(4, (32,), generator=draw)
        x = 0.1 * torch.randn(32, steps, 5, generator=draw)
        x[:, 0, :4] += F.one_hot(y, 4).float()
        found.append((x, y))
    return found


class Loop(nn.Module):
    """h = decay * h + B x, written out, with a state that may be detached every so many steps."""

    def __init__(self, decay: float, every: int = 0) -> None:
        super().__init__()
        self.decay, self.enter, self.head = nn.Parameter(torch.full((16,), decay)), nn.Linear(5, 16), nn.Linear(16, 4)
        self.every = every

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 16)
        for place, moment in enumerate(x.unbind(1), 1):
            state = self.decay * state + self.enter(moment)
            if self.every and place % self.every == 0 and place < x.shape[1]:
                state = state.detach()
        return self.head(state)


def problems(checkup: Checkup) -> list[str]:
    return [finding.problem for finding in checkup.findings if finding.severity != "info"]


def check(model: nn.Module, batches: Any = None, loss: Any = F.cross_entropy, optimizer: Any = None) -> Checkup:
    return photic.check(model, batches or [zoo.vectors(seed) for seed in range(4)], loss, optimizer or adam())


def test_a_loop_that_is_written_out_is_known_with_its_gradient_in_time() -> None:
    x, y = sequences(12)[0]
    run = photic.measure(seeded(lambda: Loop(0.5)), (x, y), F.cross_entropy)
    (loop,) = loops(Graph.of(run))
    assert loop.parameter == "decay" and len(loop.sites) == 12 and loop.heard
    ratios = [early / late for early, late in zip(loop.times, loop.times[1:], strict=False)]
    assert ratios == pytest.approx([0.5] * 11, rel=1e-4)


def test_a_network_of_layers_of_its_own_has_no_loop() -> None:
    run = photic.measure(zoo.Mlp(torch.tanh, 12), zoo.vectors(), F.cross_entropy)
    assert loops(Graph.of(run)) == []


@pytest.mark.parametrize(
    ("decay", "every", "expected"),
    [
        (0.3, 0, ["vanishing-in-time"]),
        (1.6, 0, ["exploding-in-time"]),
        (0.98, 0, []),
        (0.98, 1, ["severed-gradient"]),
    ],
)
def test_loops_that_forget_run_away_or_are_cut_at_each_step(decay: float, every: int, expected: list[str]) -> None:
    assert problems(check(seeded(lambda: Loop(decay, every)), sequences()))[:1] == expected


def test_truncated_backpropagation_is_no_cut() -> None:
    assert "severed-gradient" not in problems(check(seeded(lambda: Loop(0.98, 5)), sequences()))


class Cutting(torch.optim.SGD):
    """Clips by value inside its step."""

    def __init__(self, parameters: Any, limit: float) -> None:
        super().__init__(parameters, lr=0.5)
        self.limit = limit

    def step(self, closure: Any = None) -> Any:
        torch.nn.utils.clip_grad_value_([p for group in self.param_groups for p in group["params"]], self.limit)
        return super().step(closure)


@pytest.mark.parametrize(("limit", "expected"), [(1e-6, ["useless-clipping"]), (1.0, [])])
def test_an_optimizer_that_cuts_its_gradients_away_is_found(limit: float, expected: list[str]) -> None:
    model = zoo.Mlp(torch.relu, 2, variance=2.0)
    assert problems(check(model, optimizer=lambda m: Cutting(m.parameters(), limit))) == expected


class FirstGroup(torch.optim.SGD):
    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None


@pytest.mark.parametrize(("kind", "sick"), [(FirstGroup, True), (torch.optim.SGD, False)])
def test_a_group_that_is_never_cleared_is_found(kind: Any, sick: bool) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    made = kind([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.05)
    assert ("never-zeroed-gradients" in problems(check(model, optimizer=made))) == sick


class Norm(nn.Module):
    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.enter, self.leave, self.wide = nn.Linear(64, 64), nn.Linear(64, 10), wide
        self.half()

    def forward(self, x: Tensor) -> Tensor:
        x = 1000.0 * self.enter(x.half())
        y = x.float() if self.wide else x
        return self.leave((y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5)).half()).float()


@pytest.mark.parametrize("wide", [False, True])
def test_an_overflow_that_a_division_swallows_is_found(wide: bool) -> None:
    found = check(seeded(lambda: Norm(wide)), optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1))
    assert ("non-finite" in problems(found)) == (not wide)


def test_scores_without_a_softmax_before_nll_loss_are_found_and_log_probabilities_are_not() -> None:
    model = zoo.Mlp(torch.relu, 2, variance=2.0)
    found = check(model, loss=F.nll_loss).findings
    assert found[0].problem == "diverging" and "log_softmax" in found[0].advice
    for loss in (
        lambda o, t: F.nll_loss(F.log_softmax(o, 1), t),
        lambda o, t: F.nll_loss(o - o.logsumexp(1, keepdim=True), t),
        lambda o, t: F.nll_loss(torch.log(torch.softmax(o, 1) + 1e-6), t),
    ):
        assert check(model, loss=loss).healthy


def test_a_softmax_that_the_loop_takes_before_cross_entropy_is_found() -> None:
    model = zoo.Mlp(torch.relu, 2, variance=2.0)
    assert problems(check(model, loss=lambda o, t: F.cross_entropy(o.softmax(1), t))) == ["loss-saturation"]
    soft = torch.softmax(torch.randn(64, 10), 1)
    assert check(model, loss=lambda o, t: F.cross_entropy(o, t) + F.cross_entropy(o, soft[: len(o)])).healthy


def test_a_regression_that_learns_the_mean_alone_has_not_learned() -> None:
    draw = torch.Generator().manual_seed(1)
    batches = [(torch.randn(64, 8, generator=draw), 5.0 + torch.randn(64, 1, generator=draw)) for _ in range(8)]
    checkup = photic.check(seeded(lambda: nn.Linear(8, 1)), batches, F.mse_loss, adam(0.1), steps=120)
    assert checkup.run.losses[-1] < 0.2 * checkup.run.losses[0]
    assert checkup.run.constant == pytest.approx(1.0, rel=0.3)
    assert [f.problem for f in checkup.findings] == ["stalled-training"] and checkup.healthy
    from photic.reports.verdict import verdict

    assert verdict(checkup).startswith("nothing found, but the loss does not fall")


class Bells(nn.Module):
    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.centres, self.head, self.sharpness = nn.Parameter(torch.randn(64, 64)), nn.Linear(64, 10), sharpness

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.exp(-self.sharpness * torch.cdist(x, self.centres).square()))


@pytest.mark.parametrize(("sharpness", "sick"), [(10.0, True), (0.01, False)])
def test_bells_that_nothing_meets_are_dead_units(sharpness: float, sick: bool) -> None:
    assert ("dead-units" in problems(check(seeded(lambda: Bells(sharpness))))) == sick


class Pooled(nn.Module):
    def __init__(self, over: int) -> None:
        super().__init__()
        self.score, self.value, self.head, self.over = nn.Linear(8, 1), nn.Linear(8, 32), nn.Linear(32, 10), over

    def forward(self, x: Tensor) -> Tensor:
        rows = x.view(len(x), 8, 8)
        return self.head((self.score(rows).softmax(self.over) * self.value(rows)).sum(1))


@pytest.mark.parametrize(("over", "sick"), [(-1, True), (1, False)])
def test_an_attention_over_one_key_is_found(over: int, sick: bool) -> None:
    assert problems(check(seeded(lambda: Pooled(over)))) == (["saturated-attention"] if sick else [])


def test_a_recurrent_network_of_one_number_is_a_rank_collapse() -> None:
    class Words(nn.Module):
        def __init__(self, constant: float | None) -> None:
            super().__init__()
            self.layer, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 10)
            for parameter in self.parameters():
                if constant is not None:
                    nn.init.constant_(parameter, constant)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x.view(len(x), 8, 8))[0][:, -1])

    assert problems(check(seeded(lambda: Words(0.05))))[:1] == ["rank-collapse"]
    assert "rank-collapse" not in problems(check(seeded(lambda: Words(None))))


def test_gradients_that_are_cleared_before_the_step_are_found_by_the_watch() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    with photic.watch(model, optimizer) as watch:
        for step in range(12):
            x, y = zoo.vectors(step)
            F.cross_entropy(model(x), y).backward()
            optimizer.zero_grad()
            optimizer.step()
    assert [finding.problem for finding in watch.findings] == ["cleared-gradients"]


def test_a_state_that_is_detached_at_each_step_is_reattached() -> None:
    from photic.remedies.carry_out import carry_out
    from photic.remedies.catalogue.reattach import reattach
    from photic.remedies.prescription import Prescription

    x, y = sequences(12)[0]
    model, whole = seeded(lambda: Loop(0.98, 1)), seeded(lambda: Loop(0.98))
    given = reattach(Graph.of(photic.measure(model, (x, y), F.cross_entropy)))
    assert isinstance(given, Prescription) and len(given.removed) == 11
    carry_out(given, model, seed=0)
    for network in (model, whole):
        F.cross_entropy(network(x), y).backward()
    assert torch.allclose(model.decay.grad, whole.decay.grad)
