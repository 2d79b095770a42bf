"""What looks like a slip and is none: nothing is said, or said as information; and treated networks that are copied, or given other sizes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.iterators import used_up
from photic.remedies.carry_out import carry_out
from photic.remedies.prescription import Prescription
from photic.remedies.substitutes import substitutes_of
from tests.remedies.test_lost_on_the_way import Token, adam, columns, dealt, drawn, signs
from tests.remedies.test_never_run import Heads, Positions, horizons, places
from tests.remedies.test_structure import CATALOGUE
from tests.zoo import seeded


class Keeps(nn.Linear):
    """A layer that keeps something beside its weights."""

    def __init__(self, kept: Any) -> None:
        super().__init__(5, 2)
        self.kept = kept(self) if callable(kept) else kept


def own_noise(module: nn.Module) -> Iterator[float]:
    while module.training:
        yield 0.01


@pytest.mark.parametrize(
    "kept",
    [
        map(float, itertools.count()),
        zip(itertools.count(), itertools.repeat(1), strict=False),
        iter(range(10**9)),
        own_noise,
        iter([1, 2]),
    ],
)
def test_endless_iterators_and_generators_of_numbers_are_not_run_and_not_accused(kept: Any) -> None:
    model = Keeps(kept)
    assert used_up(model) == ()
    checkup = photic.check(model, columns(1.0), F.cross_entropy, adam, steps=0)
    assert "idle-layer" not in [f.problem for f in checkup.findings]


@pytest.mark.parametrize("wrapped", [iter, enumerate, reversed, lambda layers: map(nn.Module.train, layers)])
def test_iterators_over_layers_are_known_without_being_run(wrapped: Any) -> None:
    model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 2))
    model.rounds = wrapped(nn.ModuleList(model.children()))
    assert used_up(model) == ("rounds",) and len(list(model.rounds)) == 2


def test_scores_over_places_are_no_scrambled_rows() -> None:
    net = partial(nn.Conv2d, 1, 16, 3, padding=1)
    x = drawn(64, 1, 4, 4)
    maps = dealt(x, x.flatten(1).argsort(1), 16)

    def over_classes(output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output.reshape(len(y), 16, -1), y)

    def over_places(output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output.reshape(-1, 16), y.reshape(-1))

    for loss in (over_classes, over_places):
        assert "mixed-examples" not in [f.problem for f in photic.check(seeded(net), maps, loss, adam).findings]


class Zoomed(nn.Module):
    """An image that is mostly 0 is sampled a little beyond its edges, by learned places."""

    def __init__(self) -> None:
        super().__init__()
        self.where, self.head = nn.Linear(64, 6), nn.Linear(64, 2)
        nn.init.zeros_(self.where.weight)
        with torch.no_grad():
            self.where.bias.copy_(torch.tensor([1.3, 0.0, 0.0, 0.0, 1.3, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.where(x.flatten(1)).view(-1, 2, 3), list(x.shape), align_corners=False)
        return self.head(F.grid_sample(x, grid, align_corners=False).flatten(1))


def test_a_transformer_of_sparse_images_is_not_idle() -> None:
    x = torch.relu(drawn(256, 1, 8, 8) - 1.0)
    found = photic.check(seeded(Zoomed), dealt(x, (x.sum((1, 2, 3)) > 5.0).long()), F.cross_entropy, adam).findings
    assert "idle-layer" not in [f.problem for f in found]


class Stepped(nn.Module):
    """One step of a diffusion for a whole batch, and its row at every place on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.body = nn.Embedding(10, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.tanh(self.body(x + self.step(x[0, 0, :1].abs().mul(3).long().clamp(0, 9)))))


def test_a_row_for_all_places_is_no_more_than_information() -> None:
    x = drawn(256, 4, 8)
    found = photic.check(seeded(Stepped), dealt(x, drawn(256, 4, 8).flip(0)), F.mse_loss, adam).findings
    assert all(f.severity == "info" for f in found if f.problem == "idle-layer")


def test_one_unused_matrix_is_said_in_the_singular() -> None:
    model = nn.Sequential(nn.Linear(5, 2))
    model.other = nn.Linear(5, 2)
    model.forward = lambda x: model[0](x)  # type: ignore[method-assign]
    found = photic.check(model, columns(1.0), F.cross_entropy, adam).findings
    assert any("holds other.weight, and the forward does not use it" in f.reason for f in found), found


def test_places_of_other_lengths_get_the_rows_of_their_own() -> None:
    model = seeded(partial(Positions, right=False))
    given = CATALOGUE["every-row"].prescribe(Graph.of(photic.check(model, places(), F.cross_entropy, adam).run))
    assert isinstance(given, Prescription)
    carry_out(given, model, seed=0)
    right = seeded(partial(Positions, right=True))
    right.load_state_dict(model.state_dict())
    for length in (3, 8):
        words = places()[0][0][..., :length]
        torch.testing.assert_close(model(words), right(words))


def test_a_treated_network_can_be_copied_after_a_forward() -> None:
    model = seeded(partial(Token, right=False))
    given = CATALOGUE["own-part"].prescribe(Graph.of(photic.check(model, signs(), F.cross_entropy, adam).run))
    assert isinstance(given, Prescription)
    carry_out(given, model, seed=0)
    x = signs()[0][0]
    torch.testing.assert_close(copy.deepcopy(model)(x), model(x))
    torch.testing.assert_close(copy.deepcopy(model)(x), model(x))


def test_calls_of_the_last_head_take_the_buffers_of_their_own() -> None:
    class Normed(Heads):
        def __init__(self, *, right: bool) -> None:
            super().__init__(right=right)
            self.heads = nn.ModuleList([nn.Sequential(nn.Linear(32, 1), nn.BatchNorm1d(1)) for _ in range(3)])

    model = seeded(partial(Normed, right=False))
    given = CATALOGUE["own-calls"].prescribe(Graph.of(photic.check(model, horizons(), F.mse_loss, adam).run))
    assert isinstance(given, Prescription)
    carry_out(given, model, seed=0)
    for x, _ in horizons():
        model(x)
    means = [float(model.heads[k][1].running_mean) for k in range(3)]
    assert 0.0 not in means and len(set(means)) == 3


def test_a_class_that_weighs_nothing_still_does() -> None:
    turned = substitutes_of(Prescription(turned_weights=("<loss>/cross_entropy#1",)))["<loss>/cross_entropy#1"]
    seen: list[Tensor] = []

    class Called:
        operation, args = (
            "cross_entropy",
            (drawn(4, 3), torch.zeros(4, dtype=torch.long), torch.tensor([0.0, 0.2, 0.8])),
        )
        kwargs: dict[str, Any] = {}  # noqa: RUF012

        @staticmethod
        def function(*args: Any, **_: Any) -> Tensor:
            seen.append(args[2])
            return args[0].sum()

    turned(Called())  # type: ignore[arg-type]
    assert seen[0][0] == 0.0 and seen[0][1] > seen[0][2] > 0.0
