"""The audit on the networks that people have: same gradients as a plain pass, nothing lost, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from photic.probes.audit import measure
from photic.records.runs import Run
from tests import zoo


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3, 2]), batch_first=True)
        output, (hidden, _) = self.rnn(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        return self.head(padded[:, -1] + hidden[-1])


class Experts(nn.Module):
    """Two of four experts are never routed to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 4)
        self.experts = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.gate(x)[:, :2].softmax(-1).topk(1)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = chosen[:, 0] == index
            if rows.any():
                mixed[rows] = weight[rows] * expert(x[rows])
        return self.head(mixed)


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 16)
        self.block = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
        self.head = nn.Linear(16, 10)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.block, self.stem(x), use_reentrant=self.reentrant))


class Bags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(20, 8, sparse=True)
        self.words = nn.Embedding(20, 8, sparse=True, padding_idx=0)
        self.head = nn.Linear(8, 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.bag(x) + self.words(x).mean(1))[:, None].expand(-1, x.shape[1], -1))


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Parameter(torch.randn(64, 64, dtype=torch.cfloat) / 8), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.ifft(torch.fft.fft(x) @ self.mix).real)


def many_kinds_of_layers() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8), nn.ReLU(True), nn.Conv2d(8, 8, 3, groups=8, padding=1),
        nn.MaxPool2d(2), nn.ConvTranspose2d(8, 4, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
    )  # fmt: skip


def parametrised() -> nn.Module:
    weight_norm = torch.nn.utils.parametrizations.weight_norm
    return nn.Sequential(weight_norm(nn.Linear(64, 16)), nn.ReLU(), nn.Linear(16, 10))


def sequences() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, 3])


def doubled() -> tuple[Tensor, Tensor]:
    x, y = zoo.vectors()
    return x.double(), y


CASES: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    **{name: case for name, case in zoo.HEALTHY.items() if name != "dropout"},
    "rnn": (lambda: zoo.Recurrent(nn.RNN), zoo.tokens(), zoo.token_loss),
    "packed": (Packed, sequences(), F.cross_entropy),
    "experts": (Experts, zoo.vectors(), F.cross_entropy),
    "checkpoint": (lambda: Checkpointed(reentrant=False), zoo.vectors(), F.cross_entropy),
    "reentrant-checkpoint": (lambda: Checkpointed(reentrant=True), zoo.vectors(), F.cross_entropy),
    "sparse": (Bags, zoo.tokens(), zoo.token_loss),
    "complex": (Spectral, zoo.vectors(), F.cross_entropy),
    "layers": (many_kinds_of_layers, zoo.images(), F.cross_entropy),
    "parametrised": (parametrised, zoo.vectors(), F.cross_entropy),
    "float64": (lambda: zoo.Mlp(torch.tanh, 3).double(), doubled(), F.cross_entropy),
    "eval": (lambda: zoo.transformer(pre=True).eval(), zoo.tokens(), zoo.token_loss),
    "compiled": (lambda: torch.compile(zoo.Mlp(torch.relu, 3), backend="eager"), zoo.vectors(), F.cross_entropy),
}  # fmt: skip


def norm(gradient: Tensor) -> float:
    return float(torch.linalg.vector_norm(gradient.to_dense().flatten().to(torch.complex128)))


@pytest.mark.parametrize("name", CASES)
def test_the_audit_gives_the_gradients_of_a_plain_pass(name: str) -> None:
    build, batch, loss = CASES[name]
    run: Run = measure(zoo.seeded(build), batch, loss)
    plain = zoo.seeded(build)
    loss(plain(batch[0]), batch[1]).backward()
    truth = dict(plain.named_parameters(remove_duplicate=False))
    assert not run.stopped and len(run.parameters) == len(list(plain.parameters()))
    for parameter, reading in zip(run.parameters, run.steps[0].parameters, strict=True):
        gradient = truth[parameter.name].grad
        assert (gradient is None) == (reading.gradient is None), parameter.name
        if gradient is not None and reading.gradient is not None and name != "complex":
            assert reading.gradient.norm == pytest.approx(norm(gradient), rel=1e-5, abs=1e-30), parameter.name


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("frozen-backbone", "unused-head", "lora", "stop-gradient")]
)
def test_no_operation_between_input_and_loss_is_without_a_gradient(name: str) -> None:
    """Every layer that the loss depends on has a reading; a gap would mean that a node was lost."""
    build, batch, loss = CASES[name]
    run = measure(zoo.seeded(build), batch, loss)
    for site, reading in zip(run.sites, run.steps[0].sites, strict=True):
        if site.kind == "weight" and site.phase == "model":
            assert reading.gradient is not None, site.name


def test_a_reentrant_checkpoint_is_said_to_hide_its_operations() -> None:
    run = measure(zoo.seeded(lambda: Checkpointed(reentrant=True)), zoo.vectors(), F.cross_entropy)
    assert "use_reentrant=False" in run.unseen[0].why


def test_unrouted_experts_have_no_gradient_and_raise_no_alarm() -> None:
    from photic.diagnosis.diagnose import diagnose

    run = measure(zoo.seeded(Experts), zoo.vectors(), F.cross_entropy)
    silent = [p.name for p, r in zip(run.parameters, run.steps[0].parameters, strict=True) if r.gradient is None]
    assert silent == ["experts.2.weight", "experts.2.bias", "experts.3.weight", "experts.3.bias"]
    assert diagnose(run).healthy


def test_under_autocast_the_dtypes_are_those_of_the_operations() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        run = measure(zoo.seeded(lambda: zoo.Mlp(torch.relu, 2)), zoo.vectors(), F.cross_entropy)
    assert {site.dtype for site in run.sites if site.operation == "linear"} == {"bfloat16"}


def test_a_compiled_model_is_audited_operation_by_operation() -> None:
    build, batch, loss = CASES["compiled"]
    names = [site.name for site in measure(zoo.seeded(build), batch, loss).sites]
    assert names[:3] == ["layers.0", "/relu#1", "layers.1"]
