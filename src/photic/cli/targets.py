"""Targets: load `FILE.py:NAME`, `package.module:NAME`, `hf:ID` or `timm:NAME` and find out what it gives."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from photic.cli.failures import TargetFailure
from photic.cli.sources import exported, hugging_face, load_weights, refusal, timm_model


@dataclass
class Target:
    """What a target gives.

    Attributes:
        build: returns a fresh model.
        model: one model, already built.
        batches: as the user gave them, or drawn; see `notes`.
        loss: the user's, or a default; None when the output carries its own.
        optimizer: callable, live optimizer or None.
        notes: what was assumed.
    """

    build: Callable[[], Any]
    model: Any
    batches: Any
    loss: Any
    optimizer: Any
    notes: list[str]

    def optimizer_of_each(self) -> Any:
        """Return the optimizer as a callable: a live one is made again over each model that `build` returns."""
        from torch.optim import Optimizer

        from photic.checkups.setup import make_optimizer

        live = self.optimizer
        return (lambda model: make_optimizer(live, model, self.model)) if isinstance(live, Optimizer) else live


def load(text: str, *, shape: str = "", seed: int = 0, weights: Path | None = None, trust: bool = False) -> Target:
    """Load a target.

    `hf:` and `timm:` names give a model with random weights; a `.pt2` file is loaded only with `trust`, because loading it
    runs code. `weights` are loaded into the model from `.safetensors` or a state dict.

    NAME may be a module, a class of modules without required arguments, or a callable that returns a module,
    `(model, batch)`, `(model, batches, loss)` or `(model, batches, loss, optimizer)`.

    Raises:
        TargetFailure: with what was given, what was expected and what to do.
    """
    foreign = _foreign(text, trust)
    if foreign is not None:
        given, parts = foreign, _built(foreign, seed)
    else:
        file, separator, name = text.rpartition(":")
        if not separator or not name or not file:
            script = f". To watch a training script, unchanged: photic run {text}" if text.endswith(".py") else ""
            raise TargetFailure(
                f"expected FILE.py:NAME, package.module:NAME or hf:ID, got {text!r}; for example model.py:build{script}"
            )
        module = _import(file)
        given = _attribute(module, file, name)
        parts = _built(lambda: _parts(_called(given, text), text), seed)
    model = parts[0]
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TargetFailure(
            f"{text} gives a {type(model).__name__}; expected a torch.nn.Module, or (model, batch), (model, batches, loss) "
            "or (model, batches, loss, optimizer)"
        )

    def build() -> Any:
        built = foreign()[0] if foreign is not None else _parts(_called(given, text), text)[0]
        if built is model:  # NAME is a module, not what builds one
            from photic.checkups.copies import deep_copy

            return deep_copy(model)
        if weights is not None:
            load_weights(built, weights)
        return built

    import inspect

    if inspect.isfunction(given) and foreign is None and weights is None:
        build.__dict__["__wrapped__"] = given  # so that a patch finds the user's function
    notes = [] if weights is None else [load_weights(model, weights)]
    return _completed(Target(build, model, None, None, None, notes), parts, shape, seed)


def _foreign(text: str, trust: bool) -> Callable[[], tuple[Any, ...]] | None:
    """Return what builds a target that is no Python of the user's; None for one that is."""
    kind, _, name = text.partition(":")
    if kind == "hf" and name:
        return lambda: (hugging_face(name),)
    if kind == "timm" and name:
        return lambda: (timm_model(name),)
    if text.endswith(".pt2"):
        if not trust:
            raise TargetFailure(
                f"{text}: loading an exported program can run code that is hidden in it; if you trust the file, add --trust"
            )
        return lambda: (exported(Path(text)),)
    reason = refusal(text)
    if reason:
        raise TargetFailure(reason)
    return None


def _built(build: Callable[[], tuple[Any, ...]], seed: int) -> tuple[Any, ...]:
    from photic.probes.generators import seeded

    with seeded(seed):
        return build()


