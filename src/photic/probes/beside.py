"""Beside a step: compiled forward passes made again by the original modules, eagerly, with what arrived at their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes.calls import made as watched_by
from photic.probes.calls import tensors_in
from photic.probes.compiled import original
from photic.probes.generators import Generators, restore, states
from photic.probes.glances import Glance
from photic.probes.holdings import Restore, attributes, contents, generators
from photic.probes.recorder import Recorder
from photic.probes.untouched import untouched
from photic.records.sites import Unseen

_DEVICES = ("cpu", "cuda")


@dataclass
class Pass:
    """One forward pass of the user's step: what it was given, and what came back to its outputs."""

    root: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    generators: Generators
    buffers: list[tuple[dict[str, Any], str, Tensor]]  # registry of a module, name, values before the pass
    training: list[tuple[nn.Module, bool]]
    autocast: dict[str, tuple[bool, torch.dtype]]
    versions: list[tuple[Tensor, int]]
    own_generators: list[Restore]  # attributes of the modules, and arguments
    outputs: list[Tensor] = field(default_factory=list[Tensor])
    arrived: dict[int, Tensor] = field(default_factory=dict[int, Tensor])  # number of an output -> gradient

    def stale(self) -> bool:
        """Whether an input was overwritten since: the pass cannot be made again."""
        return any(tensor._version != version for tensor, version in self.versions)


class Beside:
    """Remembers the forward passes of a step, and makes them again when their gradients are known.

    The user's own pass runs untouched; ours has its weights, inputs, buffers and random numbers, runs eagerly, and begins
    its backward with the gradients that arrived at the outputs of the user's. No loss function is needed.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.passes: list[Pass] = []
        self._open: list[Pass | None] = []  # None inside of another

    def entered(self, root: nn.Module, args: Any, kwargs: Any) -> None:
        """A forward pass begins; one inside of another, or after the first backward, is no pass of its own."""
        if self._open or any(made.arrived for made in self.passes):
            self._open.append(None)
            return
        inputs = [t for t in tensors_in((args, kwargs)) if not t.is_inference()]
        modules = list(original(root).modules())
        made = Pass(
            root,
            tuple(args),
            dict(kwargs),
            states(),
            [
                (module._buffers, name, buffer.detach().clone())
                for module in modules
                for name, buffer in module._buffers.items()
                if buffer is not None and not buffer.is_meta
            ],
            [(module, module.training) for module in modules],
            {kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _DEVICES},
            [(t, t._version) for t in inputs],
            generators([*attributes(modules), args, *kwargs.values()]),
        )
        self._open.append(made)

    def returned(self, output: Any) -> Pass | None:
        """The pass that began last has ended."""
        made = self._open.pop() if self._open else None
        if made is None:
            return None
        made.outputs = tensors_in(output)
        for number, tensor in enumerate(made.outputs):
            if tensor.requires_grad:
                tensor.register_hook(_Catcher(made, number))
        self.passes.append(made)
        return made

    def read(self, recorder: Recorder) -> list[list[int | None]]:
        """Record the passes operation by operation; return, for each, the site that made each of its outputs."""
        made: list[list[int | None]] = []
        watcher = watched_by(self.model, recorder.visit, recorder.cross, recorder.follows)

        def run(call: Callable[[], Any], given: Any, links: list[tuple[Tensor, tuple[int, int]]]) -> Any:
            if not made:
                recorder.mark_inputs(given)
            for tensor, (number, place) in links:
                recorder.handed(tensor, made[number][place])
            watcher.put_up()
            try:
                output = call()
            finally:
                watcher.take_down()
            recorder.mark_outputs(output)
            made.append([recorder.maker(tensor) for tensor in tensors_in(output)])
            return output

        def backward(outputs: list[Tensor], gradients: list[Tensor], leaves: list[Tensor]) -> None:
            hidden = recorder.graph.reentrant_checkpoints()
            for site in sorted(hidden):
                name = recorder.forwards[site].site.name
                recorder.unseen.append(Unseen(name, "a reentrant checkpoint cannot be gone through again"))
            if not hidden:
                recorder.graph.listen()
                found = {id(leaf): leaf for leaf in (*leaves, *recorder.graph.leaves.values())}
                torch.autograd.grad(outputs, list(found.values()), gradients, allow_unused=True)

        self._again(run, backward)
        return made

    def glance(self, glance: Glance) -> None:
        """Look at every module's output and its gradient."""

        def run(call: Callable[[], Any], given: Any, links: Any) -> Any:
            return call()

        def backward(outputs: list[Tensor], gradients: list[Tensor], leaves: list[Tensor]) -> None:
            torch.autograd.grad(outputs, leaves, gradients, allow_unused=True)

        glance.install()
        try:
            self._again(run, backward)
        finally:
            glance.remove()

    def _again(self, run: Callable[..., Any], backward: Callable[..., None]) -> None:
        outputs: list[Tensor] = []
        gradients: list[Tensor] = []
        leaves = [p for p in self.model.parameters() if p.requires_grad]
        theirs = {id(t): (number, place) for number, p in enumerate(self.passes) for place, t in enumerate(p.outputs)}
        if any(made.stale() for made in self.passes):
            raise RuntimeError("an input of the compiled model was overwritten before the optimizer stepped")
        with untouched(self.model), _holdings(self.model, self.passes), torch.enable_grad():
            for made in self.passes:
                links: list[tuple[Tensor, tuple[int, int]]] = []
                args, kwargs = _leaves((made.args, made.kwargs), theirs, links)
                leaves += [t for t in tensors_in((args, kwargs)) if t.requires_grad and t.is_leaf]
                with _scene(made):
                    output = run(_Call(original(made.root), args, kwargs), (args, kwargs), links)
                again = tensors_in(output)
                if len(again) != len(made.outputs) or any(
                    a.shape != b.shape for a, b in zip(again, made.outputs, strict=True)
                ):
                    raise RuntimeError("the eager pass gave outputs of another form than the compiled one")
                for number, gradient in made.arrived.items():
                    if again[number].requires_grad:
                        outputs.append(again[number])
                        gradients.append(gradient.to(again[number].dtype))
            if outputs:
                distinct = {id(leaf): leaf for leaf in leaves}
                backward(outputs, gradients, list(distinct.values()))


