"""`photic run` on scripts as users write them: each is its own master, and its record is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from photic.records.documents import read
from photic.records.findings import Checkup
from photic.records.stores import StoreReader
from tests import children

MODEL = """
import torch, torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, act=torch.relu, depth=4, he=True):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
        self.head, self.act = nn.Linear(64, 10), act
        for layer in self.layers if he else []:
            nn.init.kaiming_normal_(layer.weight)
    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)

torch.manual_seed(0)
X, Y = torch.randn(64, 64), torch.randint(10, (64,))
"""
LOOP = """
model = Net({act})
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(40):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(X), Y)
    loss.backward()
    optimizer.step()
    {inside}
print("final", loss.item())
"""
SCRIPTS = {
    "plain": MODEL + LOOP.format(act="", inside="pass"),
    "sick": MODEL + LOOP.format(act="torch.sigmoid, 10, False", inside="pass"),
    "crash": MODEL + LOOP.format(act="", inside="assert step < 20, 'the user stops here'"),
    "exits": MODEL + LOOP.format(act="", inside="step == 20 and exit(7)"),
    "interrupted": MODEL
    + "import os, signal\n"
    + LOOP.format(act="", inside="step == 20 and os.kill(os.getpid(), signal.SIGINT)"),
    "main": MODEL
    + """
import argparse, sys
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float); parser.add_argument("--budget"); parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    print("options", options.lr, options.budget, options.rest, sys.argv[0].endswith("script.py"))
    model = Net(); optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    for _ in range(12):
        F.cross_entropy(model(X), Y).backward(); optimizer.step(); optimizer.zero_grad()
if __name__ == "__main__":
    main()
""",
    "gan": MODEL
    + """
G = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64)); D = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(.2), nn.Linear(32, 1))
og, od = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
for _ in range(30):
    fake = G(torch.randn(64, 8))
    od.zero_grad(); (F.softplus(-D(X)).mean() + F.softplus(D(fake.detach())).mean()).backward(); od.step()
    og.zero_grad(); F.softplus(-D(G(torch.randn(64, 8)))).mean().backward(); og.step()
""",
    "amp": MODEL
    + """
model = Net(); optimizer = torch.optim.SGD(model.parameters(), lr=0.05); scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
for step in range(24):
    for part in range(4):
        rows = slice(16 * part, 16 * part + 16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(X[rows]), Y[rows]) / 4
        scaler.scale(loss).backward()
    scaler.step(optimizer); scaler.update(); optimizer.zero_grad()
""",
    "stale": MODEL
    + """
model = Net(); optimizer = torch.optim.Adam(model.parameters(), lr=1e-3); model = Net()
for step in range(12):
    optimizer.zero_grad(); F.cross_entropy(model(X), Y).backward(); optimizer.step()
""",
    "number": MODEL
    + """
model = Net(); optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for step in range(12):
    optimizer.zero_grad(); loss = F.cross_entropy(model(X), Y)
    torch.tensor(loss.item(), requires_grad=True).backward(); optimizer.step()
