"""The commands as a user calls them: what they print, their exit codes, and what they say when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from photic.cli.main import run
from photic.diagnosis.registry import rules
from photic.lab.examples import deep_sigmoid

HEALTHY = """
import torch
import torch.nn.functional as F
from torch import nn

def network():
    model = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(64, 64), nn.ReLU())], nn.Linear(64, 10))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model

class Dict(nn.Module):
    def __init__(self):
        super().__init__()
        self.lower, self.upper = nn.Linear(8, 8), nn.Linear(8, 3)
    def forward(self, x):
        return {"logits": self.upper(torch.relu(self.lower(x))), "note": "text"}

def with_dict():
    x, y = torch.randn(16, 8), torch.randint(3, (16,))
    return Dict(), [(x, y)] * 4, lambda out, t: F.cross_entropy(out["logits"], t)

class Cut(Dict):
    def forward(self, x):
        x = self.lower(x).detach()
        return self.upper(torch.relu(x))

def cut():
    return Cut(), (torch.randn(32, 8), torch.randint(3, (32,)))

class Broken(Dict):
    def forward(self, x):
        x = torch.relu(self.lower(x))
        return self.upper(x[:, :5])

def broken():
    return Broken(), (torch.randn(32, 8), torch.randint(3, (32,)))

def raising():
    raise KeyError("weights are missing")

def number():
    return 7

constant = 7

