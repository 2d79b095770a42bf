"""What is put in the place of the user's own: Adam, a standard loss, a term's sign, a softplus, a skip over any stretch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.training import evaluate, train
from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import passed_by_all, segments
from photic.probes.audit import measure
from photic.records.findings import Diagnosis
from photic.remedies.carry_out import carry_out
from photic.remedies.course import Course, HeldBack
from photic.remedies.material import Material
from photic.remedies.patch import pasted
from photic.remedies.prescription import Prescription
from photic.remedies.standard_loss import StandardLoss
from photic.remedies.stepping import change_optimizer
from photic.remedies.treat import treat
from photic.remedies.treated import treated_setup
from photic.remedies.trials import ignorant, judge, trains
from tests.remedies.lost import BATCHES, Layers, adam
from tests.remedies.test_catalogue import CATALOGUE
from tests.zoo import seeded


class Careful(torch.optim.Optimizer):
    """Divides the gradient by its size and by far too much besides."""

    def __init__(self, parameters: Iterable[Any]) -> None:
        super().__init__(parameters, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad / (p.grad.norm() + 1e3))


def careful(model: nn.Module) -> torch.optim.Optimizer:
    return Careful(model.parameters())


def graph_of(model: nn.Module, loss: Any, batch: Any = BATCHES[0], optimizer: Any = None) -> Graph:
    return Graph.of(measure(model, batch, loss, optimizer=None if optimizer is None else optimizer(model)))


def refused(remedy: str, graph: Graph) -> str:
    """Return why a remedy does not apply."""
    reason = CATALOGUE[remedy].prescribe(graph)
    assert isinstance(reason, str)
    return reason


def test_adam_takes_the_place_of_an_optimizer_that_hardly_moves() -> None:
    treatment = treat(Layers, BATCHES, F.cross_entropy, optimizer=careful, steps=100, seeds=(0,))
    assert treatment.accepted
    tried = {trial.remedy: trial for trial in treatment.trials}
    assert "adam" in tried and tried["adam"].outcome in ("accepted", "stopped")
    assert isinstance(treatment.setup("adam").optimizer, torch.optim.Adam)


def test_adam_holds_what_the_optimizer_held_and_no_more() -> None:
    model = Layers()
    model.below.requires_grad_(False)
    given = torch.optim.SGD([*model.below.parameters(), model.above.weight], lr=0.1, weight_decay=0.5)
    changed = change_optimizer(Prescription(adam=True, rate=3.0), given, model)
    assert [id(p) for group in changed.param_groups for p in group["params"]] == [id(model.above.weight)]
    assert changed.param_groups[0]["lr"] == pytest.approx(3e-3) and changed.param_groups[0]["weight_decay"] == 0


def test_adam_is_not_prescribed_in_the_place_of_one_that_adapts_already() -> None:
    assert "already" in refused("adam", graph_of(Layers(), F.cross_entropy, optimizer=adam))
    assert "no optimizer" in refused("adam", graph_of(Layers(), F.cross_entropy))


def test_the_standard_loss_is_the_cross_entropy_of_logits_and_of_probabilities() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(8, 5, generator=draw), torch.randint(5, (8,), generator=draw)
    wanted = F.cross_entropy(logits, targets)
    torch.testing.assert_close(StandardLoss()(logits, targets), wanted)
    torch.testing.assert_close(StandardLoss()(logits.softmax(1), targets), wanted)


def test_the_standard_loss_takes_classes_along_the_last_axis_or_the_second() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(8, 7, 5, generator=draw), torch.randint(5, (8, 7), generator=draw)
    wanted = F.cross_entropy(logits.movedim(-1, 1), targets)
    torch.testing.assert_close(StandardLoss()(logits, targets), wanted)
    torch.testing.assert_close(StandardLoss()(logits.movedim(-1, 1), targets), wanted)


def test_the_standard_loss_of_yes_and_no_and_of_numbers() -> None:
    draw = torch.Generator().manual_seed(0)
    output, yes = 3.0 * torch.randn(8, 1, generator=draw), torch.randint(2, (8,), generator=draw)
    wanted = F.binary_cross_entropy_with_logits(output, yes[:, None].float())
    torch.testing.assert_close(StandardLoss()(output, yes), wanted)
    torch.testing.assert_close(StandardLoss()(output.sigmoid(), yes), wanted)
    torch.testing.assert_close(StandardLoss()(output, output + 2.0), torch.tensor(4.0))


@pytest.mark.parametrize("given", [(torch.zeros(4, 3), torch.zeros(5)), ([torch.zeros(3)], torch.zeros(3))])
def test_the_standard_loss_says_what_does_not_fit(given: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"fit|expected tensors"):
        StandardLoss()(*given)


def redescending(output: Tensor, target: Tensor) -> Tensor:
    return (1.0 - torch.exp(-((output - target) ** 2) / 3e-3)).mean()


def numbers() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    way = torch.randn(16, 4, generator=draw) / 4.0
    return [(x, torch.tanh(x @ way)) for x in (torch.randn(32, 16, generator=draw) for _ in range(40))]


def test_a_loss_that_is_flat_wherever_the_network_stands_gives_way_to_the_standard_one() -> None:
    treatment = treat(Layers, numbers(), redescending, optimizer=adam, steps=130, seeds=(0,))
    assert treatment.remedy == "standard-loss", treatment.report()
    x, y = numbers()[0]
    setup = treatment.setup()
    assert setup.loss is not None and float(setup.loss(x, x + 1.0)) == pytest.approx(1.0)
    assert "mse_loss" in treatment.paste and y.shape == (32, 4)


def test_a_standard_loss_is_left_as_it_is() -> None:
    assert "is a standard loss" in refused("standard-loss", graph_of(Layers(), F.cross_entropy))
    assert isinstance(
        CATALOGUE["standard-loss"].prescribe(graph_of(Layers(), redescending, numbers()[0])), Prescription
    )


class Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(16, 8), nn.Linear(4, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.down(x).chunk(2, 1)
        return self.up(mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)), mean, log_variance


def divergence_off(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    made, mean, log_variance = output
    divergence = -0.5 * (1.0 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
    return ((made - target) ** 2).sum(1).mean() - divergence


@pytest.mark.slow
def test_a_term_that_pulls_the_loss_below_all_bounds_gets_the_other_sign() -> None:
    batches = [(x, x) for x, _ in BATCHES]

    def fast(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=5e-2)

    treatment = treat(Variational, batches, divergence_off, optimizer=fast, steps=130, seeds=(0,))
    assert treatment.remedy == "turned-term", treatment.report()


def test_no_term_is_turned_in_a_loss_that_stays_above_0() -> None:
    assert "no term" in refused("turned-term", graph_of(Layers(), F.cross_entropy))


class Counts(nn.Module):
    """A count with a last ReLU whose bias keeps it shut."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(16, 32), nn.Linear(32, 1)
        nn.init.constant_(self.above.bias, -4.0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.above(torch.tanh(self.below(x))))


