"""Patches: of source written as users write it; what is applied imports and trains."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from photic.lab.examples import deep_sigmoid
from photic.remedies.patch import apply_patch
from photic.remedies.registry import remedies
from photic.remedies.treat import treat
from tests import children


def digits() -> list[Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return list(deep_sigmoid.batches())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


SOURCES = {
    "functional": """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))  # hidden
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def build():
    return Net()
""",
    "method": """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).sigmoid()
        return self.head(x)


def build():
    return Net()
""",
    "modules in a factory": '''
import torch, torch.nn as nn


def build(depth=8):
    """Make the network."""
    blocks = []
    for _ in range(depth):
        blocks += [nn.Linear(64, 64), nn.Sigmoid()]
    return nn.Sequential(*blocks, nn.Linear(64, 10))
''',
    "modules in a class": """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.Sigmoid()
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(8)])
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


def build():
    return Net()
""",
    "a function as an attribute": """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, act=torch.sigmoid):
        super().__init__()
        self.act = act
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


def build():
    return Net()
""",
    "a dict of activations": """
import torch
from torch import nn

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class Net(nn.Module):
    def __init__(self, activation: str):
        super().__init__()
        self.act = ACTIVATIONS[activation]
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


def build():
    return Net(activation='sigmoid')
""",
    "a sequential": """
from collections import OrderedDict

from torch import nn


def build():
    model = nn.Sequential(
        OrderedDict(
            one=nn.Linear(64, 64), a=nn.Sigmoid(), two=nn.Linear(64, 64), b=nn.Sigmoid(),
            three=nn.Linear(64, 64), c=nn.Sigmoid(), four=nn.Linear(64, 64), d=nn.Sigmoid(),
            five=nn.Linear(64, 64), e=nn.Sigmoid(), six=nn.Linear(64, 64), f=nn.Sigmoid(),
            head=nn.Linear(64, 10),
        )
    )
    return model
""",
    "a configuration": """
from dataclasses import dataclass

import torch.nn as nn


@dataclass
class Config:
    width: int = 64
    depth: int = 8
    smooth: bool = True


class Net(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        act = nn.Sigmoid if config.smooth else nn.ReLU
        self.body = nn.Sequential()
        for i in range(config.depth):
            self.body.append(nn.Linear(64 if i == 0 else config.width, config.width))
            self.body.append(act())
        self.head = nn.Linear(config.width, 10)

    def forward(self, x):
        return self.head(self.body(x))


def build():
    return Net(Config())
""",
    "inherited": """
import torch
from torch import nn


class Base(nn.Module):
    depth = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(self.depth))
        self.head = nn.Linear(64, 10)

    def encode(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return x


class Net(Base):
    def forward(self, x):
        return self.head(self.encode(x))


def build():
    return Net()
""",
}
TRAIN = """
import sys, torch, torch.nn.functional as F
sys.path.insert(0, sys.argv[1])
import net
from photic.lab.examples import deep_sigmoid
torch.manual_seed(0)
model = net.build()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(6):
    for x, y in deep_sigmoid.batches():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
print(float(loss))
"""


@pytest.mark.parametrize(
    ("remedy", "style"),
    [
        *(("tanh-activation", style) for style in SOURCES),
        ("centred-logistic", "functional"),
        *(
            pytest.param("centred-logistic", style, marks=pytest.mark.slow)
            for style in ("modules in a factory", "inherited", "a sequential")
        ),
    ],
)
def test_the_applied_patch_gives_a_file_that_trains(
    style: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from photic.cli.targets import load
    from photic.remedies import choosing as module

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCES[style])
    chosen = tuple(r for r in remedies() if r.name == remedy)
    monkeypatch.setattr(module, "remedies_for", lambda problems: chosen)
    target = load("net.py:build")
    treatment = treat(target.build, digits(), F.cross_entropy, optimizer=sgd, steps=100, seeds=(0,))
    assert treatment.remedy == remedy
    assert treatment.patch.startswith("--- a/net.py"), treatment.paste
    apply_patch(treatment.patch, tmp_path)
    assert (tmp_path / "net.py.orig").read_text() == SOURCES[style]
    done = children.run([sys.executable, "-c", TRAIN, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.2 < math.log(10)


def test_a_patch_refuses_a_file_that_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.py"
    path.write_text("x = 1\ny = 2\n")
    patch = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 3\n+y = 4\n"
    with pytest.raises(ValueError, match="has changed"):
        apply_patch(patch)
    assert path.read_text() == "x = 1\ny = 2\n"