def five():
    return 1, 2, 3, 4, 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(HEALTHY)
    (tmp_path / "bad_import.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_check_finds_the_example_sick(say: Say) -> None:
    code, out, err = say("check", f"{deep_sigmoid.__file__}:network")
    assert code == 1 and out == ""
    assert "vanishing-gradient: the gradient reaches 2 of 11 layers" in err
    assert "slope is at most 0.25" in err and "deep_sigmoid.py:25" in err
    assert "10 x sigmoid: 0.24" in err


def test_check_finds_a_healthy_network_healthy_and_says_that_inputs_were_drawn(folder: Path, say: Say) -> None:
    code, _, err = say("check", "nets.py:network")
    assert code == 0
    assert "healthy: the gradient reaches 7 of 7 layers" in err
    assert "no data was given: 32 standard normal inputs of 64 numbers" in err
    assert "cross-entropy on random labels of 10 classes" in err
    assert "no optimizer was given" in err


def test_check_takes_a_model_that_returns_a_dict(folder: Path, say: Say) -> None:
    code, out, _ = say("check", "nets.py:with_dict", "--json")
    document = json.loads(out)
    assert code == 0 and document["kind"] == "checkup" and document["schema_version"] == 1
    assert document["record"]["diagnosis"]["findings"] == []


def test_check_names_a_cut_with_its_line(folder: Path, say: Say) -> None:
    code, _, err = say("check", "nets.py:cut")
    line = next(i for i, text in enumerate(HEALTHY.splitlines(), 1) if ".detach()" in text)
    assert code == 1 and "severed-gradient" in err and f"nets.py:{line}" in err


def test_a_forward_that_raises_shows_the_network_up_to_there(folder: Path, say: Say) -> None:
    code, _, err = say("check", "nets.py:broken")
    assert code == 3
    assert "RuntimeError in upper" in err and "shapes cannot be multiplied" in err
    assert "lower" in err and "/relu#1" in err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("net.py:network", "there is no file net.py; did you mean nets.py?"),
        ("nets.py:netwrk", "did you mean network?"),
        ("nets.py:constant", "is a int and cannot be called"),
        ("nets.py:number", "gives a int; expected a torch.nn.Module"),
        ("nets.py:five", "gives a tuple of 5"),
        ("nets.py:raising", "KeyError: 'weights are missing'"),
        ("bad_import.py:x", "No module named 'nowhere_to_be_found'"),
        ("nets.py", "expected FILE.py:NAME"),
        ("nets.py", "photic run nets.py"),
        ("no.such.module:x", "there is no module"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_answered_with_what_to_do(
    folder: Path, say: Say, target: str, said: str
) -> None:
    code, out, err = say("check", target, "--json")
    assert code == 3 and said in err
    assert said in json.loads(out)["error"]  # stdout is valid JSON even then


def test_an_unknown_option_is_a_usage_error(say: Say) -> None:
    assert say("check", "x.py:y", "--nonsense")[0] == 2
    assert say("nonsense")[0] == 2


def test_inputs_are_drawn_as_asked(folder: Path, say: Say) -> None:
    code, _, err = say("check", "nets.py:network", "--input", "float32[4,64]", "--steps", "0")
    assert code == 0 and "inputs were drawn as float32[4,64]" in err
    code, _, err = say("check", "nets.py:network", "--input", "four by four")
    assert code == 3 and "--input is" in err


def test_a_saved_record_is_reported_without_torch(folder: Path, say: Say) -> None:
    assert say("check", f"{deep_sigmoid.__file__}:network", "--save", "run.json", "--html", "run.html")[0] == 1
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from photic.cli.main import run\n"
        "code = run(['report', 'run.json', '--html', 'again.html']) or run(['report', 'run.json'])\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the gradient reaches 2 of 11 layers" in done.stderr
    assert Path("again.html").read_text() == Path("run.html").read_text()


def test_a_record_that_is_none_is_refused(folder: Path, say: Say) -> None:
    assert say("report", "missing.json")[0] == 3
    Path("other.json").write_text('{"a": 1}')
    code, _, err = say("report", "other.json")
    assert code == 3 and "not a photic record" in err


@pytest.mark.slow
def test_treat_writes_the_patch_and_keeps_the_old_file(folder: Path, say: Say) -> None:
    source = Path(deep_sigmoid.__file__).read_text()
    Path("copied.py").write_text(source)
    code, _, err = say(
        "treat", "copied.py:network", "--steps", "120", "--write", "--save", "t.json", "--figure", "t.svg"
    )
    assert code == 0 and "cured by" in err
    assert Path("copied.py.orig").read_text() == source != Path("copied.py").read_text()
    assert Path("t.svg").read_text().startswith("<?xml")
    assert say("check", "copied.py:network")[0] == 0


def test_treat_leaves_a_healthy_network_alone(folder: Path, say: Say) -> None:
    code, _, err = say("treat", "nets.py:with_dict", "--steps", "20")
    assert code == 0 and "healthy" in err


def test_explain_prints_the_rules_own_documentation(say: Say) -> None:
    code, _, err = say("explain")
    assert code == 0 and all(rule.problem in err for rule in rules())
    code, _, err = say("explain", "vanishing-gradient")
    assert code == 0 and "False alarms:" in err and "glorot2010" in err
    code, _, err = say("explain", "vanishing-gradien")
    assert code == 2 and "did you mean vanishing-gradient" in err


def test_predict_prints_theory_beside_nothing_measured(folder: Path, say: Say) -> None:
    code, out, _ = say("predict", "nets.py:network", "--json")
    assert code == 0
    first = json.loads(out)["record"]["sites"][0]
    assert first["site"] == "0" and 0.3 < first["transport"] < 3.0


def test_help_names_every_command(say: Say) -> None:
    code, out, _ = say("--help")
    assert code == 0
    for command in ("check", "demo", "explain", "predict", "report", "treat"):
        assert command in out


def test_plot_draws_activations_phase_diagrams_and_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.svg"
    assert run(["plot", "sigmoid", "gelu", "--out", str(out)]) == 0
    shown = capsys.readouterr().err
    assert "10.1493" in shown and "the length runs away" in shown
    assert out.read_text().startswith("<?xml")
    assert run(["plot", "tanh", "--phase", "--out", str(tmp_path / "p.png"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["record"]
    assert len(record["gains"]) == len(record["bias_variances"])
    assert (tmp_path / "p.png").stat().st_size > 10_000
    assert run(["plot", f"{deep_sigmoid.__file__}:build", "--out", str(tmp_path / "n.svg")]) == 0
    assert run(["plot", "tanhh"]) == 2
    assert "did you mean tanh" in capsys.readouterr().err
    assert run(["plot", "--phase"]) == 2


def test_dissect_shows_the_mean_that_sigmoids_carry(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dissect", f"{deep_sigmoid.__file__}:build"]) == 0
    shown = capsys.readouterr().err
    assert "100.0 %" in shown and "singular values" in shown
    assert run(["dissect", f"{deep_sigmoid.__file__}:build", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["record"]["sites"]) == 21
