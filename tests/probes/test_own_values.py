"""What a model makes of its parameters alone is its weight: slices, transposes, masks, norms taken out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from tests.zoo import seeded

BATCH = (torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 4)


def graph_of(model: nn.Module) -> Graph:
    return Graph.of(measure(model, BATCH, F.cross_entropy))


class Product(nn.Module):
    """Two layers; the first weight is used in a form of its own."""

    def __init__(self, shape: tuple[int, ...], use: Any) -> None:
        super().__init__()
        self.weight, self.use, self.head = nn.Parameter(torch.randn(shape) / 3.0), use, nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.use(x, self.weight)))


MASK = (torch.rand(8, 8, generator=torch.Generator().manual_seed(1)) < 0.5).float()
FORMS = [
    ((8, 8), lambda x, w: x @ w),
    ((8, 8), lambda x, w: x @ w.T.T),
    ((3, 8, 8), lambda x, w: x @ w[1]),
    ((3, 8, 8), lambda x, w: x @ w.unbind(0)[2]),
    ((64,), lambda x, w: x @ w.view(8, 8)),
    ((8, 8), lambda x, w: x @ (2.0 * w)),
    ((8, 8), lambda x, w: F.linear(x, w * MASK)),
    ((8, 8), lambda x, w: torch.einsum("bi,io->bo", x, w.t().contiguous())),
    ((8, 8), lambda x, w: x @ torch.softmax(w, 0)),
]


@pytest.mark.parametrize("number", range(len(FORMS)))
def test_a_parameter_in_another_form_is_a_weight_and_feeds_nobody(number: int) -> None:
    shape, use = FORMS[number]
    graph = graph_of(seeded(lambda: Product(shape, use)))
    (first, last) = graph.layers()
    assert [p.name for p, _ in graph.parameters[first]] == ["weight"] and graph.site(last).name == "head"
    assert [source for source, _ in graph.feeders[first]] == [-1]
    assert graph.site(first).kind == "weight" and graph.main_path()[-1] == first


def test_the_gain_of_a_product_leaves_the_gradient_of_its_weight_out() -> None:
    plain = seeded(lambda: nn.Sequential(nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 8, bias=False)))

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = plain[0].weight, plain[2].weight

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.one.T) @ self.two.T

    first, second = graph_of(plain), graph_of(Written())
    for one, other in zip(first.layers(), second.layers(), strict=True):
        assert second.reading(other).gain == pytest.approx(first.reading(one).gain)
        facts, wanted = second.reading(other).weight, first.reading(one).weight
        assert facts is not None and wanted is not None
        assert (facts.fan_in, facts.fan_out) == (wanted.fan_in, wanted.fan_out)
        assert facts.variance == pytest.approx(wanted.variance)


def test_a_low_rank_correction_has_two_layers() -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Linear(8, 4).requires_grad_(False)
            self.a, self.b = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.zeros(4, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + x @ self.a.T @ self.b.T

    graph = graph_of(Adapted())
    assert [[p.name for p, _ in graph.parameters[index]] for index in graph.layers()] == [["a"], ["b"]]


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_the_way_down_does_not_end_in_what_a_parametrisation_computes(norm: Any) -> None:
    graph = graph_of(seeded(lambda: nn.Sequential(norm(nn.Linear(8, 8)), nn.Tanh(), norm(nn.Linear(8, 4)))))
    assert [graph.site(index).name for index in graph.layers()] == ["0", "2"]
    assert [graph.site(index).name for index in graph.main_path()][-3:] == ["2", "1", "0"]


def test_a_state_of_zeros_that_a_factor_multiplies_is_a_signal() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor, self.enter, self.head = nn.Parameter(torch.full((4,), 0.9)), nn.Linear(2, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = x.new_zeros(len(x), 4)
            for part in x.view(len(x), 4, 2).unbind(1):
                state = self.factor * state + self.enter(part)
            return self.head(state)

    graph = graph_of(Loop())
    first = next(site.order for site in graph.run.sites if site.operation == "mul")
    assert graph.consumers[first]


def test_a_table_that_numbers_look_up_begins_a_signal() -> None:
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Parameter(torch.randn(5, 8)), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.table[x[:, 0].long().clamp(0, 4)])

    graph = graph_of(Lookup())
    taken = next(site.order for site in graph.run.sites if site.operation == "getitem" and site.shape == (16, 8))
    assert graph.consumers[taken]
