"""Remedies for ways that are cut without a word, and what each must refuse."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.around import setup_lines
from photic.remedies.carry_out import carry_out
from tests.diagnosis import test_breaking_batches as breaking
from tests.diagnosis import test_unseen_cuts as sick
from tests.diagnosis import test_untaught_terms as terms
from tests.remedies.test_structure import CATALOGUE, cured, digits, prescribed


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def refused(name: str, model: nn.Module, loss: Any = F.cross_entropy, batch: Any = None) -> str:
    said = CATALOGUE[name].prescribe(Graph.of(measure(model, batch or digits()[0], loss)))
    assert isinstance(said, str) and said
    return said


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("straight-through", lambda: sick.Weighted(sick.SIGNED["sign"])),
        ("plain-function", lambda: sick.Functional(sick.Doubled)),
        ("plain-function", lambda: sick.Twice(sick.Unweighed)),
        ("soft-choice", lambda: sick.Spoken(values=False)),
    ],
)
def test_what_was_cut_is_joined_again(name: str, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cured(name, monkeypatch, build, digits(), F.cross_entropy, optimizer=adam, steps=60).accepted


@pytest.mark.parametrize(
    ("name", "build", "loss", "batches"),
    [
        ("pathwise-sample", lambda: terms.Coded(lambda d: d.sample()), terms.priced, terms.to_itself),
        (
            "pathwise-sample",
            lambda: terms.Coded(lambda d: d.sample(), kind=torch.distributions.Laplace),
            terms.priced,
            terms.to_itself,
        ),
        ("recorded-slope", lambda: terms.Sloped(create_graph=False), terms.residual, terms.places),
        ("recorded-slope", lambda: terms.Sloped(create_graph=False), terms.residual_alone, terms.places),
        ("soft-ranks", terms.scored, terms.rank_correlation, terms.ranked),
        ("carried-gradient", lambda: sick.Enlarged(sick.outside), F.mse_loss, sick.images),
        ("masked-rows", lambda: breaking.Masked(-math.inf), F.cross_entropy, breaking.bags),
    ],
)
def test_a_term_or_a_code_is_trained_again(
    name: str, build: Any, loss: Any, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cured(name, monkeypatch, build, batches(), loss, optimizer=adam, steps=60).accepted


@pytest.mark.parametrize(
    "name",
    [
        "straight-through",
        "plain-function",
        "soft-choice",
        "pathwise-sample",
        "recorded-slope",
        "soft-ranks",
        "handed-weights",
    ],
)
def test_nothing_is_prescribed_where_nothing_is_cut(name: str) -> None:
    assert refused(name, plain())


def test_a_plain_function_keeps_the_value_and_has_the_gradient_of_a_whole_backward() -> None:
    torch.manual_seed(0)
    model, batch = sick.Functional(sick.Doubled), digits()[0]
    given = prescribed("plain-function", model, batch, F.cross_entropy)
    whole = copy.deepcopy(model)
    whole.function = sick.DoubledWhole
    carry_out(given, model, seed=0)
    assert torch.equal(model(batch[0]), whole(batch[0]))
    for one in (pickle.loads(pickle.dumps(model)), whole):
        F.cross_entropy(one(batch[0]), batch[1]).backward()
        assert one.below.weight.grad is not None
        model.below.weight.grad = one.below.weight.grad if model.below.weight.grad is None else model.below.weight.grad
        assert torch.allclose(model.below.weight.grad, one.below.weight.grad, rtol=1e-4, atol=1e-7)
    assert "apply" not in vars(torch.autograd.Function.__mro__[1])


def test_a_plain_function_is_not_prescribed_where_the_backward_is_whole() -> None:
    assert "no autograd function" in refused("plain-function", sick.Functional(sick.DoubledWhole))


def test_a_path_gives_the_value_of_the_sample_and_the_slope_of_rsample() -> None:
    torch.manual_seed(0)
    model, (x, _) = terms.Coded(lambda d: d.sample()), terms.to_itself()[0]
    given = prescribed("pathwise-sample", model, (x, x), terms.priced)
    path = copy.deepcopy(model)
    path.draw = lambda d: d.rsample()
    before = copy.deepcopy(model)
    carry_out(given, model, seed=0)
    for one in (model, path, before):
        torch.manual_seed(1)
        value = one(x)[0]
        if one is not before:
            value.square().mean().backward()
        else:
            torch.manual_seed(1)
            assert torch.allclose(value, model(x)[0], atol=1e-5)
    assert torch.allclose(model.deviation.weight.grad, path.deviation.weight.grad, rtol=1e-4, atol=1e-6)


def test_no_path_is_prescribed_for_an_action() -> None:
    said = refused("pathwise-sample", terms.Acting(), terms.rewarded, terms.to_itself()[0])
    assert said == "no trained layer takes a sample that could have a path"


def test_soft_ranks_keep_the_ranks_and_push_a_number_upwards() -> None:
    from photic.probes.calls import Call
    from photic.remedies.paths import Ranks

    def call(operation: str, function: Any, *args: Any) -> Call:
        return Call(operation, operation, "", "loss", "", None, function, args, {})

    scores = torch.tensor([[0.3], [-1.0], [2.0]], requires_grad=True)
    ranks = Ranks()
    twice = ranks.enter(call("argsort", torch.argsort, scores, 0)).argsort(0)
    value = ranks.leave(call("to", torch.Tensor.to, twice, torch.float32))
    assert value.flatten().tolist() == [1.0, 0.0, 2.0]
    value[0].sum().backward()
    assert scores.grad is not None and scores.grad[0] > 0.0 and scores.grad[1] < 0.0 and scores.grad[2] < 0.0


def test_no_soft_ranks_for_an_order_that_is_only_used_to_sort() -> None:
    def sorted_loss(output: Tensor, target: Tensor) -> Tensor:
        return (output[output[:, 0].argsort()] - output.mean(0)).abs().mean() + F.cross_entropy(output, target)

    assert refused("soft-ranks", plain(), sorted_loss) == "no ranks are made by sorting twice"


def steady() -> list[Any]:
    """Return batches whose first row, of which the weights are made, is the same."""
    x = torch.randn(640, 64, generator=torch.Generator().manual_seed(0))
    y = (x @ torch.randn(64, 10, generator=torch.Generator().manual_seed(1))).argmax(1)
    x = x.view(20, 32, 64)
    x[:, 0] = x[0, 0]
    return list(zip(x, y.view(20, 32), strict=True))


@pytest.mark.parametrize("hand", [sick.by_data, sick.by_copy, sick.by_copy_of_data])
def test_written_weights_are_handed_over(hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured(
        "handed-weights", monkeypatch, lambda: sick.Written(hand), steady(), F.cross_entropy, optimizer=adam, steps=60
    )
    assert "torch.func.functional_call" in treatment.paste


def test_handed_weights_keep_the_value_and_give_the_gradient_of_a_call() -> None:
    torch.manual_seed(0)
    model, batch = sick.Written(sick.by_copy), digits()[0]
    given = prescribed("handed-weights", model, batch, F.cross_entropy)
    called = copy.deepcopy(model)
    called.hand = sick.by_call
    carry_out(given, model, seed=0)
    for one in (model, called):
        F.cross_entropy(one(batch[0]), batch[1]).backward()
    assert torch.equal(model(batch[0]), called(batch[0]))
    assert torch.allclose(model.maker.weight.grad, called.maker.weight.grad, rtol=1e-5)


class Pointing(nn.Module):
    """The place of the largest of 64 scores on an 8 by 8 grid, as row and column."""

    def __init__(self) -> None:
        super().__init__()
        self.heat, self.adjust = nn.Linear(64, 64), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        top = self.heat(x).argmax(1)
        return self.adjust(torch.stack((top // 8, top % 8), 1).float() / 3.5 - 1.0)


def points() -> list[Any]:
    made: list[Any] = []
    for seed in range(40):
        draw = torch.Generator().manual_seed(seed)
        place = torch.randint(64, (32,), generator=draw)
        x = 0.3 * torch.randn(32, 64, generator=draw) + 2.0 * F.one_hot(place, 64)
        made.append((x, torch.stack((place // 8, place % 8), 1) / 3.5 - 1.0))
    return made


def test_a_soft_place_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured("soft-place", monkeypatch, Pointing, points(), F.mse_loss, optimizer=adam, steps=60)
    assert "value = scores.softmax(1) @ grid" in treatment.paste


def test_a_soft_place_is_the_mean_of_the_places() -> None:
    torch.manual_seed(0)
    model, (x, y) = Pointing(), points()[0]
    given = prescribed("soft-place", model, (x, y), F.mse_loss)
    share = model.heat(x).softmax(1).detach()
    grid = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
    expected = model.adjust(share @ grid / 3.5 - 1.0)
    carry_out(given, model, seed=0)
    assert torch.allclose(model(x), expected, atol=1e-5)
    with torch.no_grad():
        model.heat.weight.mul_(1e4)
    assert torch.allclose(model(x), Pointing.forward(model, x), atol=1e-5)  # one score stands alone: the place itself


def test_no_soft_place_for_a_name() -> None:
    assert refused("soft-place", sick.Spoken(values=False))

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score, self.table, self.head = nn.Linear(64, 6), nn.Embedding(6, 8), nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.table((self.score(x).argmax(1) + 1) % 6))

    assert refused("soft-place", Named()) == "no numbers are computed from the place alone"


class Chosen(nn.Module):
    """A row of a table by its score, or the nearest one."""

    def __init__(self, place: Any) -> None:
        super().__init__()
        self.score, self.table, self.head, self.place = (
            nn.Linear(64, 16),
            nn.Embedding(12, 16),
            nn.Linear(16, 10),
            place,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(self.place(torch.cdist(self.score(x), self.table.weight))).flatten(1))


@pytest.mark.parametrize(
    "place",
    [
        lambda away: (-away).topk(1, 1).indices.squeeze(1),
        lambda away: (-away).topk(1, 1)[1],
        lambda away: away.argmin(1),
        lambda away: away.min(1)[1],
    ],
    ids=["topk-squeezed", "topk", "argmin", "min"],
)
def test_a_choice_by_any_call_gets_the_gradient_of_a_softmax(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured(
        "soft-choice", monkeypatch, lambda: Chosen(place), digits(), F.cross_entropy, optimizer=adam, steps=60
    )
    assert ("(-scores)" in treatment.paste) == ("min" in treatment.record.before.findings[0].sites[0])


class Apart(torch.autograd.Function):
    """The same function with a context that is set up apart."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        return torch.tanh(x @ weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, *arrived: Any) -> Any:
        x, _, value = ctx.saved_tensors
        return None, x.t() @ (arrived[0] * (1.0 - value**2))