def _import(file: str) -> ModuleType:
    path = Path(file)
    if file.endswith(".py") or path.exists():
        if not path.is_file():
            near = difflib.get_close_matches(
                path.name, [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
            )
            hint = f"; did you mean {path.parent / near[0]}?" if near else f"; the working directory is {Path.cwd()}"
            raise TargetFailure(f"there is no file {file}{hint}")
        name = f"_photic_target_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path.resolve())
        if spec is None or spec.loader is None:
            raise TargetFailure(f"{file} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        folder = str(path.resolve().parent)
        sys.path.insert(0, folder)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise TargetFailure(f"{file} could not be imported:\n{_users_lines(error)}") from error
        return module
    try:
        sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(file)
    except ModuleNotFoundError as error:
        raise TargetFailure(f"there is no module {file!r} ({error}); for a file write {file}.py:NAME") from error
    except Exception as error:
        raise TargetFailure(f"{file} could not be imported:\n{_users_lines(error)}") from error


def _users_lines(error: Exception) -> str:
    """Return the end of the traceback without our own frames."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if "importlib" not in f.filename and "/photic/cli/" not in f.filename
    ]
    lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames[-5:]]
    return "\n".join([*lines, f"  {type(error).__name__}: {error}"])


def _attribute(module: ModuleType, file: str, name: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    own = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    near = difflib.get_close_matches(name, own)
    hint = f"did you mean {near[0]}? " if near else ""
    raise TargetFailure(f"{file} has no {name!r}; {hint}it defines {', '.join(own) or 'no function or class'}")


def _called(given: Any, text: str) -> Any:
    import torch

    if isinstance(given, (torch.nn.Module, torch.Tensor, dict, tuple)) or not callable(given):
        if not isinstance(given, (torch.nn.Module, torch.Tensor, dict, tuple)):
            raise TargetFailure(
                f"{text} is a {type(given).__name__} and cannot be called; expected a function that returns a torch.nn.Module, "
                "or a module"
            )
        return given
    try:
        return given()
    except Exception as error:
        raise TargetFailure(f"{text} could not be called without arguments:\n{_users_lines(error)}") from error


def _parts(given: Any, text: str) -> tuple[Any, ...]:
    parts = given if isinstance(given, tuple) else (given,)
    if not 1 <= len(parts) <= 4:
        raise TargetFailure(
            f"{text} gives a tuple of {len(parts)}; expected (model, batches, loss, optimizer) or a beginning of it"
        )
    return parts


def _completed(target: Target, parts: tuple[Any, ...], shape: str, seed: int) -> Target:
    from photic.cli.inputs import InputFailure, drawn_inputs, guessed_loss
    from photic.cli.transformer_inputs import configured_inputs

    target.loss = parts[2] if len(parts) > 2 else None
    target.optimizer = parts[3] if len(parts) > 3 else None
    if len(parts) == 2:
        target.batches = [parts[1]] * 2 if not callable(parts[1]) else parts[1]
        if isinstance(parts[1], list) and len(parts[1]) != 2:
            target.batches = parts[1]
        if not callable(parts[1]):
            target.notes.append("one batch was given: it serves for every step")
    elif len(parts) > 2:
        target.batches = parts[1]
    try:
        if target.batches is None and shape.rpartition(":")[0]:
            file, _, name = shape.rpartition(":")
            batch = _called(_attribute(_import(file), file, name), shape)
            target.notes.append(f"the batch of {shape} serves for every step")
            target.batches = [batch if isinstance(batch, tuple) else (batch, None)] * 2
        elif target.batches is None and not shape and hasattr(target.model, "main_input_name"):
            given, note = configured_inputs(target.model, seed)
            target.notes.append(note)
            target.batches = [(given, None)] * 2
        elif target.batches is None:
            inputs, note = drawn_inputs(target.model, shape, seed)
            target.notes.append(note)
            target.batches = [(inputs, None)] * 2
        if target.loss is None:
            loss, batches, note = guessed_loss(target.model, target.batches, seed)
            target.loss, target.batches = loss, batches
            if note:
                target.notes.append(note)
    except InputFailure as error:
        raise TargetFailure(str(error)) from error
    return target
