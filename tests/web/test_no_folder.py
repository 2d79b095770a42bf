"""No report says where files lie, or what stands in them, unless it is asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from photic.cli.main import run
from photic.records import documents
from photic.reports.still import still
from photic.reports.view import view_of

MODEL = """
import torch, torch.nn.functional as F
from torch import nn

SECRET_OF_THE_SOURCE = 1

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(8))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)

def build():
    torch.manual_seed(0)
    return Net()

def batch(seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(32, 16, generator=g)
    return x, x[:, :4].argmax(1)

def target():
    return build(), [batch(k) for k in range(6)], F.cross_entropy, lambda m: torch.optim.SGD(m.parameters(), lr=0.1)

if __name__ == "__main__":
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(12):
        x, y = batch(step)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, forking: Any) -> dict[str, Path]:
    """What check, treat, run and report write about a model in a folder of the user's."""
    folder = tmp_path_factory.mktemp("a folder of mine")
    model = folder / "model.py"
    model.write_text(MODEL)
    names = ("check", "treat", "run", "report", "compared", "asked")
    pages = {name: folder / f"{name}.html" for name in names}
    target = f"{model}:target"
    run(["check", target, "--steps", "3", "--html", str(pages["check"]), "--save", str(folder / "check.json")])
    with forking():
        run(["treat", target, "--steps", "60", "--html", str(pages["treat"]), "--save", str(folder / "treat.json")])
    run(["run", "--html", str(pages["run"]), "--record", str(folder / "run.sqlite"), str(model)])
    run(["report", str(folder / "treat.json"), "--html", str(pages["report"])])
    run(["report", str(folder / "check.json"), str(folder / "run.sqlite"), "--html", str(pages["compared"])])
    run(["report", str(folder / "treat.json"), "--with-source", "--html", str(pages["asked"])])
    return pages


@pytest.mark.parametrize("name", ["check", "treat", "run", "report", "compared"])
def test_no_report_names_a_folder_or_quotes_source(reports: dict[str, Path], name: str) -> None:
    text = reports[name].read_text(encoding="utf-8")
    here = Path(__file__).resolve().parents[2]
    for folder in (reports[name].parent, Path.cwd(), Path.home() / "x", here, Path(documents.__file__).parent):
        assert str(folder).removesuffix("/x") + "/" not in text
    assert "a folder of mine" not in text
    assert "model.py:" in text  # the file and the line do stand in it
    assert "SECRET_OF_THE_SOURCE" not in text and "self.layers" not in text


def test_a_report_that_is_asked_carries_the_patch_and_paths(reports: dict[str, Path]) -> None:
    text = reports["asked"].read_text(encoding="utf-8")
    assert "a folder of mine" in text and "self.layers" in text


def test_the_demos_patch_names_its_file_alone_and_notebooks_name_no_folder(reports: dict[str, Path]) -> None:
    record = documents.read(reports["treat"].with_name("treat.json"))
    patch = view_of(record, with_patch=True)["treatment"]["patch"]
    assert patch.splitlines()[:2] == ["--- a/model.py", "+++ b/model.py"] and "a folder of mine" not in patch
    assert patch.splitlines()[2:] == record.patch.splitlines()[2:]
    assert "a folder of mine" not in still(record)
