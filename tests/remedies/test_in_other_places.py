"""Faults in formulas, options and types: each found where it is, cured by what it is for, and a healthy twin left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.calls import Call
from photic.remedies.factors import averaged
from photic.remedies.finite import finite
from photic.remedies.surgery import compute_in, loss_in
from photic.remedies.treat import treat
from tests.remedies.lost import adam
from tests.remedies.test_catalogue import CATALOGUE


def waves(count: int = 16, rows: int = 32) -> list[tuple[Tensor, Tensor]]:
    """Return batches of three kinds of waves."""
    generator = torch.Generator().manual_seed(5)
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(count):
        kind = torch.randint(3, (rows,), generator=generator)
        phase = 6.28 * torch.rand(rows, 1, generator=generator)
        time = torch.arange(16.0)
        noise = 0.3 * torch.randn(rows, 16, generator=generator)
        batches.append((torch.sin((0.4 + 0.5 * kind)[:, None] * time + phase) + noise, kind))
    return batches


WAVES = waves()
DOUBTFUL = [(x, torch.where(x[:, 0] * 1e3 % 7 < 1.0, 0, y)) for x, y in WAVES]  # a seventh is called the first kind
COUNTS = [(x, (20.0 + 30.0 * y + 5.0 * x[:, :1].squeeze(1)).clamp_min(0.0).round()) for x, y in WAVES]


def poisson(rate: Tensor, counts: Tensor) -> Tensor:
    return F.poisson_nll_loss(rate, counts, log_input=False, full=True)


class SoftPlusByWhere(nn.Module):
    """A softplus whose unused branch overflows, and hands back 0 times infinity."""

    def __init__(self, link: Callable[[Tensor], Tensor] = lambda z: torch.where(z > 20, z, torch.log1p(torch.exp(z)))):
        super().__init__()
        self.first, self.second, self.link = nn.Linear(16, 32), nn.Linear(32, 1), link

    def forward(self, x: Tensor) -> Tensor:
        return self.link(60.0 * self.second(torch.tanh(self.first(x))).squeeze(1) + 60.0) + 1e-3


class Products(nn.Module):
    """The forward algorithm of a hidden Markov model without scaling: the product of 20 probabilities is 0 in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.moves, self.shows = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4, 300))

    def forward(self, seen: Tensor) -> Tensor:
        moves, shows = self.moves.softmax(1), self.shows.softmax(1)[:, seen].permute(1, 2, 0)
        state = shows[:, 0] / 4.0
        for step in range(1, seen.shape[1]):
            state = (state @ moves) * shows[:, step]
        return state.sum(1).log() / seen.shape[1]


def sequences() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    start = torch.randint(12, (8, 16, 1), generator=generator)
    return [(one + torch.arange(20) // 3, torch.zeros(16)) for one in start]


def minus_mean(output: Tensor, _: Tensor) -> Tensor:
    return -output.mean()


class Dropping(nn.Module):
    """The share to keep where torch asks for the share to drop."""

    def __init__(self, share: float = 0.98) -> None:
        super().__init__()
        self.first, self.second, self.share = nn.Linear(16, 24), nn.Linear(24, 3), share

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.dropout(torch.relu(self.first(x)), self.share, self.training))


class CentredThenMean(nn.Module):
    """A mean over what a normalisation, whose shift is learned, has just centred."""

    def __init__(self, last: type[nn.Module] = nn.InstanceNorm1d) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(1, 12, 5), nn.Conv1d(12, 12, 3)
        self.normal, self.head = last(12, affine=True), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.normal(self.second(torch.relu(self.first(x[:, None]))))
        return self.head(F.adaptive_avg_pool1d(maps, 1).squeeze(2))


class LoudBlock(nn.Module):
    """Two branches, beside a stream that is multiplied by a number at each."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.one, self.other, self.factor = nn.Linear(16, 16), nn.Linear(16, 16), factor

    def forward(self, x: Tensor) -> Tensor:
        x = self.factor * x + torch.relu(self.one(x))
        return self.factor * x + torch.tanh(self.other(x))


def loud_stream(factor: float = 3.0) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), *[LoudBlock(factor) for _ in range(4)], nn.Linear(16, 3))


class MadeWeights(nn.Module):
    """Weights that a network makes of a code, wrapped as parameters, which have no history."""

    def __init__(self, wrap: bool = True) -> None:
        super().__init__()
        self.maker, self.bias = (
            nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 16 * 3)),
            nn.Parameter(torch.zeros(3)),
        )
        self.wrap = wrap

    def forward(self, x: Tensor) -> Tensor:
        weights = self.maker(x).view(-1, 16, 3)
        weights = nn.Parameter(weights) if self.wrap else weights
        return torch.bmm(x[:, None], weights).squeeze(1) + self.bias


class Hops(nn.Module):
    """Rows of a graph that hop after hop add up those of their neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, links: Tensor, x: Tensor) -> Tensor:
        x = start = self.second(torch.relu(self.first(x)))
        for _ in range(8):
            x = 0.8 * (links @ x) + 0.2 * start
        return x.transpose(1, 2)


