"""The page of the public interface: signatures and documentation of what `import photic` gives, and of what stands beside it."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from docstrings import cited, markdown

import photic

_HEAD = """# Python

`import photic` is quick: names are imported when they are first used, and reading a saved record needs no torch. What these functions take:

- **batch**: `(inputs, targets)`, or a tensor or dict alone where no targets are needed. `inputs` is what the model is called with: a
  tensor, a tuple of positional or a dict of keyword arguments.
- **batches**: an iterable of batches, or a callable without arguments that returns a fresh iterator (it may be endless).
- **loss**: `loss(output, targets) -> scalar`; None where the output has a `.loss` of its own.
- **optimizer**: a live `torch.optim.Optimizer`, or a callable `model -> optimizer`.
- **build**: a callable without arguments that returns the module, or a module, which is copied.

The records that they return are on the page [What is measured](statistics.md).
"""
_CALLBACKS = """`PhoticCallback` for [Lightning](../cookbook/lightning.md), the [Hugging Face Trainer](../cookbook/transformers.md) and
[Keras](../cookbook/keras.md) takes the options of `photic.watch`; `.watch` is its handle."""
_FUNCTIONS = ("measure", "predict", "diagnose", "check", "watch", "treat", "dissect", "initialise", "read", "write")
_BESIDE = (
    ("photic.testing", "assert_gradients_flow"),
    ("photic.integrations.distributed", "watch"),
    ("photic.integrations.accelerate", "watch"),
    ("photic.integrations.trackers", "tracked"),
    ("photic.lab.sweep", "sweep"),
)
_THEORY = (
    ("photic.activations", ("find", "names")),
    (
        "photic.theory.maps",
        ("length_map", "gradient_gain", "fixed_length", "depth_scale", "critical_point", "correlation_map"),
    ),
    ("photic.theory.depth_scales", ("fixed_point", "critical_at")),
    (
        "photic.theory.laws",
        ("batch_norm_gain", "normalised_gain", "pre_norm_gradient", "residual_growth", "shattering"),
    ),
)


def page() -> str:
    """Return the page."""
    parts = [_HEAD.strip()]
    parts += [_entry(f"photic.{name}", getattr(photic, name)) for name in _FUNCTIONS]
    parts.append("## photic.Treatment\n\n" + markdown(photic.Treatment) + "\n\n" + _members(photic.Treatment))
    parts.append(f"## Beside it\n\n{_CALLBACKS}")
    for place, name in _BESIDE:
        parts.append(_entry(f"{place}.{name}", getattr(importlib.import_module(place), name), level="###"))
    parts.append("## Theory by itself\n\nNumPy and SciPy alone; `import photic.theory` needs no torch.")
    for place, names in _THEORY:
        module = importlib.import_module(place)
        parts += [_entry(f"{place}.{name}", getattr(module, name), level="###") for name in names]
    return "\n\n".join(parts)


def _entry(name: str, thing: Any, *, level: str = "##") -> str:
    told = f"{level} {name}\n\n```py\n{name.rpartition('.')[2]}{_signature(thing)}\n```\n\n{cited(markdown(thing))}"
    members = _members(thing) if inspect.isclass(thing) else ""
    return f"{told}\n\n{members}".strip()


def _signature(thing: Any) -> str:
    text = str(inspect.signature(thing)).replace("'", "")
    text = re.sub(r"\btorch\.(nn\.modules\.module|optim\.optimizer|_tensor)\.", "", text)
    text = re.sub(
        r"<function .*?>+ at 0x\w+>|<function \S+ at 0x\w+>", "...", text
    )  # an address differs from run to run
    if len(text) < 90:
        return text
    inside, _, after = text[1:].rpartition(")")
    return "(\n" + "".join(f"    {part.strip()},\n" for part in _arguments(inside)) + ")" + after


def _arguments(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _members(kind: type) -> str:
    lines: list[str] = []
    for name, member in vars(kind).items():
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        shown = name if isinstance(member, property) else f"{name}{_short(member)}"
        lines.append(f"- `{shown}`: {(inspect.getdoc(member) or '').splitlines()[0] if inspect.getdoc(member) else ''}")
    return "\n".join(lines)


def _short(function: Any) -> str:
    return "(" + ", ".join(p.name for p in list(inspect.signature(function).parameters.values())[1:]) + ")"
