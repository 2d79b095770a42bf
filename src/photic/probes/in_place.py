"""An audit in place: the user's own forward, loss and backward of one step, seen operation by operation."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from photic.kernels.moments import moments
from photic.probes.audit import circumstances, foreign, optimizer_words, parameter_table, scheduled
from photic.probes.beside import Beside
from photic.probes.calls import Call, Watcher, made
from photic.probes.clipping import clipping
from photic.probes.compiled import unwarned
from photic.probes.doors import DOORS
from photic.probes.halves import Table, both, table
from photic.probes.once import Once
from photic.probes.recorder import Recorder
from photic.probes.scaling import unscaled, unscaled_edge, unscaled_site
from photic.probes.shards import local
from photic.probes.updates import epsilon_shares, snapshot, updates
from photic.records.runs import ParameterReading, Run, Step
from photic.records.sites import Unseen

Fault = Callable[[Exception], None]
MOST_SITES = 50_000  # of one step, a hundred megabytes or so: a training that never steps would fill the memory


class InPlaceAudit:
    """One audit of a training step as it is: no pass of its own, nothing changed.

    Life: `begin` when the first forward of the step starts, `knocked` when its backward is called (torch.autograd's two
    doors tell of it while the audit is open), `before_step` and `after_step` around the optimizer, `close`.
    Only the first backward of the step is heard; the gradients of the parameters are those that the optimizer sees.

    With `compiled` the user's forward is left alone, and made again beside it, eagerly, before the optimizer steps.

    Attributes:
        heard: whether a backward has started.
        unreadable: why a compiled forward could not be made again; '' where it could.
        too_large: the step made more operations than are held; nothing was read.
    """

    def __init__(self, model: nn.Module, fault: Fault, *, compiled: bool = False) -> None:
        self.model = model
        self.fault = fault
        self.recorder = Recorder(in_place=True, fault=fault)
        self.beside = Beside(model) if compiled else None
        self.value: Tensor | None = None
        self.heard = False
        self.raw_norms: dict[int, float] = {}
        self.seconds = 0.0
        self.scale = 1.0  # what a gradient scaler multiplied the loss by
        self.unreadable = ""
        self.too_large = False
        self.dead: dict[str, Tensor] = {}  # by site: which units were 0 on every example
        self._inside: list[nn.Module] = []
        self._around = ExitStack()
        self._stepping = ExitStack()
        self._watcher: Watcher | None = None
        self._up = False
        self._muted = False
        self._paused = self._interrupted = False
        self._stands_for: dict[int, tuple[int, int]] = {}  # site of the loss -> pass and output of the network
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
            return self.entered(root, given)
        start = time.perf_counter()
        self._watcher = made(self.model, self._visit, self._cross, self.recorder.follows, self._missed)
        self._open = True
        for door in DOORS:
            self._around.enter_context(door.listening(self))
        self._around.enter_context(clipping(self._clips))
        if self.beside is not None:
            self._around.enter_context(unwarned())
            self.entered(root, given)
        else:
            self._inside = [root]
            self._see()
            self._watcher.running.enter(root, given)  # its own pre-hooks were listed before ours were added
            with torch._C.DisableTorchFunction():
                self.recorder.mark_inputs(given)
        self.seconds += time.perf_counter() - start
        return None

    @property
    def begun(self) -> bool:
        """Whether a forward has been seen."""
        return self._open or self._run is not None

    def entered(self, root: nn.Module, given: Any) -> None:
        """Another entrance is called in the same step, or the same one again."""
        self._inside.append(root)
        if not self._open or self._muted or self._watcher is None:
            return
        self._watcher.phase = "model"
        if self.beside is not None and len(self._inside) == 1:
            self.pause()
            self._paused = False
            self.beside.entered(root, *given)

    def returned(self, root: nn.Module, output: Any) -> None:
        """An entrance has returned: after the outermost one follows the loss, or another forward."""
        if not self._inside or self._inside[-1] is not root:
            return
        self._inside.pop()
        if not self._open or self._muted or self._inside or self._watcher is None:
            return
        if self.beside is not None:
            done = self.beside.returned(output)
            for place, tensor in enumerate(done.outputs if done is not None else ()):
                site = self.recorder.maker(tensor) if tensor.grad_fn is not None else None
                if site is not None:
                    self._stands_for.setdefault(site, (len(self.beside.passes) - 1, place))
            self._see()
        else:
            self.recorder.mark_outputs(output)
        self._watcher.phase = "loss"

    def _see(self) -> None:
        if self._watcher is not None and not self._up:
            self._watcher.put_up()
            self._up = True

    def pause(self) -> None:
        """See nothing for a while: a compiled region must not meet anything of ours."""
        self._paused = True
        if self._watcher is not None and self._up and self._watcher.take_down():
            self._up = False
            self._interrupted = True

    def resume(self) -> None:
        """Go on; what ran in between is found by its autograd nodes."""
        self._paused = False
        if self._open and not self._muted and not (self.beside is not None and self._inside):
            self._see()

    def _missed(self, error: Exception) -> None:
        """An error of ours before a call has run; the call runs."""
        self._mute()
        self.fault(error)

    def _visit(self, call: Call) -> Any:
        once = Once(call.function)
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
        self._release()
        return call.run()

    def _release(self) -> None:
        """Let go what holds the graph: in a circle of references it would wait for the garbage collector."""
        self.value, self.recorder = None, Recorder(in_place=True, fault=self.fault)
        self._stands_for.clear()
        if self.beside is not None:
            self.beside.passes.clear()

    def _cross(self, values: Any, scope: str) -> None:
        if not self._muted:
            try:
                self.recorder.cross(values, scope)
            except Exception as error:
                self._missed(error)

    def _mute(self) -> None:
        self._muted = True
        if self._watcher is not None:
            self._watcher.off = True
            self._watcher.running.crossed = None

    def knocked(self, roots: list[Tensor]) -> None:
        """A backward is about to run from `roots`."""
        if self.heard or self._muted or self._paused or threading.get_ident() != self._thread:
            return
        try:
            self._mute()
            if not self.recorder.forwards or not roots:
                return
            self._leftover = {key for key, norm in self._norms().items() if norm > 0.0}
            self.value, self.heard = roots[0], True
            if self._interrupted and roots[0].grad_fn not in self.recorder.graph.site_of:
                self._compiled_loss(roots[0])
            self.recorder.graph.add_site(len(self.recorder.forwards) - 1, roots)
            self.recorder.graph.listen()
        except Exception as error:
            self.fault(error)

    def _compiled_loss(self, root: Tensor) -> None:
        index = self.recorder.maker(root)
        if index is not None:
            forward = self.recorder.forwards[index]
            name = f"<loss>/{forward.site.operation}#1"
            forward.site = dataclasses.replace(forward.site, phase="loss", name=name)

    def went(self) -> None:
        """A backward has run: what the gradients are before anyone clips or unscales them."""
        try:
            if self.heard and not self._paused:
                self.raw_norms = self._norms()
        except Exception as error:
            self.fault(error)

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

    def _tables(self) -> tuple[Recorder, Table]:
        """Return who knows the parameters' sites, and the sites."""
        if self.beside is None:
            return self.recorder, table(self.recorder)
        network = Recorder(fault=self.fault)
        outputs = self.beside.read(network)
        stands_for = {site: outputs[number][place] for site, (number, place) in self._stands_for.items()}
        return network, both(table(network), table(self.recorder), stands_for)

    def before_step(self, optimizer: torch.optim.Optimizer, *, step: int, moves: bool = True) -> None:
        """The optimizer is about to step: read all gradients as it will see them, and remember the weights.

        Without `moves` the weights are already moved (a trainer ran everything inside the step); an update is then read
        only if the step was announced.
        """
        start = time.perf_counter()
        self.close()
        self._optimizer = optimizer
        try:
            self._run = self._read_step(optimizer, step, moves=moves)
        finally:
            self._release()
        if moves and self._run is not None:
            self._before = snapshot(self.model)
            self._stepping.enter_context(clipping(self._clips))  # some optimizers clip in their step
        self.seconds += time.perf_counter() - start

    def _read_step(self, optimizer: torch.optim.Optimizer, step: int, *, moves: bool) -> Run | None:
        multiplied = getattr(optimizer, "grad_scale", None)  # a fused optimizer divides by it in its own step
        gradients = {id(p): p.grad for p in self.model.parameters()}
        try:
            recorder, (sites, readings_of_sites, edges, edge_readings) = self._tables()
        except Exception as error:
            if self.beside is None:
                raise
            self.unreadable = f"{type(error).__name__}: {error}"
            return None
        self.dead = recorder.dead
        parameters, readings = parameter_table(self.model, recorder, optimizer, gradients)
        if multiplied is not None:
            by = float(multiplied)
            readings = tuple(dataclasses.replace(r, gradient=unscaled(r.gradient, by)) for r in readings)
        if not moves and self._before:
            readings = tuple(
                dataclasses.replace(r, weight=moments(self._before[p.name])) if p.name in self._before else r
                for p, r in zip(parameters, readings, strict=True)
            )
        loss = None if self.value is None else float(self.value.detach().sum()) / self.scale
        if self.scale != 1.0:
            readings_of_sites = tuple(unscaled_site(reading, self.scale) for reading in readings_of_sites)
            edge_readings = tuple(unscaled_edge(reading, self.scale) for reading in edge_readings)
        hidden = self.recorder.graph.reentrant_checkpoints()
        unseen = [
            Unseen(self.recorder.forwards[s].site.name, "a reentrant checkpoint hides its operations") for s in hidden
        ]
        return Run(
            model=type(self.model).__name__,
            sites=sites,
            edges=edges,
            parameters=parameters,
            steps=(
                Step(
                    step,
                    loss,
                    readings_of_sites,
                    edge_readings,
                    readings,
                    loss_scale=None if self.scale == 1.0 else self.scale,
                ),
            ),
            unseen=(*recorder.unseen, *unseen),
            outputs=recorder.outputs,
            inputs=recorder.inputs,
            columns=recorder.columns,
            foreign=foreign(self.model, recorder, optimizer),
            optimizer=optimizer_words(optimizer),
            facts={
                **circumstances(self.model),
                **scheduled(optimizer),
                "audit": "in place" if self.beside is None else "beside",
            },
        )

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
            norm = self.raw_norms.get(ids.get(parameter.name, 0))
            readings.append(
                dataclasses.replace(
                    reading,
                    update_ratio=ratio,
                    unchanged_fraction=unchanged,
                    before_clipping=None if norm is None else norm / self.scale,
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
        return dataclasses.replace(self._run, steps=(step,))

    def close(self) -> bool:
        """Take away everything that the audit put up. Safe to call twice.

        False: a torch call of ours is under way, or the audit began in another thread, and its mode cannot leave now.
        It lets everything pass; call again later.
        """
        self._stepping.close()
        if self._open:
            self._mute()
            self._up = self._open = False
            self._around.close()
        return self._watcher is None or self._watcher.end()
