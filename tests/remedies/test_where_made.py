"""Patches of where things are made: the optimizer, layers and lists, types of numbers, initial weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.patch import apply_patch, write_patch
from photic.remedies.prescription import Prescription
from photic.remedies.surgery import compute_in, gate_recurrence, register_modules
from photic.remedies.treat import treat
from tests.remedies.sources import HEAD_LINE, batch, imported, reloaded, seeded, source_of


@pytest.mark.parametrize(
    ("optimizer", "prescription", "becomes"),
    [
        ("SGD(model.parameters(), lr=0.1)", Prescription(rate=0.03), "SGD(model.parameters(), lr=0.003)"),
        ("SGD(model.parameters(), 0.1, momentum=0.9)", Prescription(rate=2), "SGD(model.parameters(), 0.2, momentum=0.9)"),
        ("Adam(model.parameters())", Prescription(rate=0.1), "Adam(model.parameters(), lr=0.0001)"),
        ("Adam(model.parameters(), eps=1.0)", Prescription(settings={"eps": 1e-8}), "Adam(model.parameters(), eps=1e-08)"),
        ("SGD(model.parameters(), lr=10 * 0.1)", Prescription(rate=0.5), "SGD(model.parameters(), lr=0.5 * (10 * 0.1))"),
        ("SGD(model.parameters(), lr=0.1)", Prescription(adam=True), "Adam(model.parameters())"),
        ("SGD(model.head.parameters(), lr=0.1)", Prescription(owned=True), "SGD(model.parameters(), lr=0.1)"),
    ],
)  # fmt: skip
def test_the_optimizer_is_changed_where_it_is_made(
    optimizer: str, prescription: Prescription, becomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(source_of(HEAD_LINE, optimizer=optimizer), tmp_path)
    model, _, loss, made = seeded(module.build)
    run = measure(model, batch(), loss, optimizer=made)
    patch, _ = write_patch(prescription, run, module.build, model)
    assert f"+    optimizer = torch.optim.{becomes}\n" in patch, patch
    apply_patch(patch, tmp_path)


def test_an_optimizer_with_another_rate_is_another_optimizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(source_of(HEAD_LINE), tmp_path)
    model = seeded(module.Net)
    elsewhere = torch.optim.SGD(model.parameters(), lr=0.7)
    run = measure(model, batch(), F.cross_entropy, optimizer=elsewhere)
    patch, paste = write_patch(Prescription(rate=0.1), run, module.build, model)
    assert patch == "" and "*= 0.1" in paste


LISTED = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(64, 64) for _ in range(3)]
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)
"""
MEMORY = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = nn.RNN(8, 32, nonlinearity="tanh", batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.memory(x.view(-1, 8, 8))[0][:, -1])
"""


@pytest.mark.parametrize(
    ("text", "prescription", "becomes"),
    [
        (
            LISTED,
            Prescription(registered=True),
            "self.layers = torch.nn.ModuleList([nn.Linear(64, 64) for _ in range(3)])",
        ),
        (MEMORY, Prescription(gated=("memory",)), "self.memory = nn.GRU(8, 32, batch_first=True)"),
        (
            MEMORY.replace(", batch_first=True", ""),
            Prescription(batch_first=("memory",)),
            'self.memory = nn.RNN(8, 32, nonlinearity="tanh", batch_first=True)',
        ),
    ],
)
def test_layers_are_changed_where_they_are_made(
    text: str, prescription: Prescription, becomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(text, tmp_path)
    given = (torch.randn(16, 64), torch.randint(10, (16,)))
    treated = seeded(module.Net)
    run = measure(treated, given, F.cross_entropy)
    gate_recurrence(treated, prescription.gated, seed=0)
    carry_out(prescription, treated, seed=0)
    if prescription.registered:
        register_modules(treated)
    patch, paste = write_patch(prescription, run, module.Net, treated)
    assert f"+        {becomes}\n" in patch, patch + paste
    model = seeded(reloaded(apply_patch(patch, tmp_path)).Net)
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in treated.named_parameters()}
    if not prescription.gated:  # a GRU's weights are drawn in another order
        torch.testing.assert_close(model(given[0]), treated(given[0]))


BLOCKS = """import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.last = Block()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x = self.last(x)
        return self.head(x)
