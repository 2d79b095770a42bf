"""A glance reads what autograd says, also before operations in place, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.probes.glances import Glance
from photic.probes.modules import module_names
from tests import zoo
from tests.zoo import seeded


def raised(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_signals_and_gradients_are_those_of_an_audit(dtype: torch.dtype) -> None:
    model = seeded(zoo.cnn).to(dtype)
    x, y = zoo.images()
    run = photic.measure(model, (x.to(dtype), y), F.cross_entropy)
    glance = Glance(model, module_names(model), raised)
    glance.install()
    F.cross_entropy(model(x.to(dtype)), y).backward()
    signals, gradients = glance.moments(0), glance.moments(1)
    glance.remove()
    compared = 0
    for name, signal, gradient in zip(glance.names, signals, gradients, strict=True):
        known = [site for site in run.sites if site.name == name]
        if signal is None or gradient is None or len(known) != 1:
            continue
        compared += 1
        reading = run.reading(name)
        assert reading.signal is not None and reading.gradient is not None
        assert signal.rms == pytest.approx(reading.signal.rms, rel=1e-5)
        assert gradient.norm == pytest.approx(reading.gradient.norm, rel=1e-5)
        assert (signal.count, signal.maximum) == (reading.signal.count, pytest.approx(reading.signal.maximum))
        assert signal.zeros == reading.signal.zeros
    assert compared >= 6
    assert not any(module._forward_hooks for module in model.modules())


def test_the_gradient_before_an_operation_in_place_is_read() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.relu, self.head = nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.layer(x)))

    model = seeded(Net)
    x = seeded(lambda: torch.randn(4, 8))
    z = model.layer(x).detach().requires_grad_()
    model.head(torch.relu(z)).sum().backward()
    model.zero_grad()
    glance = Glance(model, module_names(model), raised)
    glance.install()
    model(x).sum().backward()
    glance.remove()
    read = dict(zip(glance.names, glance.moments(1)))["layer"]
    assert read is not None and z.grad is not None
    assert read.norm == pytest.approx(float(z.grad.norm()), rel=1e-6)


def read(model: nn.Module, run: Callable[[], Any]) -> tuple[dict[str, tuple[Any, Any]], Glance]:
    """Return by module what a glance reads of signals and gradients while something runs."""
    glance = Glance(model, module_names(model), raised)
    glance.install()
    try:
        run()
    finally:
        glance.remove()
    return dict(zip(glance.names, zip(glance.moments(0), glance.moments(1)))), glance


def test_an_evaluation_with_gradients_is_no_reading_and_a_frozen_norm_is_one() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)))
    model[1].eval()
    x = seeded(lambda: torch.randn(4, 8))

    def run() -> None:
        model(x).sum().backward()
        model.eval()
        model(1e6 * x)

    found, _ = read(model, run)
    assert [signal.count for signal, _ in found.values()] == [32, 32, 8]
    assert all(gradient is not None for _, gradient in found.values())


def test_layers_that_return_several_things_are_read() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory, self.packed = nn.LSTM(8, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y = self.memory(x)[0]
            lengths = nn.utils.rnn.pack_padded_sequence(y, torch.tensor([3, 2, 2, 1]), batch_first=True)
            y, _ = nn.utils.rnn.pad_packed_sequence(self.packed(lengths)[0], batch_first=True)
            return self.attention(y, y, y)[0].sum()

    found, _ = read(net := seeded(Net), lambda: net(torch.randn(4, 3, 8)).backward())
    assert {name: [m is not None and m.count for m in both] for name, both in found.items()} == {
        "memory": [96, 96],
        "packed": [64, 64],
        "attention": [96, 96],
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_histograms_are_those_of_the_values_in_every_layout_and_precision(dtype: torch.dtype) -> None:
    model = seeded(lambda: nn.Conv2d(3, 16, 3)).to(dtype, memory_format=torch.channels_last)
    x = seeded(lambda: torch.randn(2, 3, 10, 10)).to(dtype, memory_format=torch.channels_last)
    made: list[Tensor] = []

    def run() -> None:
        made.append(model(x))
        made[0].float().pow(2).sum().backward()

    found, glance = read(model, run)
    (signal, gradient) = found[""]
    assert not made[0].is_contiguous() and (signal.count, gradient.count) == (2048, 2048)
    assert signal.rms == pytest.approx(float(made[0].detach().double().pow(2).mean().sqrt()), rel=1e-5)
    assert glance.histograms.sum(2).tolist() == [[128], [128]]  # one cache line in sixteen


def test_without_numba_the_watch_reads_by_torch_and_says_so_once() -> None:
    script = """