def test_a_softplus_wakes_an_output_that_is_shut() -> None:
    batches = [(x, 1e-2 * x[:, :1].exp()) for x, _ in BATCHES]
    treatment = treat(Counts, batches, F.mse_loss, optimizer=adam, steps=130, seeds=(0,))
    assert treatment.remedy == "smooth-output", treatment.report()
    assert "+        return torch.nn.functional.softplus(self.above(torch.tanh(self.below(x))))" in treatment.patch


def test_a_relu_that_answers_stays() -> None:
    batch = (BATCHES[0][0], BATCHES[0][0][:, :1].exp())
    model = Counts()
    nn.init.constant_(model.above.bias, 4.0)
    assert "no ReLU" in refused("smooth-output", graph_of(model, F.mse_loss, batch))


class Reader(nn.Module):
    """Attention written out over stacked matrices, without a way around."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(12, 16), nn.Parameter(torch.randn(8, 16))
        self.matrices = nn.Parameter(torch.randn(depth, 4, 16, 16) / 4.0)
        self.head = nn.Linear(16, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.place
        for query, key, value, out in self.matrices:
            shares = torch.softmax((x @ query) @ (x @ key).mT / 4.0, -1)
            x = shares @ (x @ value) @ out
        return self.head(x.mean(1))


def test_stretches_of_one_shape_are_found_around_attention_that_is_written_out() -> None:
    tokens = torch.randint(12, (6, 8), generator=torch.Generator().manual_seed(0))
    graph = graph_of(seeded(Reader), F.cross_entropy, (tokens, tokens[:, 0]))
    found = [(graph.site(start).name, graph.site(end).operation) for start, end in segments(graph)]
    assert found[0][0] == "/add#1" and [operation for _, operation in found] == ["matmul"] * 3
    names = [graph.site(index).name for index in passed_by_all(graph)]
    assert names[:2] == ["token", "/add#1"] and names[-1] == "head" and "/softmax#1" not in names


def test_layers_that_change_the_width_have_no_stretch() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 4))
    assert segments(graph_of(model, F.cross_entropy)) == []


@pytest.mark.parametrize(("waist", "around"), [(4, True), (2, False)])
def test_no_stretch_leads_around_a_code(waist: int, around: bool) -> None:
    down = [nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, waist), nn.ReLU()]
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), *down, nn.Linear(waist, 16), nn.ReLU(), nn.Linear(16, 4))
    found = segments(graph_of(model, F.cross_entropy))
    assert bool(found) is around and around is (found == [(1, 7)])


class Refusing(Layers):
    """Raises when it is handed numbers that are not finite, as torch.distributions does."""

    def between(self, x: Tensor) -> Tensor:
        if not bool(torch.isfinite(x).all()):
            raise ValueError("expected finite numbers")
        return torch.relu(x)


def test_code_that_refuses_what_is_not_finite_ends_a_trial_and_not_the_treatment() -> None:
    def far(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=1e38)

    treatment = treat(Refusing, BATCHES, F.cross_entropy, optimizer=far, steps=40, seeds=(0,))
    assert treatment.trials[0].held_back_loss is None and treatment.accepted, treatment.report()


class Steps(nn.Module):
    """Euler steps of a fixed field, each adding as much as there is; the branch stands first in its sum."""

    def __init__(self, count: int = 24) -> None:
        super().__init__()
        self.enter, self.field, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.count = count
        nn.init.orthogonal_(self.field.weight, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        state = self.enter(x)
        for _ in range(self.count):
            state = torch.relu(self.field(state)) + state
        return self.head(state)


def test_branches_of_a_long_stream_are_made_as_many_times_smaller() -> None:
    graph = graph_of(seeded(Steps), F.cross_entropy)
    prescription = CATALOGUE["smaller-branches"].prescribe(graph)
    assert isinstance(prescription, Prescription) and len(prescription.balance) == 24
    assert prescription.balance["/add#1"] == ("/relu#1", 1 / 24)
    model, x = seeded(Steps), BATCHES[0][0]
    state = model.enter(x)
    for _ in range(24):
        state = torch.relu(model.field(state)) / 24 + state
    carry_out(prescription, model, seed=0)
    torch.testing.assert_close(model(x), model.head(state))


@pytest.mark.slow
def test_smaller_branches_cure_a_stream_that_runs_away() -> None:
    material = Material.collect(lambda: Steps(40), BATCHES, F.cross_entropy, adam, steps=60)
    prescription = CATALOGUE["smaller-branches"].prescribe(graph_of(seeded(lambda: Steps(40)), F.cross_entropy))
    assert isinstance(prescription, Prescription)
    ends = [train(treated_setup(material, given, seed=0), material.stream(0), 60)[-1] for given in (None, prescription)]
    assert not ends[0] < math.log(4) and ends[1] < 0.5 * math.log(4)


def test_a_single_sum_is_no_stream() -> None:
    assert "no three sums" in refused("smaller-branches", graph_of(Steps(2), F.cross_entropy))


class Detector(Layers):
    """Gives its loss while it trains, and answers otherwise, as detection models do."""

    def forward(self, x: Tensor) -> Any:
        answer = super().forward(x)
        return {"loss": answer.logsumexp(1).mean() - answer[:, 0].mean(), "answer": answer} if self.training else answer


def own_loss(output: Any, _: Tensor) -> Tensor:
    return output["loss"]


def test_a_model_that_answers_otherwise_when_it_evaluates_is_judged_as_it_trains() -> None:
    model = nn.Sequential(nn.BatchNorm1d(16), Detector())
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert math.isfinite(evaluate(model, own_loss, [BATCHES[0]])) and model.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    treatment = treat(Detector, BATCHES, own_loss, optimizer=adam, steps=100, seeds=(0,))
    assert treatment.record.before.run.stopped == "" and not treatment.accepted


def test_an_error_of_the_user_is_still_an_error_of_the_user() -> None:
    def broken(output: Tensor, target: Tensor) -> Tensor:
        raise KeyError("labels")

    with pytest.raises(KeyError, match="labels"):
        evaluate(Layers(), broken, [BATCHES[0]])


def course(losses: list[float], held_back: float = 0.5, chance: float | None = None) -> Course:
    start = Diagnosis(findings=())
    kept = (HeldBack(0, (1.0,) * 4), HeldBack(len(losses), (held_back,) * 4))
    return Course(tuple(losses), kept, start, 1, 1.0, 1.0, end=start, chance=chance)


def test_a_training_that_climbs_far_above_its_start_is_no_cure_however_it_ends() -> None:
    flat, spiked = course([1.0] * 100, 1.0), course([1.0] * 60 + [500.0] + [0.5] * 39)
    trial = judge(CATALOGUE["he"], {"dead-units"}, [(flat, spiked, 100)])
    assert trial.outcome == "refused" and trial.reason.startswith("unsteady: the training loss climbs to 500")
    early = course([1.0, 500.0] + [0.5] * 98)
    assert judge(CATALOGUE["he"], {"dead-units"}, [(flat, early, 100)]).outcome == "accepted"


def test_what_does_not_come_below_the_mean_of_the_targets_does_not_train() -> None:
    far = course([9.0] * 100, 9.0, chance=0.4)
    assert judge(CATALOGUE["he"], {"dead-units"}, [(far, course([0.5] * 100, chance=0.4), 100)]).outcome == "refused"
    assert judge(CATALOGUE["he"], {"dead-units"}, [(far, course([0.5] * 100, chance=0.6), 100)]).outcome == "accepted"


def test_a_network_that_learns_little_is_treated_only_where_it_learns_far_better() -> None:
    def slow(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=2e-5)

    treatment = treat(Layers, BATCHES, F.cross_entropy, optimizer=slow, steps=100, seeds=(0,))
    assert treatment.remedy.startswith("tested-learning-rate"), treatment.report()
    assert treat(Layers, BATCHES, F.cross_entropy, optimizer=adam, steps=100, seeds=(0,)).remedy == ""


def test_who_answers_the_mean_of_the_targets_is_judged_on_the_held_back_batches() -> None:
    material = Material.collect(Layers, numbers(), F.l1_loss, adam, steps=40)
    mean = torch.cat([y for _, y in material.training]).mean(0)
    wanted = sum(float((mean - y).abs().mean()) for _, y in material.held_back) / len(material.held_back)
    assert material.constant == pytest.approx(wanted)
    assert Material.collect(Layers, BATCHES, F.cross_entropy, adam, steps=40).constant is None


class FromNothing(Steps):
    """The same steps from a state of zeros."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 16)
        for _ in range(self.count):
            h = h + torch.relu(self.field(h) + x)
        return self.head(h)