def graphs(*, mean: bool = False) -> list[tuple[tuple[Tensor, Tensor], Tensor]]:
    """Return graphs of three kinds of nodes, of which each is linked to its own kind for the most part."""
    generator, batches = torch.Generator().manual_seed(2), list[tuple[tuple[Tensor, Tensor], Tensor]]()
    kinds = torch.randn(3, 6, generator=generator)
    for _ in range(12):
        kind = torch.randint(3, (8, 24), generator=generator)
        near = torch.where(kind[:, :, None] == kind[:, None], 0.6, 0.1)
        links = (torch.rand(8, 24, 24, generator=generator) < near).float() + torch.eye(24)
        links = links / links.sum(2, keepdim=True) if mean else links
        batches.append(((links, kinds[kind] + torch.randn(8, 24, 6, generator=generator)), kind))
    return batches


CURED: list[tuple[str, str, str, Any, Any, Any]] = [
    ("guarded-argument", "non-finite", "/exp#1", SoftPlusByWhere, COUNTS, poisson),
    ("double-precision", "non-finite", "/log#1", Products, sequences(), minus_mean),
    ("swapped-dropout", "class-prior-only", "/dropout#1", Dropping, WAVES, F.cross_entropy),
    ("uncentred-mean", "class-prior-only", "/adaptive_avg_pool1d#1", CentredThenMean, WAVES, F.cross_entropy),
    ("unscaled-stream", "exploding-gradient", "1/add#1", loud_stream, DOUBTFUL, F.cross_entropy),
    ("plain-weights", "severed-gradient", "/view#1", MadeWeights, WAVES, F.cross_entropy),
    ("averaged-hops", "exploding-in-time", "/matmul#1", Hops, graphs(), F.cross_entropy),
]


@pytest.mark.parametrize(("remedy", "problem", "site", "build", "batches", "loss"), CURED, ids=[c[0] for c in CURED])
def test_it_is_found_and_cured(remedy: str, problem: str, site: str, build: Any, batches: Any, loss: Any) -> None:
    treatment = treat(build, batches, loss, optimizer=adam, steps=100, workers=1, seeds=(0,))
    before = treatment.record.before
    found = any(f.problem == problem and site in f.sites for f in before.findings)
    late = any("breaks off in step" in note and f": {site} " in note for note in treatment.record.notes)
    assert found or late, treatment.report()
    assert remedy in treatment.remedy.split(" + "), treatment.report()
    assert treatment.patch or treatment.paste


HEALTHY: list[tuple[Any, Any, Any]] = [
    (lambda: SoftPlusByWhere(F.softplus), COUNTS, poisson),
    (lambda: Dropping(0.2), WAVES, F.cross_entropy),
    (lambda: CentredThenMean(nn.BatchNorm1d), WAVES, F.cross_entropy),
    (lambda: loud_stream(1.0), DOUBTFUL, F.cross_entropy),
    (lambda: MadeWeights(False), WAVES, F.cross_entropy),
    (Hops, graphs(mean=True), F.cross_entropy),
]


@pytest.mark.parametrize(
    ("build", "batches", "loss"), HEALTHY, ids=["softplus", "dropout", "mean", "stream", "weights", "hops"]
)
def test_nothing_is_said_of_the_healthy_twin(build: Any, batches: Any, loss: Any) -> None:
    torch.manual_seed(0)
    model = build()
    checked = photic.check(model, batches, loss, adam(model))
    assert not {f.problem for f in checked.findings if f.severity != "info"}, checked.report()
    for remedy, *_ in CURED:
        assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(checked.run)), str), remedy


