"""Source files for patches, written as users write them, imported anew, and what their networks compute."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from photic.records.runs import Run

HEAD = """import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.norm = nn.LayerNorm(8)
        self.soft = nn.Softmax(dim=-1)

    def forward(self, x):
        h = self.a(x)
{body}


def build():
    model = Net()
    optimizer = torch.optim.{optimizer}
    return model, None, F.cross_entropy, optimizer
"""
_numbers = itertools.count()


def imported(text: str, folder: Path) -> ModuleType:
    path = folder / f"net_{next(_numbers)}.py"
    path.write_text(text)
    return reloaded(path)


def reloaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)


def source_of(*lines: str, optimizer: str = "SGD(model.parameters(), lr=0.1)") -> str:
    return HEAD.format(body="\n".join(f"        {line}" for line in lines), optimizer=optimizer)


def gradients(model: Any) -> list[Tensor]:
    x, y = batch()
    output = model(x)
    F.cross_entropy(output, y).backward()
    return [output, *(torch.zeros(()) if p.grad is None else p.grad for p in model.parameters())]


def only(run: Run, operation: str) -> str:
    return next(site.name for site in run.sites if site.operation == operation)


HEAD_LINE = "return self.head(h)"