kept = sick.Doubled.apply


class Kept(sick.Functional):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(kept(torch.relu(self.below(x)), self.weight))


@pytest.mark.parametrize("build", [lambda: sick.Functional(Apart), lambda: Kept(sick.Doubled)], ids=["apart", "kept"])  # type: ignore[arg-type]
def test_a_plain_function_is_found_in_whatever_form_it_is_called(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cured("plain-function", monkeypatch, build, digits(), F.cross_entropy, optimizer=adam, steps=60).accepted


class Glimpse(nn.Module):
    """One of four windows of 16 numbers, by a score, is read; `take` says how it is taken."""

    def __init__(self, take: Any) -> None:
        super().__init__()
        self.score, self.head, self.take = nn.Linear(16, 1), nn.Linear(16, 10), take

    def forward(self, x: Tensor) -> Tensor:
        windows = x.view(len(x), 4, 16)
        return self.head(self.take(windows, self.score(windows)[..., 0]))


@pytest.mark.parametrize(
    "take",
    [
        lambda windows, score: windows[torch.arange(len(windows)), score.argmax(1)],
        lambda windows, score: windows[torch.arange(len(windows)), score.T.argmax(dim=0)],
        lambda windows, score: windows.gather(1, score.argmax(1)[:, None, None].expand(-1, 1, 16))[:, 0],
        lambda windows, score: windows.take_along_dim(score.max(1).indices[:, None, None], 1).squeeze(1),
    ],
)
def test_an_entry_of_its_own_that_is_chosen_gets_the_gradient_of_a_softmax(take: Any) -> None:
    torch.manual_seed(0)
    model, x = Glimpse(take), torch.randn(32, 64)
    before = model(x)
    given = prescribed("soft-choice", model, (x, x[:, 0].gt(0).long()), F.cross_entropy)
    carry_out(given, model, seed=0)
    torch.testing.assert_close(model(x), before, rtol=0.0, atol=1e-6)
    model(x).square().sum().backward()
    windows, score = x.view(32, 4, 16), model.score(x.view(32, 4, 16))[..., 0].detach().requires_grad_()
    soft = torch.einsum("nk,nkd->nd", score.softmax(1), windows)
    hard = take(windows, score.detach())
    model.head(hard + soft - soft.detach()).square().sum().backward()
    assert score.grad is not None
    torch.testing.assert_close(
        model.score.weight.grad[0], torch.einsum("nk,nkd->d", score.grad, windows), rtol=1e-4, atol=1e-5
    )
    assert "einsum('nk,nk...->n...'" in "\n".join(setup_lines(given))