def test_the_first_turn_of_a_loop_is_changed_as_the_others_are() -> None:
    prescription = CATALOGUE["smaller-branches"].prescribe(graph_of(seeded(FromNothing), F.cross_entropy))
    assert isinstance(prescription, Prescription)
    assert {name: source for name, (source, _) in prescription.balance.items()} == {
        f"/add#{2 * k}": f"/relu#{k}" for k in range(1, len(prescription.balance) + 1)
    }
    assert {factor for _, factor in prescription.balance.values()} == {1.0 / len(prescription.balance)}


def test_what_a_loop_does_at_each_turn_is_said_once() -> None:
    graph = graph_of(seeded(Steps), F.cross_entropy)
    prescription = CATALOGUE["smaller-branches"].prescribe(graph)
    assert isinstance(prescription, Prescription)
    (why, line) = pasted(prescription, graph.run).splitlines()
    assert why.startswith("# 24 branches") and line.startswith("# /add#1 (")
    assert line.endswith("multiply what /relu#1 gives to it by 0.0417  # and 23 times more, at each turn")


def test_a_loss_that_only_falls_to_that_of_chance_has_learned_nothing() -> None:
    fallen = course([4.0] * 20 + [2.3] * 80, 2.295, chance=math.log(10.0))
    assert ignorant(fallen, 100) and not trains(fallen, 100)
    learned = course([4.0] * 20 + [2.2] * 80, 2.295, chance=math.log(10.0))  # by heart, but it learned
    assert not ignorant(learned, 100)
    assert not ignorant(dataclasses.replace(fallen, chance=None), 100)
