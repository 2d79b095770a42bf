"""An audit in place: the user's own forward, loss and backward of one step, seen operation by operation."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from photic.kernels.moments import moments
from photic.probes.audit import circumstances, optimizer_words, parameter_table
from photic.probes.calls import Call, watching
from photic.probes.clipping import clipping
from photic.probes.recorder import Recorder
from photic.probes.replaced import replaced
from photic.probes.shards import local
from photic.probes.updates import epsilon_shares, snapshot, updates
from photic.records.runs import ParameterReading, Run, Step
from photic.records.sites import Unseen

Fault = Callable[[Exception], None]
MOST_SITES = 50_000  # of one step, a hundred megabytes or so: a training that never steps would fill the memory


class InPlaceAudit:
    """One audit of a training step as it is: no pass of its own, nothing changed.

    Life: `begin` when the first forward of the step starts, `loss_root` when its backward is called (found by wrapping
    torch.autograd's two doors while the audit is open), `before_step` and `after_step` around the optimizer, `close`.
    Only the first backward of the step is heard; the gradients of the parameters are those that the optimizer sees.
    """

    def __init__(self, model: nn.Module, fault: Fault) -> None:
        self.model = model
        self.fault = fault
        self.recorder = Recorder(in_place=True, fault=fault)
        self.value: Tensor | None = None
        self.heard = False  # whether a backward has started
        self.raw_norms: dict[int, float] = {}
        self.seconds = 0.0
        self.too_large = False  # more operations than are held; nothing was read
        self._inside: list[nn.Module] = []
        self._stack = ExitStack()
        self._stepping = ExitStack()
        self._watcher: Any = None
        self._before: dict[str, Tensor] = {}
        self._leftover: set[int] = set()
        self._clipped: tuple[float, Any] | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._run: Run | None = None
        self._open = False
        self._thread = threading.get_ident()

    def begin(self, root: nn.Module, given: Any) -> None:
        """Start to record; call it from the forward pre-hook of the outermost module that runs."""
        if self._open:
            return self.entered(root)
        start = time.perf_counter()
        self._watcher = self._stack.enter_context(
            watching(self.model, self._visit, self._cross, self.recorder.follows, self._missed)
        )
        self._open = True
        for door in ("backward", "grad"):
            self._stack.enter_context(replaced(torch.autograd, door, self._through_door))
        self._stack.enter_context(clipping(self._clips))
        self._inside = [root]
        self._watcher.running.enter(root, given)  # its own pre-hooks were listed before ours were added
        with torch._C.DisableTorchFunction():
            self.recorder.mark_inputs(given)
        self.seconds += time.perf_counter() - start
        return None

    def returned(self, root: nn.Module, output: Any) -> None:
        """An entrance has returned: after the outermost one follows the loss, or another forward."""
        if not self._inside or self._inside[-1] is not root:
            return
        self._inside.pop()
        if self._open and not self._watcher.off and not self._inside:
            self.recorder.mark_outputs(output)
            self._watcher.phase = "loss"

    def entered(self, root: nn.Module) -> None:
        """Another entrance is called in the same step, or the same one again."""
        self._inside.append(root)
        if self._open and not self._watcher.off:
            self._watcher.phase = "model"

    def _missed(self, error: Exception) -> None:
        """An error of ours before a call has run; the call runs."""
        self._mute()
        self.fault(error)

    def _visit(self, call: Call) -> Any:
        once = _Once(call.function)
        try:
            if len(self.recorder.forwards) >= MOST_SITES:
                return self._give_up(call)
            return self.recorder.visit(dataclasses.replace(call, function=once))
        except Exception as error:
            if once.failed:
                raise  # the user's own call failed: theirs
            self._missed(error)
            return once.result if once.done else call.run()

    def _give_up(self, call: Call) -> Any:
        """Let everything pass, and keep nothing of what was read."""
        self._mute()
        self.too_large = True
        self.recorder = Recorder(in_place=True, fault=self.fault)
        return call.run()

    def _cross(self, values: Any, scope: str) -> None:
        if self._watcher is not None and not self._watcher.off:
            try:
                self.recorder.cross(values, scope)
            except Exception as error:
                self._missed(error)

    def _mute(self) -> None:
        self._watcher.off = True
        self._watcher.running.crossed = None

    def _knocked(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A backward is about to run."""
        if self.heard or self._watcher.off or threading.get_ident() != self._thread:
            return
        self._mute()
        given = args[0] if args else kwargs.get("tensors", kwargs.get("outputs"))
        roots = [root for root in ([given] if isinstance(given, Tensor) else given or ()) if isinstance(root, Tensor)]
        roots = [root for root in roots if root.grad_fn is not None]
        if not self.recorder.forwards or not roots:
            return
        self._leftover = {key for key, norm in self._norms().items() if norm > 0.0}
        self.value, self.heard = roots[0], True
        self.recorder.graph.add_site(len(self.recorder.forwards) - 1, roots)
        self.recorder.graph.listen()

    def _through_door(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stand in for a door of torch.autograd: what the gradients are before anyone clips or unscales them."""
        try:
            self._knocked(args, kwargs)
        except Exception as error:
            self.fault(error)
        result = original(*args, **kwargs)
        try:
            if self.heard:
                self.raw_norms = self._norms()
        except Exception as error:
            self.fault(error)
        return result

    def _clips(self, limit: float, norm: Any) -> None:
        try:
            self._clipped = (float(limit), norm)
        except Exception as error:
            self.fault(error)

    def _norms(self) -> dict[int, float]:
        held = [p for p in self.model.parameters() if p.grad is not None]
        dense = [p for p in held if p.grad is not None and p.grad.layout is torch.strided]
        if not dense:
            return {}
        norms = torch.stack(
            torch._foreach_norm(  # pyright: ignore[reportPrivateImportUsage]
                [local(p.grad.detach()) for p in dense if p.grad is not None]
            )
        ).tolist()
        return {id(p): float(norm) for p, norm in zip(dense, norms, strict=True)}

    @property
    def read(self) -> bool:
        """Whether the gradients were read, so that only the update is missing."""
        return self._run is not None

    def announced(self) -> None:
        """A trainer says that the gradients are whole, not yet clipped, and the weights not yet moved: remember both."""
        try:
            self.raw_norms, self._before = self._norms(), snapshot(self.model)
        except Exception as error:
            self.fault(error)

    def before_step(self, optimizer: torch.optim.Optimizer, *, step: int, moves: bool = True) -> None:
        """The optimizer is about to step: read all gradients as it will see them, and remember the weights.

        Without `moves` the weights are already moved (a closure ran inside the step); an update is then read only if the
        step was announced.
        """
        start = time.perf_counter()
        self.close()
        self._optimizer = optimizer
        gradients = {id(p): p.grad for p in self.model.parameters()}
        sites, edges, edge_readings = self.recorder.readings()
        parameters, readings = parameter_table(self.model, self.recorder, optimizer, gradients)
        if not moves and self._before:
            readings = tuple(
                dataclasses.replace(r, weight=moments(self._before[p.name])) if p.name in self._before else r
                for p, r in zip(parameters, readings, strict=True)
            )
        loss = None if self.value is None else float(self.value.detach().sum())
        hidden = self.recorder.graph.reentrant_checkpoints()
        unseen = [
            Unseen(self.recorder.forwards[s].site.name, "a reentrant checkpoint hides its operations") for s in hidden
        ]
        self._run = Run(
            model=type(self.model).__name__,
            sites=tuple(forward.site for forward in self.recorder.forwards),
            edges=edges,
            parameters=parameters,
            steps=(Step(step, loss, sites, edge_readings, readings),),
            unseen=(*self.recorder.unseen, *unseen),
            outputs=self.recorder.outputs,
            inputs=self.recorder.inputs,
            columns=self.recorder.columns,
            optimizer=optimizer_words(optimizer),
            facts={**circumstances(self.model), "audit": "in place"},
        )
        # What holds the graph goes now: in a circle of references it would wait for the garbage collector.
        self.value, self.recorder = None, Recorder(in_place=True, fault=self.fault)
        if moves:
            self._before = snapshot(self.model)
            self._stepping.enter_context(clipping(self._clips))  # some optimizers clip in their step
        self.seconds += time.perf_counter() - start

    def after_step(self) -> Run | None:
        """The optimizer has stepped: return the run with the true update of every parameter."""
        self._stepping.close()
        if self._run is None:
            return None
        start = time.perf_counter()
        found = updates(self._before, self.model)
        shares = epsilon_shares(self._optimizer, self.model) if self._optimizer is not None else {}
        ids = {name: id(parameter) for name, parameter in self.model.named_parameters()}
        step = self._run.steps[0]
        readings: list[ParameterReading] = []
        for parameter, reading in zip(self._run.parameters, step.parameters, strict=True):
            ratio, unchanged = found.get(parameter.name, (None, None))
            readings.append(
                dataclasses.replace(
                    reading,
                    update_ratio=ratio,
                    unchanged_fraction=unchanged,
                    before_clipping=self.raw_norms.get(ids.get(parameter.name, 0)),
                    epsilon_share=shares.get(parameter.name),
                )
            )
        owned = [ids[p.name] for p in self._run.parameters if p.owned and p.trainable and p.name in ids]
        leftover = sum(key in self._leftover for key in owned) / len(owned) if owned else None
        limit, norm = (None, None) if self._clipped is None else (self._clipped[0], float(self._clipped[1]))
        step = dataclasses.replace(
            step, parameters=tuple(readings), leftover_share=leftover, clip_limit=limit, clip_norm=norm
        )
        self._before = {}
        self.seconds += time.perf_counter() - start
        return dataclasses.replace(
            self._run, steps=(dataclasses.replace(step, parameters=tuple(readings), leftover_share=leftover),)
        )

    def close(self) -> bool:
        """Take away everything that the audit put up. Safe to call twice.

        False: a torch call of ours is under way, or the audit began in another thread, and its mode cannot leave now.
        It lets everything pass; call again later.
        """
        self._stepping.close()
        if self._open:
            self._mute()
            self._open = False
            self._stack.close()
        return self._watcher is None or self._watcher.leave()


class _Once:
    """A function that ran at most once and keeps its result: a fault of ours does not run the user's call again."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "")
        self.done = False
        self.failed = False
        self.result: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            self.result = self.function(*args, **kwargs)
        except BaseException:
            self.failed = True
            raise
        self.done = True
        return self.result