""",
    "nothing": "print('no training here')\n",
}


def photic(folder: Path, *arguments: str, anew: bool = False) -> subprocess.CompletedProcess[str]:
    """With `anew` in a process of its own from the start, for what is about how a process starts, is limited and ends."""
    return started([sys.executable, "-m", "photic", "run", *arguments], folder, anew=anew)


def plainly(folder: Path, *, anew: bool = False) -> subprocess.CompletedProcess[str]:
    done = started([sys.executable, "script.py"], folder, anew=anew)
    assert done.returncode == 0, done.stderr
    return done


def started(command: list[str], folder: Path, *, anew: bool) -> subprocess.CompletedProcess[str]:
    if not anew:
        return children.run(command, cwd=folder, OMP_NUM_THREADS="1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def whole(folder: Path) -> tuple[Checkup, StoreReader]:
    (store,) = (folder / "photic-runs").glob("*.sqlite")
    record = read(store.with_suffix(".json"))
    assert isinstance(record, Checkup)
    return record, StoreReader(store)


def launched(
    folder: Path, name: str, *arguments: str, before: tuple[str, ...] = (), anew: bool = False
) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPTS[name])
    return photic(folder, *before, "script.py", *arguments, anew=anew)


@pytest.mark.parametrize(
    ("name", "code"),
    [("plain", 0), ("sick", 0), ("crash", 1), ("exits", 7), ("interrupted", 130), ("amp", 0), ("gan", 0)],
)
def test_the_exit_code_is_the_scripts_and_the_record_is_whole(tmp_path: Path, name: str, code: int) -> None:
    done = launched(tmp_path, name, anew=name == "plain")
    assert done.returncode == code, done.stderr
    record, reader = whole(tmp_path)
    assert len(reader.rows("loss")) >= 3
    assert reader.facts()["steps"] > 10
    assert record.healthy == (name != "sick"), done.stderr
    assert "photic-runs" in done.stderr and "watched" in done.stderr
    if name == "sick":
        (store,) = (tmp_path / "photic-runs").glob("*.sqlite")
        shown = children.run([sys.executable, "-m", "photic", "report", str(store)])
        assert shown.returncode == 0 and "vanishing-gradient: the gradient reaches" in shown.stderr
        assert "critical vanishing-gradient" in done.stderr and "script.py:" in done.stderr
    if name == "crash":
        assert "the user stops here" in done.stderr and "photic/cli" not in done.stderr
    if name == "plain":
        alone = plainly(tmp_path)
        assert done.stdout == alone.stdout  # the same loss, to the last digit


def test_a_record_is_that_of_the_last_run(tmp_path: Path) -> None:
    for name in ("plain", "interrupted"):
        launched(tmp_path, name, before=("--record", "kept.sqlite"))
    reader = StoreReader(tmp_path / "kept.sqlite")
    assert [step for step, _ in reader.rows("loss")] == [1, 3, 9] and reader.facts()["steps"] == 21 and reader.lost == 0


def test_arguments_after_the_script_are_its_own(tmp_path: Path) -> None:
    done = launched(tmp_path, "main", "--lr", "0.01", "--budget", "theirs", "a", "b", before=("--budget", "0.05"))
    assert done.returncode == 0, done.stderr
    assert "options 0.01 theirs ['a', 'b'] True" in done.stdout


def test_findings_fail_where_that_is_asked_for_and_json_is_last(tmp_path: Path) -> None:
    done = launched(tmp_path, "sick", before=("--fail-on", "critical", "--json"))
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "checkup"


def test_a_package_with_relative_imports_runs_as_a_module(tmp_path: Path) -> None:
    package = tmp_path / "project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(MODEL)
    (package / "train.py").write_text("from .net import Net, X, Y, F, torch\n" + LOOP.format(act="", inside="pass"))
    done = photic(tmp_path, "-m", "project.train")
    assert done.returncode == 0, done.stderr
    record, _ = whole(tmp_path)
    assert record.run.sites[0].where.startswith("project/net.py:")


def test_a_script_without_training_or_without_a_file_is_told(tmp_path: Path) -> None:
    done = launched(tmp_path, "nothing")
    assert done.returncode == 0 and "no training step was seen" in done.stderr
    missing = photic(tmp_path, "absent.py")
    assert missing.returncode == 3 and "there is no script absent.py" in missing.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stale", "Adam stepped 12 times and holds no parameter of Net"),
        ("number", "12 steps were made, and in none of them a backward pass"),
    ],
)
def test_a_training_of_which_nothing_can_be_read_is_told_why_and_fails_in_ci(
    tmp_path: Path, name: str, said: str
) -> None:
    done = launched(tmp_path, name, before=("--fail-on", "critical"))
    assert said in done.stderr.replace("\n", " ") and done.returncode == 1