import sys
sys.modules["numba"] = None
import torch, photic
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
read = []
with photic.watch(model, optimizer, every=1) as watch:
    watch.on_glance = lambda glance, step: read.append([m is not None for m in glance.moments(0) + glance.moments(1)])
    for _ in range(4):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).pow(2).mean().backward()
        optimizer.step()
print(watch.faults, read[-1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"[] {[True] * 6}"
    assert done.stderr.count("the compiled kernels cannot be used") == 1


def test_what_did_not_run_is_none_and_a_fault_is_handed_over() -> None:
    model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    faults: list[Exception] = []
    glance = Glance(model, module_names(model), faults.append)
    glance.install()
    model[0](torch.randn(2, 3))
    assert glance.moments(0)[1] is None and glance.moments(1)[0] is None
    glance._readers[id(model[0])][0].row = "no address"  # type: ignore[assignment]
    model[0](torch.randn(2, 3))
    glance.remove()
    assert len(faults) == 1


def test_what_a_module_hands_on_is_told_of_both() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.0), nn.Identity(), nn.Tanh(), nn.Identity(), nn.Linear(8, 2))
    glance = Glance(model, module_names(model), raised)
    glance.install()
    reads = seeded(lambda: torch.randn(4, 8))
    model(reads).square().sum().backward()
    for which in (0, 1):
        read = glance.moments(which)
        assert read[0] == read[1] == read[2] and read[3] == read[4] and read[0] != read[3]
        assert np.array_equal(glance.histograms[which][0], glance.histograms[which][2])
        sizes = glance.sizes(which)
        assert sizes[0] == sizes[2] != sizes[3]
    glance.remove()


def test_what_was_changed_in_place_on_the_way_is_read_anew() -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.same, self.head = nn.Linear(8, 8), nn.Identity(), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.same(self.layer(x).mul_(3.0)))

    model = seeded(Changing)
    glance = Glance(model, module_names(model), raised)
    glance.install()
    model(seeded(lambda: torch.randn(4, 8))).sum().backward()
    glance.remove()
    layer, same, _ = glance.sizes(0)
    assert same == pytest.approx(3.0 * layer, rel=1e-6)
    assert glance.sizes(1)[0] == pytest.approx(3.0 * glance.sizes(1)[1], rel=1e-6)


def test_a_module_that_runs_twice_in_a_step_is_read_as_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.tanh(self.layer(x)))

    model = seeded(Twice)
    x = seeded(lambda: torch.randn(4, 8))
    first = model.layer(x)
    first.retain_grad()
    second = model.layer(torch.tanh(first))
    second.retain_grad()
    second.pow(2).sum().backward()
    glance = Glance(model, module_names(model), raised)
    glance.install()
    model(x).pow(2).sum().backward()
    signal, gradient = glance.moments(0)[0], glance.moments(1)[0]
    assert signal is not None and gradient is not None and first.grad is not None and second.grad is not None
    assert (signal.count, gradient.count) == (64, 64)
    assert signal.norm == pytest.approx(float(torch.cat([first, second]).detach().norm()), rel=1e-6)
    assert signal.maximum == float(torch.cat([first, second]).detach().abs().max())
    assert gradient.norm == pytest.approx(float(torch.cat([first.grad, second.grad]).norm()), rel=1e-6)
    glance.install()  # the next step begins from nothing
    model(x).sum().backward()
    again = glance.moments(0)[0]
    assert again is not None and again.count == 64
    glance.remove()
