"""Targets that are no Python, and weights from files: what loads, and that nothing hidden in a file is run."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from photic.cli.failures import TargetFailure
from photic.cli.main import run
from photic.cli.sources import load_weights
from photic.cli.targets import load

MODEL = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

def batch():
    return torch.full((6, 8), 2.0), torch.zeros(6, dtype=torch.long)
"""


class Touches:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "model.py").write_text(MODEL)
    return f"{tmp_path / 'model.py'}:build"


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize("form", ["bare", "lightning", "ddp"])
def test_weights_of_a_state_dict_are_loaded(tmp_path: Path, model: str, form: str) -> None:
    trained = network()
    state: Any = trained.state_dict()
    saved = {
        "bare": state,
        "lightning": {"state_dict": {f"net.{k}": v for k, v in state.items()}, "epoch": 3},
        "ddp": {f"module.{k}": v for k, v in state.items()},
    }[form]
    torch.save(saved, tmp_path / "weights.pt")
    loaded = load(model, weights=tmp_path / "weights.pt")
    for one in (loaded.model, loaded.build()):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), trained.parameters()))
    assert "weights of weights.pt were loaded" in loaded.notes


@pytest.mark.skipif(importlib.util.find_spec("safetensors") is None, reason="safetensors is not installed here")
def test_safetensors_are_loaded(tmp_path: Path, model: str) -> None:
    from safetensors.torch import save_file

    trained = network()
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    loaded = load(model, weights=tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), trained.parameters()))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, model: str) -> None:
    torch.save({"state_dict": network().state_dict(), "x": Touches(tmp_path / "ran")}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Touches(tmp_path / "ran")))
    torch.save(network(), tmp_path / "whole.pt")
    for name in ("evil.pt", "plain.pt", "whole.pt"):
        with pytest.raises(TargetFailure, match="holds more than tensors, and loading it would run code"):
            load(model, weights=tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_weights_that_do_not_fit_say_what_they_have(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(TargetFailure, match=r"it has encoder.weight ..., the model 0.bias, 0.weight"):
        load_weights(network(), tmp_path / "other.pt")
    state: Any = network().state_dict()
    state["0.weight"] = torch.ones(3, 3)
    torch.save(state, tmp_path / "wide.pt")
    with pytest.raises(TargetFailure, match="does not fit this Sequential"):
        load_weights(network(), tmp_path / "wide.pt")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("weights.safetensors", "holds weights and no architecture; write FILE.py:NAME --weights"),
        ("net.onnx", "has no gradients; give the PyTorch model"),
        ("net.pt2", "if you trust the file, add --trust"),
        ("hf:does/not-exist", "hf:"),
        ("nonsense", "expected FILE.py:NAME, package.module:NAME or hf:ID"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_what_to_do(
    target: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run(["check", target]) == 3
    assert words in capsys.readouterr().err


def test_a_model_of_timm_is_built_without_its_weights_and_a_broken_timm_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """timm is never in our environments: its torchvision breaks a CPU torch. A stand-in has its one function."""
    asked: list[tuple[str, bool]] = []

    def create_model(name: str, *, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        if name != "resnet18":
            raise RuntimeError(f"Unknown model ({name})")
        return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 3))

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    assert run(["check", "timm:resnet18", "--input", "float32[8,3,4,4]", "--steps", "0", "--json"]) in (0, 1)
    record = json.loads(capsys.readouterr().out)["record"]
    assert [s["operation"] for s in record["run"]["sites"]].count("linear") == 2 and ("resnet18", False) in asked
    assert run(["check", "timm:wobble", "--input", "float32[8,3,4,4]"]) == 3
    assert "timm:wobble: Unknown model (wobble)" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "timm", None)
    assert run(["check", "timm:resnet18"]) == 3
    assert "needs a working timm" in capsys.readouterr().err


def test_a_function_may_give_the_batch(tmp_path: Path, model: str) -> None:
    loaded = load(model, shape=f"{tmp_path / 'model.py'}:batch")
    assert torch.equal(loaded.batches[0][0], torch.full((6, 8), 2.0)) and loaded.batches[0][1].shape == (6,)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    torch.export.save(torch.export.export(network(), (torch.randn(32, 8),)), path)
    return path


def test_an_exported_program_is_checked(exported: Path, capfd: pytest.CaptureFixture[str], forked: None) -> None:
    assert run(["check", str(exported), "--trust", "--input", "float32[32,8]", "--steps", "0", "--json"]) in (0, 1)
    record = json.loads(capfd.readouterr().out)["record"]
    assert [s["operation"] for s in record["run"]["sites"]].count("linear") == 2
    assert all(reading["gradient"]["rms"] > 0 for reading in record["run"]["steps"][0]["parameters"])


def test_an_exported_program_is_loaded_in_a_process_that_unpickles_nothing(
    exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "evil.pt2"
    with zipfile.ZipFile(exported) as whole, zipfile.ZipFile(evil, "w") as other:
        for item in whole.infolist():
            hidden = "sample_inputs" in item.filename
            torch.save(Touches(tmp_path / "ran"), tmp_path / "part.pt")
            other.writestr(item, (tmp_path / "part.pt").read_bytes() if hidden else whole.read(item))
    code = run(["check", str(evil), "--trust", "--input", "float32[32,8]", "--steps", "0"])
    assert code == 3 and "could not be loaded" in capfd.readouterr().err
    assert not (tmp_path / "ran").exists() and "torch" in sys.modules


CONFIGURATIONS = {
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 64,
             "n_positions": 32, "bos_token_id": 0, "eos_token_id": 0},
    "bert": {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 64},
    "vit": {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32, "patch_size": 8},
    "bare": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 64, "n_positions": 32},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed here")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_of_transformers_is_checked_with_random_weights(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGURATIONS[name]))
    assert run(["check", f"hf:{tmp_path}", "--steps", "2", "--json"]) in (0, 1)
    record = json.loads(capsys.readouterr().out)["record"]
    assert not record["run"]["stopped"] and record["run"]["steps"][0]["loss"] > 0
    assert "were drawn as the configuration says" in record["notes"][0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed here")
def test_a_configuration_that_names_something_else_calls_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    called: list[object] = []
    monkeypatch.setattr(transformers, "pipeline", called.append)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIGURATIONS["bare"], "architectures": ["pipeline"]}))
    assert run(["check", f"hf:{tmp_path}", "--steps", "0", "--json"]) in (0, 1)
    assert called == [] and json.loads(capsys.readouterr().out)["record"]["run"]["model"] == "GPT2Model"


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed here")
def test_code_that_comes_with_a_configuration_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(TargetFailure, match="Code that comes with a model is never run"):
        load(f"hf:{tmp_path}")
    assert not (tmp_path / "ran").exists()
