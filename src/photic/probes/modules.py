"""Modules: the name of every module, registered or not, and which one is running now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, cast

from torch import nn
from torch.nn.modules import module as torch_module

_CONTAINERS = (list, tuple, dict)


def module_names(model: nn.Module) -> dict[int, str]:
    """Return the path of each module by its `id`; one kept in a list or dict is named by attribute and key.

    `hidden = [nn.Linear(2, 2)]` gives `hidden.0`. A module with several paths has its first one.
    `torch.compile`'s wrapper adds no path component.
    """
    return _first(_named(model))


def _first(found: Iterable[tuple[str, nn.Module]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for path, module in found:
        names.setdefault(id(module), path)
    return names


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    own = [(_without_compiled(path), module) for path, module in model.named_modules()]
    yield from own
    for path, module in own:
        yield from _hidden_modules(module, path)


def _without_compiled(path: str) -> str:
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def _hidden_modules(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules that torch does not know of: kept in plain lists, tuples, dicts or objects."""
    for attribute, value in vars(module).items():
        if attribute in ("_modules", "_parameters", "_buffers") or attribute.endswith("_hooks"):
            continue
        if isinstance(value, _CONTAINERS):
            yield from _inside(value, f"{path}.{attribute}" if path else attribute, depth=0)
        elif isinstance(value, nn.Module):  # put there by object.__setattr__
            yield from _family(value, f"{path}.{attribute}" if path else attribute)


def _inside(value: object, path: str, depth: int) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(value, nn.Module):
        yield from _family(value, path)
    elif isinstance(value, _CONTAINERS) and depth < 3 and len(cast(Any, value)) < 10_000:
        items: Iterable[tuple[object, object]] = (
            cast(dict[object, object], value).items()
            if isinstance(value, dict)
            else enumerate(cast(list[object], value))
        )
        for key, item in items:
            yield from _inside(item, f"{path}.{key}", depth + 1)


def _family(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    for inner_path, inner in module.named_modules():
        name = f"{path}.{inner_path}" if inner_path else path
        yield name, inner
        yield from _hidden_modules(inner, name)


class ModuleNames:
    """The names of a model's modules, taken once and again where a module runs that was not there; a copy takes its own."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._named: dict[int, str] = {}
        self._held: list[nn.Module] = []  # so that no id is given again

    def now(self) -> dict[int, str]:
        """Return the names as they were when they were taken."""
        return dict(self._named) if self._named else self.anew()

    def anew(self) -> dict[int, str]:
        """Take the names."""
        found = list(_named(self.model))
        self._held = [module for _, module in found]
        self._named = _first(found)
        return dict(self._named)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_named": {}, "_held": []}


@dataclass(slots=True)
class Running:
    """The modules whose forward is running, outermost first."""

    names: dict[int, str]
    thread: int = field(default_factory=get_ident)
    stack: list[nn.Module] = field(default_factory=list[nn.Module])
    crossed: Callable[[Any, str], None] | None = None  # told what enters and leaves a module, and in whose scope
    fault: Callable[[Exception], None] | None = None  # told of errors of ours; without it they are raised
    renamed: Callable[[], dict[int, str]] | None = None  # asked once for all names where a module has none

    def path(self) -> str:
        """Return the path of the innermost running module; '' in the root or outside."""
        return self.name(self.stack[-1]) if self.stack else ""

    def name(self, module: nn.Module) -> str:
        """Return the path of a module; one that nobody named is called after its class in its caller."""
        known = self.names.get(id(module))
        if known is None and self.renamed is not None:
            self.names, self.renamed = self.renamed(), None
            known = self.names.get(id(module))
        if known is not None:
            return known
        position = next((i for i, other in enumerate(self.stack) if other is module), 0)
        caller = self.name(self.stack[position - 1]) if position else ""
        name = f"{caller}.<{type(module).__name__}>" if caller else f"<{type(module).__name__}>"
        self.names[id(module)] = name
        return name

    def enter(self, module: nn.Module, given: Any) -> None:
        """Forward pre-hook."""
        if get_ident() == self.thread:
            self._cross(given)
            self.stack.append(module)

    def leave(self, module: nn.Module, _: Any, output: Any) -> None:
        """Forward hook; runs after an exception too."""
        if get_ident() == self.thread and any(other is module for other in self.stack):
            self._cross(output)
            while self.stack.pop() is not module:
                pass

    def _cross(self, value: Any) -> None:
        if self.crossed is None:
            return
        try:
            self.crossed(value, self.path())
        except Exception as error:
            if self.fault is None:
                raise
            self.fault(error)


@contextmanager
def following(running: Running) -> Iterator[None]:
    """Follow which module runs, through torch's global hooks: nothing is attached to the model itself."""
    with ExitStack() as stack:
        stack.callback(torch_module.register_module_forward_pre_hook(running.enter).remove)
        stack.callback(torch_module.register_module_forward_hook(running.leave, always_call=True).remove)
        yield


def entrances(roots: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the modules through which a training step may enter: each root, and its parts where they are called directly.

    A LightningModule's own forward is often not called, its network's is; a list of modules has no forward to call.
    """
    found: dict[int, nn.Module] = {}
    for root in roots:
        found[id(root)] = root
        waiting = list(root.children())
        while waiting:
            part = waiting.pop()
            found[id(part)] = part
            if isinstance(part, (nn.ModuleList, nn.ModuleDict)):
                waiting.extend(part.children())
    return list(found.values())
