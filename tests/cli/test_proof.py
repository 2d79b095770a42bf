"""The proof of a patch: the patched text is what a fresh process imports and trains; the file stays as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from photic.cli.main import run
from photic.cli.proof import _sentence

SICK = """
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(8))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def setup():
    generator = torch.Generator().manual_seed(0)
    ys = [torch.randint(10, (32,), generator=generator) for _ in range(40)]
    batches = [(F.one_hot(y, 16).float() + 0.1 * torch.randn(32, 16, generator=generator), y) for y in ys]
    return Net(), batches, F.cross_entropy, lambda model: torch.optim.SGD(model.parameters(), lr=0.1)
"""


def test_the_patched_text_is_trained_and_the_file_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SICK)
    assert run(["treat", "net.py:setup", "--steps", "120", "--workers", "2"]) == 0
    said = capsys.readouterr().err
    assert "note: verified: the patched file" in said.replace("\n", " ")
    assert "sigmoid" in (tmp_path / "net.py").read_text() and not list(tmp_path.glob("*.orig"))


@pytest.mark.parametrize(
    ("loss", "treated", "untreated", "verified"),
    [
        (0.3, 0.3, 2.3, True),
        (1.2, 0.3, 2.3, True),
        (1.5, 0.3, 2.3, False),
        (float("nan"), 0.3, 2.3, False),
        (0.3, 0.3, None, True),
    ],
)
def test_what_does_not_come_near_the_trial_is_said(
    loss: float, treated: float, untreated: float | None, verified: bool
) -> None:
    proven, sentence = _sentence(loss, treated, untreated, 100)
    assert proven is verified and sentence.startswith("verified") is verified
    assert verified or "does not reproduce" in sentence


SLOW = """import torch
import torch.nn.functional as F
from torch import nn


def setup():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    x = torch.randn(512, 8, generator=torch.Generator().manual_seed(1))
    batches = [(part, part[:, :3].argmax(1)) for part in x.split(32)]
    return model, batches, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
"""


def test_a_rate_is_written_where_the_optimizer_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SLOW)
    assert run(["treat", "net.py:setup", "--steps", "48", "--workers", "1", "--write"]) == 0
    assert "note: verified: the patched file" in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "net.py.orig").read_text() == SLOW
    before, after = (text.splitlines() for text in (SLOW, (tmp_path / "net.py").read_text()))
    (changed,) = [line for line in after if line not in before and not line.strip().startswith("#")]
    rate = re.search(r"lr=([0-9.e-]+), momentum=0.9\)", changed)
    assert rate is not None and float(rate[1]) > 1e-3


def test_a_patch_that_does_not_train_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], forked: None
) -> None:
    monkeypatch.chdir(tmp_path)
    # In a file that is imported anew the optimizer is one of its own: the line that is patched moves nothing.
    hidden = SLOW.replace(
        "    return model",
        "    make = torch.optim.SGD\n    torch.optim.SGD(model.parameters(), lr=1e-6)\n    return model",
    )
    hidden = hidden.replace(
        "torch.optim.SGD(model.parameters(), lr=1e-6, momentum", "make(model.parameters(), lr=1e-6, momentum"
    )
    (tmp_path / "net.py").write_text(hidden)
    assert run(["treat", "net.py:setup", "--steps", "48", "--workers", "1", "--write"]) == 1
    said = capsys.readouterr().err.replace("\n", " ")
    assert "does not reproduce the trial" in said and "the patch was not written" in said
    assert (tmp_path / "net.py").read_text() == hidden and not list(tmp_path.glob("*.orig"))
