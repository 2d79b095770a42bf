"""The extension in a real IPython shell: the cell's variables, errors and training are its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from photic.checkups.check import check
from photic.integrations.jupyter import framed
from photic.records.findings import Checkup
from tests import zoo
from tests.web.browser import tabs

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own

CELL = """
import torch, torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(32, 32), nn.Sigmoid())], nn.Linear(32, 4))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
x, y = torch.randn(64, 32), torch.randint(4, (64,))
for _ in range(12):
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
"""


@pytest.fixture
def open_tab() -> Iterator[Any]:
    pytest.importorskip(
        "playwright", exc_type=ImportError
    )  # of the default environment, not of the one with the trainers
    with tabs() as opened:
        yield opened


@pytest.fixture
def shell() -> Any:
    module: Any = pytest.importorskip("IPython.core.interactiveshell", exc_type=ImportError)
    made = module.InteractiveShell.instance()
    made.run_line_magic("load_ext", "photic")
    yield made
    module.InteractiveShell.clear_instance()


def test_a_watched_cell_trains_the_same_bits_and_shows_its_checkup(shell: Any) -> None:
    checkup = shell.run_cell_magic("photic", "", CELL)
    watched = [p.detach().clone() for p in shell.user_ns["net"].parameters()]
    assert isinstance(checkup, Checkup) and checkup.findings[0].problem == "vanishing-gradient"
    shell.run_cell(CELL)
    assert all(torch.equal(a, b) for a, b in zip(watched, shell.user_ns["net"].parameters()))
    shown, _ = shell.display_formatter.format(checkup)
    assert "<svg" in shown["text/html"] and "<script" not in shown["text/html"]  # the still picture
    assert "vanishing-gradient" in shown["text/html"] and "vanishing-gradient" in shown["text/plain"]


def test_every_record_shows_itself_as_the_terminal_does(shell: Any) -> None:
    checkup = shell.run_cell_magic("photic", "", CELL)
    for record in (checkup.run, checkup.prediction):
        shown, _ = shell.display_formatter.format(record)
        assert shown["text/html"].startswith("<pre")
        assert shown["text/plain"] == record.report() and not shown["text/plain"].startswith(type(record).__name__)


def test_problems_named_on_the_line_are_not_reported(shell: Any) -> None:
    checkup = shell.run_cell_magic("photic", "vanishing-gradient", CELL)
    assert "vanishing-gradient" not in {finding.problem for finding in checkup.findings}


def test_an_error_in_the_cell_is_its_own_and_nothing_stays_attached(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    checkup = shell.run_cell_magic("photic", "", CELL + "\nraise KeyError('mine')\n")
    assert "KeyError" in capsys.readouterr().out and isinstance(checkup, Checkup)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in shell.user_ns["net"].modules())


def test_a_cell_without_training_says_so(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run_cell_magic("photic", "", "a = 1 + 1") is None
    assert shell.user_ns["a"] == 2 and "no training step was seen" in capsys.readouterr().out


def test_the_whole_page_is_the_result_of_a_cell(open_tab: Any, tmp_path: Path) -> None:
    checkup = check(zoo.seeded(zoo.Mlp), [zoo.vectors(k) for k in range(3)], F.cross_entropy, steps=3)
    (tmp_path / "notebook.html").write_text(f"<body>{framed(checkup)._repr_html_()}</body>", encoding="utf-8")
    tab = open_tab((tmp_path / "notebook.html").as_uri())
    frame = tab.page.frame_locator("iframe")
    frame.locator(".heat canvas").first.wait_for()
    assert frame.locator("h1").inner_text() == "vanishing-gradient: the gradient reaches 2 of 11 layers"
    assert frame.locator("svg.units").count() == 1 and tab.errors == []