class Sums(nn.Module):
    """Residual sums of large weights without a normalisation: smaller branches cure them, at another learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.entrance, self.head = nn.Linear(16, 32), nn.Linear(32, 3)
        self.one, self.other = (nn.ModuleList(nn.Linear(32, 32) for _ in range(4)) for _ in range(2))
        for layer in (*self.one, *self.other):
            nn.init.normal_(layer.weight, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entrance(x)
        for one, other in zip(self.one, self.other, strict=True):
            x = x + other(torch.relu(one(x)))
        return self.head(x)


def test_what_takes_the_cause_away_and_breaks_off_is_tried_at_another_rate() -> None:
    def fast(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=0.3)

    treatment = treat(Sums, DOUBTFUL, F.cross_entropy, optimizer=fast, steps=30, workers=1, seeds=(0,))
    assert "tested-learning-rate" in treatment.remedy and " + " in treatment.remedy, treatment.report()
    alone = treatment.remedy.split(" + ")[0]
    assert next(t for t in treatment.trials if t.remedy == alone).outcome == "refused"


def test_numbers_stay_in_double_precision() -> None:
    """New numbers, and casts to float32 in the forward, too; the default type of the process is what it was."""

    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.float() + torch.zeros(2) + x.to(torch.float32)) * torch.ones(1)

    model = Casting()
    compute_in(model, torch.float64)
    loss = loss_in(F.binary_cross_entropy_with_logits, torch.float64)
    assert model(torch.ones(3, 2)).dtype == torch.float64
    assert loss(model(torch.ones(3, 2)), torch.ones(3, 1)).dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32


def test_hops_are_means_of_the_rows_or_of_the_columns() -> None:
    links, x = torch.rand(4, 4), torch.rand(4, 2, requires_grad=True)
    by_rows = averaged(Call("/x#1", "matmul", "", "model", "", None, torch.matmul, (links, x), {}))
    torch.testing.assert_close(by_rows, (links / links.sum(1, keepdim=True)) @ x)
    by_columns = averaged(Call("/x#1", "matmul", "", "model", "", None, torch.matmul, (x.T, links), {}))
    torch.testing.assert_close(by_columns, x.T @ (links / links.sum(0, keepdim=True)))


def test_an_infinite_number_becomes_the_nearest_and_one_that_comes_from_elsewhere_stays() -> None:
    def call_of(function: Any, *args: Any) -> Call:
        return Call("/x#1", "x", "", "model", "", None, function, args, {})

    x = torch.tensor([0.0, 2.0, 4.0], requires_grad=True)
    torch.testing.assert_close(finite(call_of(torch.reciprocal, x)), torch.tensor([0.5, 0.5, 0.25]))
    broken = torch.tensor([math.nan, 2.0])
    assert finite(call_of(torch.square, broken.requires_grad_()))[0].isnan()


def test_a_logit_is_kept_from_its_ends() -> None:
    class Pixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.logit(x.clamp(0.0, 1.0)))

    torch.manual_seed(0)
    model = Pixels()
    run = photic.check(model, WAVES, F.cross_entropy, adam(model)).run
    assert isinstance(CATALOGUE["finite-values"].prescribe(Graph.of(run)), str)
    ((low, high),) = CATALOGUE["guarded-argument"].prescribe(Graph.of(run)).guards.values()
    assert low == pytest.approx(1e-7) and high == pytest.approx(1.0 - 1e-7)


def test_a_dropout_that_is_a_module_is_given_its_share() -> None:
    build = lambda: nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Dropout(0.97), nn.Linear(24, 3))  # noqa: E731
    treatment = treat(build, WAVES, F.cross_entropy, optimizer=adam, steps=100, workers=1, seeds=(0,))
    assert treatment.remedy == "swapped-dropout" and "model.get_submodule('2').p = 0.03" in treatment.paste, (
        treatment.report()
    )
    model = build()
    exec(treatment.paste, {"model": model})
    assert model[2].p == 0.03


class Recurrent(nn.Module):
    """A dropout below and above a recurrent layer, whose gradient fades in time as that of every fresh one does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps = F.dropout(x[:, :, None], 0.9, self.training)
        return self.head(F.dropout(self.layer(steps)[0][:, -1], 0.9, self.training))


def test_what_drowns_the_signal_is_named_before_what_fades() -> None:
    torch.manual_seed(0)
    model = Recurrent()
    checked = photic.check(model, WAVES, F.cross_entropy, adam(model))
    first, *_ = checked.findings
    assert (first.problem, first.severity, first.sites) == (
        "class-prior-only",
        "critical",
        ("/dropout#1", "/dropout#2"),
    )
