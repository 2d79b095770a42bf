"""Untouched: after the block, the model, torch's modes and all random generators are as before."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import generators
from photic.probes.writing import Written

_REGISTRIES = ("_parameters", "_buffers", "_modules")


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Restore buffers, attributes, parameters, modes and generators that the block changes.

    Restored: the values of buffers (BatchNorm's running statistics), attributes that a forward sets on its
    module, parameters that a call writes into, training flags, the state of torch's, Python's and numpy's generators, grad mode. Compiled parts
    run eagerly inside. Not restored: what a forward writes in place into its own lists and files.
    """
    attributes = [(module, dict(vars(module)), _registries(module)) for module in model.modules()]
    buffers: list[tuple[Tensor, Tensor]] = [
        (buffer, buffer.detach().clone()) for buffer in model.buffers() if not buffer.is_meta
    ]
    with ExitStack() as stack:
        stack.enter_context(generators.kept())
        if "torch._dynamo" in sys.modules:  # else nothing can be compiled, and importing it costs a second
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(warnings.catch_warnings())
            # Global hooks also run for the wrapper that torch.compile makes; our names leave it out.
            warnings.filterwarnings("ignore", message=r"Using `torch.compile\(module\)` when there are global hooks")
        written = stack.enter_context(Written(model))
        try:
            yield
        finally:
            written.put_back()
            for module, known, registries in attributes:
                _restore(module, known, registries)
            with torch.no_grad():
                for buffer, values in buffers:
                    if not _same(buffer, values):
                        buffer.copy_(values)


def _registries(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {name: dict(vars(module)[name]) for name in _REGISTRIES if name in vars(module)}


def _restore(module: nn.Module, known: dict[str, Any], registries: dict[str, dict[str, Any]]) -> None:
    own = vars(module)
    for name in [name for name in own if name not in known]:
        del own[name]
    for name, value in known.items():
        if name not in own or own[name] is not value:
            own[name] = value
    for name, entries in registries.items():
        registry: dict[str, Any] = own[name]
        if registry.keys() != entries.keys() or any(registry[key] is not entries[key] for key in entries):
            registry.clear()
            registry.update(entries)


def _same(buffer: Tensor, values: Tensor) -> bool:
    return buffer.shape == values.shape and torch.equal(buffer, values)
