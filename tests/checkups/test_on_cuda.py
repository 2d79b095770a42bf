"""On a CUDA device: training stays bit-identical under the watch, and verdicts, states and remedies are those of the CPU."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.lab.clinic.case import cases
from photic.lab.clinic.scoreboard import examine
from photic.lab.clinic.variants import elsewhere

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
    pytest.mark.filterwarnings("ignore:.*deterministic"),
]
CASES = {case.name: case for case in cases()}


class Tokens(nn.Module):
    """A transformer of two layers that names each next token."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.1, "gelu", batch_first=True, norm_first=True)
        self.embedding, self.head = nn.Embedding(32, 64), nn.Linear(64, 32)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        return self.head(self.body(self.embedding(x), mask=mask, is_causal=True)).flatten(0, 1)


def convolutions() -> nn.Module:
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


class Recurrent(nn.Module):
    """An LSTM that is read at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(8, 32, 2, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


def images() -> tuple[Tensor, Tensor]:
    return torch.randn(16, 3, 12, 12), torch.randint(10, (16,))


def series() -> tuple[Tensor, Tensor]:
    return torch.randn(16, 20, 8), torch.randint(10, (16,))


def text() -> tuple[Tensor, Tensor]:
    return torch.randint(32, (8, 24)), torch.randint(32, (8 * 24,))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, Tensor]]]] = {
    "convolutions": (convolutions, images),
    "recurrent": (Recurrent, series),
    "tokens": (Tokens, text),
}


def after_training(network: str, precision: str, *, watched: bool, compiled: bool = False) -> list[Tensor]:
    """Return all parameters after twelve steps on CUDA."""
    torch.manual_seed(0)
    build, batch = NETWORKS[network]
    model = build().cuda()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    half = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    scaler = torch.amp.GradScaler("cuda", enabled=half is torch.float16)
    handle = photic.watch(model, optimizer, every=1) if watched else None
    for _ in range(12):
        x, y = (part.cuda() for part in batch())
        optimizer.zero_grad()
        with torch.autocast("cuda", half, enabled=half is not None):
            loss = F.cross_entropy(run(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    if handle is not None:
        handle.close()
        assert not handle.faults and handle.steps == 12
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield  # type: ignore[misc]
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_training_is_bit_identical(network: str, precision: str) -> None:
    plain, again = (after_training(network, precision, watched=watched) for watched in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_a_compiled_network_is_bit_identical() -> None:
    plain, again = (after_training("tokens", "float32", watched=watched, compiled=True) for watched in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


@pytest.mark.parametrize("way", ["check", "watch"])
@pytest.mark.parametrize(
    "name", ["sigmoid-10-digits", "decay-too-strong", "rate-typed-wrong", "sigmoid-10-digits-cured"]
)
def test_the_verdict_is_that_of_the_cpu(name: str, way: str) -> None:
    case = CASES[name]
    moved = dataclasses.replace(case, build=lambda seed: elsewhere(case.build(seed)))  # type: ignore[arg-type, return-value]
    here, there = examine(case, way=way), examine(moved, way=way)  # type: ignore[arg-type]
    assert not there.failed and there.problems[:1] == here.problems[:1]


def test_states_of_random_numbers_are_put_back() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 4)).cuda()
    batches = [(torch.randn(16, 8).cuda(), torch.randint(4, (16,)).cuda()) for _ in range(20)]
    weights, before = copy.deepcopy(model.state_dict()), torch.cuda.get_rng_state()
    photic.check(model, batches, F.cross_entropy)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    photic.treat(model, batches, F.cross_entropy, steps=10)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_the_treated_network_trains_where_the_user_s_does() -> None:
    case = CASES["sigmoid-10-digits"]
    setup = elsewhere(case.build(0))
    assert setup is not None
    treatment = photic.treat(setup.model, setup.batches, setup.loss, optimizer=setup.optimizer, steps=60)
    assert treatment.accepted
    treated = treatment.setup()
    assert all(parameter.is_cuda for parameter in treated.model.parameters())
    assert all(parameter.is_cuda for parameter in setup.model.parameters())