class _Call:
    """The eager call of a module, past a `_compiled_call_impl`."""

    def __init__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs

    def __call__(self) -> Any:
        return self.module._call_impl(*self.args, **self.kwargs)


class _Catcher:
    """Keeps the gradient that arrives at an output in the first backward."""

    def __init__(self, made: Pass, number: int) -> None:
        self.made, self.number = made, number

    def __call__(self, gradient: Tensor) -> None:
        if self.number not in self.made.arrived:
            self.made.arrived[self.number] = gradient.detach().clone()


def _leaves(value: Any, theirs: dict[int, tuple[int, int]], links: list[tuple[Tensor, tuple[int, int]]]) -> Any:
    """Return nested arguments with leaves in place of tensors whose graph lies behind us; link outputs of earlier passes."""
    if isinstance(value, Tensor):
        if value.grad_fn is None:
            return value
        leaf = value.detach().requires_grad_()
        if id(value) in theirs:
            links.append((leaf, theirs[id(value)]))
        return leaf
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_leaves(item, theirs, links) for item in value)
    if type(value) is list:
        return [_leaves(item, theirs, links) for item in value]
    if type(value) is dict:
        return {key: _leaves(item, theirs, links) for key, item in value.items()}
    return value


@contextmanager
def _scene(made: Pass) -> Iterator[None]:
    """The state in which the pass began: buffers (copies in their place), modes, autocast, random numbers."""
    for registry, name, values in made.buffers:
        registry[name] = values
    for module, training in made.training:
        vars(module)["training"] = training
    restore(made.generators)
    for put_back in made.own_generators:
        put_back()
    with ExitStack() as stack:
        for kind, (enabled, dtype) in made.autocast.items():
            if enabled:  # without a cache: casts of weights would be shared with the user's own pass
                stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
            elif torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def _holdings(model: nn.Module, passes: list[Pass]) -> Iterator[None]:
    """Restore what a forward does to attributes of its modules: `self.extra_losses.append(...)`, `self.rng.random()`."""
    held = attributes(model.modules())
    given = [value for made in passes for value in (made.args, *made.kwargs.values())]
    kept = [*contents(held), *generators([*held, *given])]
    try:
        yield
    finally:
        for restore in kept:
            restore()
