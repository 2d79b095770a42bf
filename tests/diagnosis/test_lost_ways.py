"""Gradients lost where torch is left, in checkpoints and with replaced layers; batches of one example; epsilons of other optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import photic
from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.frozen_layers import unlearned_parameters
from photic.records.findings import Checkup
from tests import zoo
from tests.zoo import seeded

Between = Callable[[Tensor], Tensor]


class Coded(nn.Module):
    """An encoder, something in between, and a head; `extra` is a part whose output is used for nothing."""

    def __init__(self, between: Between, *, extra: bool = False) -> None:
        super().__init__()
        self.encoder, self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8)), nn.Linear(8, 10)
        self.extra = nn.Linear(64, 8) if extra else None
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        if self.extra is not None:
            self.extra(x)
        return self.head(self.between(self.encoder(x)))


def check(model: nn.Module, optimizer: Any = None, batches: Any = None) -> Checkup:
    made = optimizer or (lambda module: torch.optim.Adam(module.parameters(), 1e-2))
    return photic.check(model, batches or [zoo.vectors(seed) for seed in range(4)], F.cross_entropy, made)


OUTSIDE: dict[str, Between] = {
    "list": lambda code: torch.tensor(code.tolist()),
    "numpy": lambda code: torch.from_numpy(code.detach().numpy().copy()),
    "numbers": lambda code: torch.stack([torch.tensor([value.item() for value in row]) for row in code]),
}


@pytest.mark.parametrize("between", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_signal_that_leaves_torch_and_comes_back_is_a_severed_gradient(between: Between) -> None:
    found = check(seeded(lambda: Coded(between))).findings
    assert [f.problem for f in found] == ["severed-gradient"] and found[0].severity == "critical"
    assert "left torch" in found[0].reason and "encoder.0.weight" in found[0].reason


def test_a_part_that_is_not_used_and_a_layer_that_is_fed_by_noise_are_no_round_trip() -> None:
    class Noisy(Coded):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + self.head(torch.randn(len(x), 8))

    assert check(seeded(lambda: Coded(lambda code: code, extra=True))).healthy
    found = check(seeded(lambda: Noisy(lambda code: code))).findings
    assert "severed-gradient" not in [f.problem for f in found]


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant: bool, tuned: bool = False) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 32).requires_grad_(tuned)
        self.block, self.head = nn.Sequential(nn.Linear(32, 32), nn.ReLU()), nn.Linear(32, 10)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.block, self.stem(x), use_reentrant=self.reentrant))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_reentrant_checkpoint_over_a_frozen_stem_is_a_severed_gradient() -> None:
    found = check(seeded(lambda: Checkpointed(reentrant=True))).findings
    assert [f.problem for f in found if f.severity != "info"] == ["severed-gradient"]
    assert found[0].sites == ("block.0",) and "use_reentrant=False" in found[0].advice


@pytest.mark.parametrize(("reentrant", "tuned"), [(True, True), (False, False), (False, True)])
def test_a_checkpoint_whose_inputs_or_form_let_the_gradient_through_is_silent(reentrant: bool, tuned: bool) -> None:
    assert check(seeded(lambda: Checkpointed(reentrant=reentrant, tuned=tuned))).healthy


def test_layers_that_were_replaced_after_the_optimizer_was_made_are_told_from_fine_tuning() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    stale = torch.optim.Adam(model.parameters(), 1e-3)
    model[0] = seeded(lambda: nn.Linear(64, 32))
    found = check(model, stale).findings
    assert (found[0].problem, found[0].severity) == ("unowned-parameters", "critical")
    assert "2 tensors that nothing uses" in found[0].reason
    some = [zoo.vectors(seed) for seed in range(4)]
    tuned = photic.check(model, some, F.cross_entropy, lambda m: torch.optim.Adam(m[2].parameters(), 1e-3), steps=20)
    assert tuned.healthy and tuned.findings[0].problem == "unowned-parameters"


def test_layers_below_that_nobody_trained_are_no_fine_tuning() -> None:
    def head(model: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(model[4].parameters(), 1e-3)

    def build() -> nn.Sequential:
        return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))

    found = check(seeded(build), head).findings
    assert (found[0].problem, found[0].severity) == ("unowned-parameters", "warning")
    assert "as torch draws them" in found[0].reason
    learned: Any = seeded(build)
    for layer in (learned[0], learned[2]):
        layer.weight.data.mul_(1.3)
    some = [zoo.vectors(seed) for seed in range(4)]
    assert photic.check(learned, some, F.cross_entropy, head, steps=20).healthy


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_a_gamma_of_zero_before_a_head_of_zero_never_moves(norm: Callable[[int], nn.Module]) -> None:
    def build(gamma: float) -> nn.Module:
        made, head = norm(32), nn.Linear(32, 10)
        nn.init.constant_(made.weight, gamma)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(head.weight)
        return nn.Sequential(nn.Linear(64, 32), made, head)

    found = check(seeded(lambda: build(0.0))).findings
    assert [f.problem for f in found] == ["zero-times-zero"] and "1.weight" in found[0].reason
    assert check(seeded(lambda: build(1.0))).healthy


def test_a_batch_of_one_example_many_times_is_named_at_once() -> None:
    repeated = [(x[:1].expand_as(x).clone(), y) for x, y in map(zoo.vectors, range(4))]
    found = check(zoo.Mlp(torch.relu, 2, variance=2.0), batches=repeated).findings
    assert [f.problem for f in found] == ["class-prior-only"] and "data loader" in found[0].advice


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam])
def test_an_epsilon_that_rules_the_steps_is_found_in_every_optimizer_that_has_one(kind: Any) -> None:
    def made(eps: float) -> Any:
        return lambda module: kind(module.parameters(), lr=1e-3, eps=eps)

    model = seeded(lambda: zoo.Mlp(torch.relu, 2, variance=2.0))
    found = check(model, made(10.0)).findings
    assert found[0].problem == "frozen-by-epsilon" and found[0].reason.startswith(f"{kind.__name__}'s epsilon")
    assert "frozen-by-epsilon" not in [f.problem for f in check(model, made(1e-8)).findings]


def test_layers_that_were_frozen_by_a_part_of_their_name_are_told_from_those_that_learned() -> None:
    def build(*, fresh: bool) -> nn.Module:
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
        learned, other = (seeded(lambda: nn.Linear(64, 32)), seeded(lambda: nn.Linear(32, 32)))
        learned.weight.data.copy_(torch.linalg.qr(learned.weight.data.T).Q.T)
        other.weight.data.mul_(1.0 if fresh else 1.2)
        model[0], model[2] = learned, other
        for layer in (learned, other):
            layer.requires_grad_(False)
        return model

    some = [zoo.vectors(seed) for seed in range(4)]
    for fresh in (True, False):
        checkup = photic.check(
            build(fresh=fresh), some, F.cross_entropy, lambda m: torch.optim.Adam(m[4].parameters(), 1e-3)
        )
        found = [f for f in checkup.findings if f.problem == "frozen-layers" and "nothing was learned in 2" in f.reason]
        assert bool(found) == fresh
        thawed = unlearned_parameters(Graph.of(checkup.run))
        assert thawed == (["2.weight", "2.bias"] if fresh else ["0.weight", "0.bias", "2.weight", "2.bias"])
