"""Targets that are no Python: `hf:`, `timm:`, exported programs; and weights for a model that Python builds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photic.cli.failures import TargetFailure

CHECKPOINTS = (".pt", ".pth", ".bin", ".ckpt")


def hugging_face(name: str) -> Any:
    """Return a model with random weights from a configuration; nothing of the hub's code runs, no weights are loaded.

    Args:
        name: a folder with `config.json`, that file, or the id of a model on the hub.

    Raises:
        TargetFailure: if there is no such configuration, or it names code of its own.
    """
    try:
        import transformers  # pyright: ignore[reportMissingImports]
    except Exception as error:
        raise TargetFailure(f"hf: needs transformers ({error}); `pip install 'photic[hf]'`") from error
    library: Any = transformers
    try:
        config: Any = library.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        raise TargetFailure(
            f"hf:{name}: no configuration could be loaded: {_first_line(error)}; give a folder with a config.json of a model "
            "that transformers knows, or an id on the hub. Code that comes with a model is never run"
        ) from error
    kind = (getattr(config, "architectures", None) or [""])[0]
    made: Any = getattr(library, kind, None)
    try:
        if isinstance(made, type) and issubclass(made, library.PreTrainedModel):  # any other name is none to call
            return made(config)
        return library.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise TargetFailure(f"hf:{name}: {kind or 'the model'} could not be built: {_first_line(error)}") from error


def timm_model(name: str) -> Any:
    """Return a model of timm with random weights.

    Raises:
        TargetFailure: if timm does not work here or has no such model.
    """
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except Exception as error:  # its torchvision may be built for CUDA, which is a RuntimeError
        raise TargetFailure(
            f"timm: needs a working timm ({_first_line(error)}); `pip install timm`, and a torchvision that was built for this torch"
        ) from error
    library: Any = timm
    try:
        return library.create_model(name, pretrained=False)
    except Exception as error:
        raise TargetFailure(f"timm:{name}: {_first_line(error)}") from error


def exported(path: Path) -> Any:
    """Return the module of an exported program; only for files that are trusted, in a process of its own.

    Raises:
        TargetFailure: if it cannot be loaded.
    """
    import torch

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        return torch.export.load(path).module()
    except Exception as error:
        raise TargetFailure(f"{path} could not be loaded as an exported program: {_first_line(error)}") from error


def in_a_child(arguments: list[str]) -> int:
    """Run photic with these arguments in a child process that unpickles nothing but weights; return its exit code."""
    import subprocess

    environment = {**os.environ, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "PHOTIC_CHILD": "1"}
    return subprocess.run([sys.executable, "-m", "photic", *arguments], env=environment, check=False).returncode


def load_weights(model: Any, path: Path) -> str:
    """Load weights into the model and return a note; no code in the file is run.

    Args:
        path: `.safetensors`, or a checkpoint of `torch.save` with a state dict, read with `weights_only=True`.

    Raises:
        TargetFailure: if the file holds anything but tensors, or they do not fit.
    """
    state = _state(path)
    own = model.state_dict()
    prefixes = ("", "module.", "model.", "_orig_mod.", "net.")
    found = next(
        (p for p in prefixes if any(name.removeprefix(p) in own for name in state if name.startswith(p))), None
    )
    if found is None:
        raise TargetFailure(
            f"{path} has no weight of this {type(model).__name__}: it has {', '.join(sorted(state)[:4])} ..., the model "
            f"{', '.join(sorted(own)[:4])} ..."
        )
    fitted = {name.removeprefix(found): value for name, value in state.items()}
    try:
        missing, unexpected = model.load_state_dict(fitted, strict=False)
    except RuntimeError as error:
        raise TargetFailure(f"{path} does not fit this {type(model).__name__}: {error}") from error
    note = f"weights of {path.name} were loaded"
    if missing:
        note += f"; {len(missing)} are not in it and stay as built ({', '.join(missing[:3])})"
    if unexpected:
        note += f"; {len(unexpected)} are not in the model ({', '.join(unexpected[:3])})"
    return note


def _state(path: Path) -> Mapping[str, Any]:
    import torch

    if not path.is_file():
        raise TargetFailure(f"there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file  # pyright: ignore[reportMissingImports]
        except Exception as error:
            raise TargetFailure(f"{path} needs safetensors ({error}); `pip install 'photic[hf]'`") from error
        try:
            return load_file(path)
        except Exception as error:
            raise TargetFailure(f"{path} is no safetensors file: {_first_line(error)}") from error
    if path.suffix not in CHECKPOINTS:
        raise TargetFailure(f"--weights takes .safetensors, {', '.join(CHECKPOINTS)}; got {path.name}")
    try:
        given: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TargetFailure(
            f"{path} holds more than tensors, and loading it would run code; photic does not do that. Save the weights "
            f"alone, `torch.save(model.state_dict(), path)` ({_first_line(error)})"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(given, Mapping) and isinstance(given.get(key), Mapping):
            given = given[key]
    tensors = {str(k): v for k, v in given.items() if isinstance(v, torch.Tensor)} if isinstance(given, Mapping) else {}
    if not tensors:
        raise TargetFailure(f"{path} holds a {type(given).__name__} without tensors by name; expected a state dict")
    return tensors


def refusal(text: str) -> str:
    """Return why a target that is a file of another kind is not loaded, and what to do; '' if it is none."""
    suffix = Path(text).suffix
    if suffix in (".safetensors", *CHECKPOINTS):
        return f"{text} holds weights and no architecture; write FILE.py:NAME --weights {text}"
    if suffix == ".onnx":
        return f"{text}: an ONNX graph has no gradients; give the PyTorch model that it was exported from, FILE.py:NAME"
    if suffix == ".torchscript":
        return f"{text}: TorchScript is deprecated; give the Python model, FILE.py:NAME, or torch.export it to .pt2"
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
