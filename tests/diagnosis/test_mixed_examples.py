"""Examples that are mixed: an axis taken for another, rows that come back in another order; and who mixes on purpose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.mixing import mixing
from photic.remedies.catalogue.batch_first import batch_first
from tests.zoo import seeded

DRAW = torch.Generator().manual_seed(0)
FIRST = [(x, x[:, 0, :3].argmax(1)) for x in (torch.randn(32, 6, 4, generator=DRAW) for _ in range(20))]
FLAT = [(x, x[:, :3].argmax(1)) for x in (torch.randn(32, 12, generator=DRAW) for _ in range(20))]


class Reader(nn.Module):
    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(4, 24, batch_first=batch_first), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


class Folded(nn.Module):
    """Takes channels before time by `transpose`, or only says so by `view`, which mixes examples where the batch comes second."""

    def __init__(self, *, view: bool) -> None:
        super().__init__()
        self.body, self.view = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 3)), view

    def forward(self, x: Tensor) -> Tensor:
        timed = x.transpose(0, 1).contiguous()  # [time, batch, features]
        back = timed.view(len(x), 6, 4) if self.view else timed.transpose(0, 1)
        return self.body(back.flatten(1))


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x[x[:, 0].argsort()])


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def problems(model: nn.Module, batches: Any) -> list[str]:
    found = photic.check(model, batches, F.cross_entropy, adam).findings
    return [finding.problem for finding in found if finding.severity != "info"]


@pytest.mark.parametrize(
    ("build", "batches"),
    [(lambda: Reader(batch_first=False), FIRST), (lambda: Folded(view=True), FIRST), (Sorted, FLAT)],
)
def test_answers_that_belong_to_other_examples_are_found(build: Any, batches: Any) -> None:
    assert problems(seeded(build), batches)[:1] == ["mixed-examples"]


@pytest.mark.parametrize("build", [lambda: Reader(batch_first=True), lambda: Folded(view=False)])
def test_the_same_networks_with_their_axes_right_are_not(build: Any) -> None:
    model = seeded(build)
    assert mixing(model, FIRST[0]).mixed == pytest.approx(0.0, abs=1e-5)
    assert "mixed-examples" not in problems(model, FIRST)


def test_batch_normalisation_does_not_mix_while_it_evaluates() -> None:
    model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))
    running = model.get_buffer("1.running_mean").clone()
    assert mixing(model, FLAT[0]).mixed == pytest.approx(0.0, abs=1e-5)
    assert model.training and torch.equal(model.get_buffer("1.running_mean"), running)


def test_a_graph_whose_nodes_are_the_examples_is_not_asked() -> None:
    class Nodes(nn.Module):
        near: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("near", torch.eye(32).roll(1, 0))
            self.layer = nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.near @ x)

    assert mixing(Nodes(), FLAT[0]).mixed is None


def test_what_every_answer_takes_from_the_whole_batch_has_no_order() -> None:
    class Standardised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer((x - x.mean(0)) / x.std(0))
            return x + torch.softmax(x @ x.mT, 1) @ x

    assert mixing(Standardised(), FLAT[0]).mixed == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("answer", [lambda x: x.sum(), lambda x: x + torch.randn(1), lambda x: x[:3]])
def test_who_cannot_be_asked_is_not_accused(answer: Any) -> None:
    class Odd(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return answer(x * (1.0 if x.shape[1] > 100 else float(self.calls)))

    state = torch.random.get_rng_state()
    assert mixing(Odd(), FLAT[0]).mixed is None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_batch_first_cures_a_layer_that_took_the_batch_for_time_and_is_refused_elsewhere() -> None:
    treatment = photic.treat(
        lambda: Reader(batch_first=False), FIRST, F.cross_entropy, optimizer=adam, steps=120, seeds=(0,)
    )
    assert treatment.remedy == "batch-first" and "batch_first=True" in (
        treatment.patch or (treatment.patch or treatment.paste)
    ), treatment.report()


def test_nothing_but_what_brings_the_rows_back_is_a_cure() -> None:
    treatment = photic.treat(Sorted, FLAT, F.cross_entropy, optimizer=adam, steps=60, seeds=(0,))
    assert treatment.remedy in ("", "answers-in-order"), treatment.report()


def test_what_is_made_with_its_batch_first_needs_no_remedy() -> None:
    graph = Graph.of(photic.measure(Reader(batch_first=True), FIRST[0], F.cross_entropy))
    assert batch_first(graph) == "no recurrent layer or attention takes the first axis for time"


@pytest.mark.parametrize("layout", ["n n", "n n k", "n k n"])
def test_scores_of_all_pairs_go_with_their_rows_and_columns(layout: str) -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = nn.Linear(FLAT[0][0].shape[1], 6)

        def forward(self, x: Tensor) -> Tensor:
            code = self.code(x)
            scores = code @ code.T
            more = torch.stack([scores, scores.tanh() * code[:, :1]], -1)
            return {"n n": scores, "n n k": more, "n k n": more.transpose(1, 2)}[layout]

    assert mixing(seeded(Pairs), FLAT[0]).mixed == pytest.approx(0.0, abs=1e-5)


def test_pairs_of_rows_that_were_sorted_are_mixed_all_the_same() -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = nn.Linear(FLAT[0][0].shape[1], 6)

        def forward(self, x: Tensor) -> Tensor:
            code = self.code(x[x[:, 0].argsort()])
            return code @ code.T

    mixed = mixing(seeded(Sorted), FLAT[0]).mixed
    assert mixed is not None and mixed > 0.5
