"""Batches that are sorted by what is asked for: measured, found, cured by another order; and those that are in no order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.grouped import Grouped
from photic.remedies.catalogue.shuffled_batches import shuffled_batches
from photic.remedies.material import Material
from photic.remedies.rows import Dealt, dealt, joined

FOUND = load_digits(return_X_y=True)
X, Y = torch.tensor(FOUND[0], dtype=torch.float32) / 16.0, torch.tensor(FOUND[1])


def batches(order: Tensor, size: int = 64) -> list[tuple[Tensor, Tensor]]:
    return [(X[rows], Y[rows]) for rows in order.split(size) if len(rows) == size]


IN_ORDER = batches(Y.argsort(stable=True))
SHUFFLED = batches(torch.randperm(len(X), generator=torch.Generator().manual_seed(0)))


def share(targets: list[Tensor], of: int = 10**9) -> float | None:
    """Of batches with these targets, and inputs of their own, but that they come again after so many."""
    grouped = Grouped()
    for k, each in enumerate(targets):
        grouped.saw((torch.full((1,), float(k % of)), each))
    return grouped.share


def stack() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(2, 60), classes=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_a_random_order_has_no_share_whatever_the_size_of_its_batches(size: int, classes: int, seed: int) -> None:
    drawn = torch.randint(classes, (6_000,), generator=torch.Generator().manual_seed(seed))
    assert share(list(drawn.split(size))) == pytest.approx(0.0, abs=0.1)


def test_a_class_to_a_batch_is_all_of_it_and_what_never_varies_none() -> None:
    assert share([torch.full((16,), k % 3) for k in range(9)]) == pytest.approx(1.0)
    assert share([torch.zeros(16, dtype=torch.int64) for k in range(9)]) is None
    assert share([Y[:64], Y[64:128], Y[128:192]]) is None  # too few batches to say
    assert share([Y[16 * k : 16 * k + 4] for k in range(8)]) is None  # and too few examples


def test_a_batch_that_comes_again_counts_once() -> None:
    few = [y for _, y in IN_ORDER[:3]]
    assert share(few * 10, of=3) is None
    assert share([y for _, y in IN_ORDER] * 3, of=len(IN_ORDER)) == pytest.approx(share([y for _, y in IN_ORDER]))


def test_classes_count_as_their_vectors_do() -> None:
    vectors = [F.one_hot(y, 10).float() for _, y in IN_ORDER]
    assert share([y for _, y in IN_ORDER]) == pytest.approx(share(vectors))
    pairs = [torch.full((20, 1), k % 2.0) for k in range(8)]
    assert share(pairs) == pytest.approx(share([pair[:, 0] for pair in pairs])) == pytest.approx(1.0)


def test_what_holds_no_classes_is_left_out_a_series_that_drifts_too() -> None:
    images, none = [torch.rand(4, 3, 8, 8) for _ in range(8)], [None] * 8
    rising = list(torch.linspace(0.0, 1.0, 1_000).split(20))
    assert share(images) is share(none) is share([torch.full((8,), torch.nan)] * 8) is share(rising) is None  # type: ignore[arg-type]


def test_a_folder_after_the_other_is_found_and_shuffling_cures_it() -> None:
    treatment = photic.treat(stack, IN_ORDER, F.cross_entropy, optimizer=sgd, steps=150, workers=1)
    assert [f.problem for f in treatment.record.before.findings if f.severity != "info"] == ["sorted-batches"]
    assert treatment.remedy == "shuffled-batches"
    assert "shuffle=True" in treatment.paste
    after = treatment.record.after
    assert after is not None and not [f for f in after.findings if f.severity != "info"]
    setup = treatment.setup(seed=3)
    for epoch in range(4):
        del epoch
        for inputs, targets in setup.batches():
            setup.optimizer.zero_grad()
            F.cross_entropy(setup.model(inputs), targets).backward()
            setup.optimizer.step()
    assert float((setup.model(X).argmax(1) == Y).float().mean()) > 0.9


def test_a_random_order_is_not_accused_and_the_remedy_refuses_it() -> None:
    checkup = photic.check(stack(), SHUFFLED, F.cross_entropy, sgd)
    assert "sorted-batches" not in {finding.problem for finding in checkup.findings}
    assert checkup.run.grouped == pytest.approx(0.0, abs=0.05)
    assert isinstance(shuffled_batches(Graph.of(checkup.run)), str)


def test_real_and_made_ones_in_turn_are_no_fault_where_they_are_told_apart() -> None:
    draw = torch.Generator().manual_seed(0)
    kinds = [(torch.randn(32, 8, generator=draw) + 3.0 * (k % 2), torch.full((32, 1), k % 2.0)) for k in range(20)]
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    checkup = photic.check(
        model, kinds, F.binary_cross_entropy_with_logits, lambda m: torch.optim.Adam(m.parameters(), 1e-2)
    )
    assert (checkup.run.grouped or 0.0) > 0.9
    assert "sorted-batches" not in {finding.problem for finding in checkup.findings}


def test_of_sorted_batches_something_of_each_is_held_back() -> None:
    order = Y.argsort(stable=True)
    rest = (X[order[-5:]], Y[order[-5:]])  # as a loader ends that drops nothing
    plain = Material.collect(stack, [*IN_ORDER, rest], F.cross_entropy, sgd, steps=100)
    assert {int(y) for _, targets in plain.held_back for y in targets} < set(range(10))
    material = plain.of_each
    assert {int(y) for _, targets in material.held_back for y in targets} == set(range(10))
    counted = sum(len(y) for _, y in (*material.training, *material.held_back))
    assert counted == sum(len(y) for _, y in IN_ORDER) + 5
    assert material.shuffled.shuffled is material.shuffled


def test_batches_that_cannot_be_cut_are_neither_parted_nor_dealt() -> None:
    """The nodes of a graph see each other: its matrix has a row and a column for each."""

    class Hop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor, links: Tensor) -> Tensor:
            return self.head(links @ x)

    graphs = [((torch.randn(16, 4), torch.eye(16)), torch.full((16,), k % 2)) for k in range(8)]
    material = Material.collect(Hop, graphs, F.cross_entropy, sgd, steps=20)
    assert material.of_each is material and material.shuffled is material


def test_dealing_anew_loses_no_example_and_keeps_the_sizes() -> None:
    uneven = [*IN_ORDER[:5], (X[:10], Y[:10])]
    for again in (dealt(uneven), tuple(Dealt(lambda: iter(uneven))())):
        assert again is not None
        assert [len(y) for _, y in again] == [64] * 5 + [10]
        sums = [torch.cat([x.sum(1) + 100.0 * y for x, y in part]).sort().values for part in (uneven, again)]
        torch.testing.assert_close(*sums)
        assert any(set(one[1].tolist()) != set(other[1].tolist()) for one, other in pairwise(again[:3]))


def test_each_time_is_another_order_and_no_more_is_held_than_allowed() -> None:
    taken: list[int] = []

    def watched() -> Iterator[tuple[Tensor, Tensor]]:
        for k, batch in enumerate(SHUFFLED):
            taken.append(k)
            yield batch

    loader = Dealt(watched, most=4 * SHUFFLED[0][0].nbytes)
    stream = loader()
    first = next(stream)[1]
    assert len(taken) == 4
    assert len([first, *(y for _, y in stream)]) == len(SHUFFLED)
    assert not torch.equal(first, next(loader())[1])


@pytest.mark.parametrize(
    "unlike",
    [
        [(torch.zeros(4, 3), torch.zeros(4)), (torch.zeros(4, 2), torch.zeros(4))],
        [(torch.zeros(4, 3), torch.zeros(3)), (torch.zeros(4, 3), torch.zeros(3))],
        [{"x": torch.zeros(4, 3)}, {"y": torch.zeros(4, 3)}],
        [(torch.zeros(4, 3), torch.zeros(4)), torch.zeros(4, 3)],
        [(["a", "b"], torch.zeros(2)), (["c", "d"], torch.zeros(2))],
    ],
)
def test_what_is_of_no_one_make_is_not_joined(unlike: list[object]) -> None:
    assert joined(unlike) is None and dealt(unlike) is None
    assert list(Dealt(lambda: iter(unlike))()) == unlike


def test_dicts_and_lists_are_joined_as_they_are() -> None:
    parts = [{"x": [torch.full((2, 3), k), torch.full((2,), k)], "name": "digits"} for k in range(3)]
    whole = joined(parts)
    assert whole["x"][0].shape == (6, 3) and whole["x"][1].tolist() == [0, 0, 1, 1, 2, 2] and whole["name"] == "digits"
