"""Substitution: the calls that are asked for are those that an audit names, and no others are touched."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.audit import measure
from photic.probes.calls import Call
from photic.probes.generators import seeded
from photic.probes.substitution import Substitution
from photic.probes.whole import Whole


class Functional(nn.Module):
    """Functional activations in a loop, layers in a plain list, a mask and a whole number made of the signal."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(6, 6) for _ in range(3)]
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        strongest = x.argmax(1)
        chosen = strongest + 0  # a whole number made of a signal: the audit names this sum
        x = x.masked_fill(x > 0.9, 0.0) + 0.1 * chosen[:, None]
        return self.head(x + x.max(1, keepdim=True).values)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.block(self.table(tokens % 7)).mean(1))


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(2, 5)
        self.head = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), 5)
        for step in x.reshape(len(x), 3, 2).unbind(1):
            h, c = self.cell(step, (h, c))
        return self.head(h)


INPUTS: dict[Callable[[], nn.Module], Callable[[], Tensor]] = {
    Functional: lambda: torch.randn(4, 6),
    Attends: lambda: torch.randint(0, 50, (4, 5)),
    Steps: lambda: torch.randn(4, 6),
}


def audited(model: nn.Module, x: Tensor) -> list[str]:
    """Return the names of a network's sites, in order."""
    run = measure(model, (x, torch.zeros(len(x), dtype=torch.int64)), F.cross_entropy)
    return [site.name for site in run.sites if not site.name.startswith("<loss>")]


def seen(model: nn.Module, x: Tensor, names: list[str]) -> list[str]:
    """Return the names of the calls that are handed over where these are asked for."""
    found: list[str] = []

    def noted(call: Call) -> Any:
        found.append(call.name)
        return call.run()

    whole = Whole()
    whole.enter(x)
    with Substitution(model, dict.fromkeys(names, noted)).at_work(concerns=whole.concerns):
        model(x)
    return found


@pytest.mark.parametrize("make", INPUTS)
def test_every_site_of_an_audit_can_be_substituted_alone(make: Callable[[], nn.Module]) -> None:
    with seeded(0):
        model, x = make(), INPUTS[make]()
    names = audited(model, x)
    assert len(names) > 5
    assert seen(model, x, names) == names
    for name in names:
        assert seen(model, x, [name]) == [name]


def doubled(call: Call) -> Any:
    return 2.0 * call.run()


def test_a_copy_substitutes_in_its_own_modules() -> None:
    with seeded(0):
        model, x = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), torch.randn(3, 2)
    substitution = Substitution(model, {"1": doubled})

    def answer(changed: Substitution, network: nn.Module) -> Tensor:
        with changed.at_work():
            return network(x)

    expected = 2.0 * model(x)
    assert torch.equal(answer(substitution, model), expected)
    kept, network = copy.deepcopy((substitution, model))
    assert torch.equal(answer(kept, network), expected)
    kept, network = pickle.loads(pickle.dumps((substitution, model)))
    assert torch.equal(answer(kept, network), expected)


def test_a_module_that_comes_later_is_known_by_its_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    substitution, x = Substitution(model, {"1": doubled}), torch.ones(1, 2)
    for _ in range(2):
        with substitution.at_work():
            answered = model(x)
        assert torch.equal(answered, 2.0 * model(x))
        model[1] = nn.Linear(2, 1)