"""
HALF = """import torch
from torch import nn


def another():
    return torch.zeros(3, dtype=torch.bfloat16)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.head = nn.Linear(64, 64).bfloat16(), nn.Linear(64, 10, dtype=torch.bfloat16)

    def forward(self, x):
        return self.head(torch.relu(self.one(x.to(torch.bfloat16)))).float()
"""


@pytest.mark.parametrize(
    ("text", "prescription", "becomes"),
    [
        (
            BLOCKS,
            Prescription(blocks=("blocks.0", "blocks.1", "blocks.2", "last")),
            ["            x = x + block(x)", "        x = x + self.last(x)"],
        ),
        (
            HALF,
            Prescription(precision="float32"),
            [
                "        self.one, self.head = nn.Linear(64, 64).float(), nn.Linear(64, 10, dtype=torch.float32)",
                "        return self.head(torch.relu(self.one(x.to(torch.float32)))).float()",
            ],
        ),
    ],
)
def test_what_is_written_at_several_places_is_changed_at_all_of_them(
    text: str, prescription: Prescription, becomes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(text, tmp_path)
    given = (torch.randn(16, 64), torch.randint(10, (16,)))
    treated = seeded(module.Net)
    run = measure(treated, given, F.cross_entropy)
    carry_out(prescription, treated, seed=0)
    if prescription.precision:
        compute_in(treated, torch.float32)
    patch, paste = write_patch(prescription, run, module.Net, treated)
    changed = [line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert changed == becomes, patch + paste
    model = seeded(reloaded(apply_patch(patch, tmp_path)).Net)
    model.load_state_dict(treated.state_dict())
    torch.testing.assert_close(model(given[0]), treated(given[0]))


def test_a_loop_in_which_some_blocks_get_no_connection_has_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(BLOCKS, tmp_path)
    model = seeded(module.Net)
    run = measure(model, (torch.randn(16, 64), torch.randint(10, (16,))), F.cross_entropy)
    assert write_patch(Prescription(blocks=("blocks.0", "last")), run, module.Net, model)[0] == ""


FADING = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(6))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


def build():
    return Net()
"""


@pytest.mark.parametrize(
    ("scheme", "draw"), [("lsuv", "orthogonal_"), ("orthogonal", "orthogonal_"), ("critical", "normal_")]
)
def test_what_a_scheme_found_is_written_as_numbers(
    scheme: str, draw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = imported(FADING, tmp_path)
    given = (torch.randn(128, 64), torch.randint(10, (128,)))
    run = measure(seeded(module.Net), given, F.cross_entropy)
    treated = seeded(module.Net)
    prescription = Prescription(scheme=scheme, why="the reason")
    carry_out(prescription, treated, seed=0, batch=given)
    patch, paste = write_patch(prescription, run, module.build, treated)
    assert f"torch.nn.init.{draw}" in patch and "# the reason" in patch and "photic" not in patch, patch + paste
    model = seeded(reloaded(apply_patch(patch, tmp_path)).build)
    for (name, one), other in zip(model.named_parameters(), treated.parameters(), strict=True):
        wanted = float(other.detach().square().mean().sqrt())
        assert float(one.detach().square().mean().sqrt()) == pytest.approx(wanted, rel=0.06), name
    if draw == "orthogonal_":
        square = model.layers[3].weight.detach()
        gram = square @ square.mT / square.square().sum(1).mean()
        torch.testing.assert_close(gram, torch.eye(64), atol=1e-4, rtol=0.0)


def test_an_optimizer_that_a_function_of_another_file_makes_is_changed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = imported(source_of("return self.head(torch.relu(h))"), tmp_path)
    maker = imported(
        "import torch\n\n\ndef make(model):\n    return torch.optim.SGD(model.parameters(), lr=1e-6)\n", tmp_path
    )
    x = torch.randn(512, 6, generator=torch.Generator().manual_seed(0))
    batches = [(part, part[:, :3].argmax(1)) for part in x.split(32)]
    found = treat(network.Net, batches, F.cross_entropy, optimizer=maker.make, steps=48, workers=1)
    assert found.remedy == "tested-learning-rate", found.report()
    assert (
        f"+++ b/{Path(maker.make.__code__.co_filename).name}" in found.patch
        and "-    return torch.optim.SGD" in found.patch
    )
