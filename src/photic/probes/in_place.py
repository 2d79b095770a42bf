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

from photic.probes.beside import Beside
from photic.probes.calls import Call, Watcher, made
from photic.probes.clipping import clipping
from photic.probes.compiled import unwarned
from photic.probes.doors import DOORS, Backward
from photic.probes.once import Once
from photic.probes.passes import Passes
from photic.probes.raw_gradients import RawGradients
from photic.probes.recorder import Recorder
from photic.probes.step_readings import StepReadings, readings
from photic.probes.updates import snapshot
from photic.records.runs import Run

Fault = Callable[[Exception], None]
MOST_SITES = 50_000  # of one step, a hundred megabytes or so: a training that never steps would fill the memory


class InPlaceAudit:
    """One audit of a training step as it is: no pass of its own, nothing changed.

    Life: `begin` when the first forward of the step starts, `knocked` when its backward is called (torch.autograd's two
    doors tell of it while the audit is open), `before_step` and `after_step` around the optimizer, `close`. Where several
    optimizers step after one backward, `before_step` and `after_step` come once for each.
    Only the first backward of the step is heard; the gradients of the parameters are those that the optimizer sees.

    It belongs to the thread that made it: what other threads do is not read.

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
        self.raw = RawGradients(model)
        self.seconds = 0.0
        self.scale = 1.0  # what a gradient scaler multiplied the loss by
        self.unreadable = ""
        self.too_large = False
        self.dead: dict[str, Tensor] = {}  # by site: which units were 0 on every example
        self._passes = Passes()
        self._resting: nn.Module | None = None
        self._around = ExitStack()
        self._clipping = ExitStack()
        self._watcher: Watcher | None = None
        self._up = False
        self._muted = False
        self._paused = self._interrupted = False
        self._spent = False  # the graph of what was read is gone, without a backward of the step
        self._depth = 0  # of backwards that are running: a reentrant checkpoint has its own inside
        self._stands_for: dict[int, tuple[int, int]] = {}  # site of the loss -> pass and output of the network
        self._before: dict[str, Tensor] = {}
        self._read: StepReadings | None = None
        self._optimizer: torch.optim.Optimizer | None = None  # whose step is under way
        self._served: set[int] = set()  # optimizers whose step was read, by id
        self._run: Run | None = None
        self._open = False
        self._thread = threading.get_ident()

    @property
    def elsewhere(self) -> bool:
        """Whether another thread than the audit's is running."""
        return threading.get_ident() != self._thread

    def begin(self, root: nn.Module, given: Any) -> None:
        """Start to record; call it from the forward pre-hook of the outermost module that runs."""
        if self._open:
            return self.entered(root, given)
        start = time.perf_counter()
        self._watcher = made(self.model, self._visit, self._cross, self.recorder.follows, self._missed)
        self._open = True
        for door in DOORS:
            self._around.enter_context(door.listening(self))
        self._clipping.enter_context(clipping(self._clips))
        if self.beside is not None:
            self._around.enter_context(unwarned())
            self.entered(root, given)
        else:
            self._passes.enter(root)
            self._see()
            self._watcher.running.enter(root, given)  # its own pre-hooks were listed before ours were added
            with torch._C.DisableTorchFunction():
                self.recorder.mark_inputs(given)
        self.seconds += time.perf_counter() - start
        return None

    @property
    def begun(self) -> bool:
        """Whether a forward has been seen."""
        return self._open or self._read is not None

    def is_void(self, root: nn.Module) -> bool:
        """Whether what was read belongs to no step: now that an entrance is called, something else begins.

        So it is when a forward has ended with an exception, when a step was left out after its backward (nothing is left of
        its gradients), and when the graph is gone because nobody has kept an output.
        """
        if not self._open or self._watcher is None or self._depth:
            return False
        if self.heard:
            return self.raw.cleared()
        if self.beside is not None:
            return bool(self._passes.inside) and self._passes.inside[0] is root
        failed = self._prune()
        if self._passes.inside or self._muted:
            return False
        self._thin()
        return failed or self._spent

    def _prune(self) -> bool:
        if self._watcher is None or self._interrupted:
            return False
        return self._passes.prune(self._watcher.running.stack)  # a module that is just called does not stand there yet

    def _thin(self) -> None:
        """Let go what nobody needs any more: passes without a backward, of which we alone keep the graph."""
        if self._passes.many():
            self._spent = not self.recorder.forget_dead() or self._spent

    def rest(self, root: nn.Module) -> None:
        """An entrance is called that is no reading: without gradients nothing is seen of it."""
        if not self._open or self._muted or self.beside is not None or self._watcher is None or self._paused:
            return
        self._prune()
        if self._passes.inside:
            return
        if torch.is_grad_enabled():
            self._thin()
        elif self._up and self._watcher.take_down():
            self._up = False
            self._resting = root
            self._watcher.running.stack.clear()

    def entered(self, root: nn.Module, given: Any) -> None:
        """Another entrance is called in the same step, or the same one again."""
        self._wake()
        self._passes.enter(root)
        if not self._open or self._muted or self._watcher is None:
            return
        self._watcher.phase = "model"
        if self.beside is not None and len(self._passes.inside) == 1:
            self.pause()
            self._paused = False
            self.beside.entered(root, *given)

    def returned(self, root: nn.Module, output: Any) -> None:
        """An entrance has returned: after the outermost one follows the loss, or another forward."""
        if self._resting is root:
            self._wake()
        if not self._passes.leave(root) or not self._open or self._muted or self._watcher is None:
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

    def _wake(self) -> None:
        if self._resting is not None:
            self._resting = None
            self.resume()

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
        if self._open and not self._muted and not (self.beside is not None and self._passes.inside):
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
        self._let_pass(True)

    def _let_pass(self, off: bool) -> None:
        """Record no call, or go on to."""
        if self._watcher is not None:
            self._watcher.off = off
            self._watcher.running.crossed = None if off else self._cross

    def knocked(self, asked: Callable[[], Backward]) -> None:
        """A backward is about to run."""
        if self.elsewhere:
            return
        self._depth += 1
        if self.heard or self._muted or self._paused or self._depth > 1:
            return
        try:
            backward = asked()
            if backward.inner:
                self._spent = self._spent or backward.frees
                self._let_pass(True)
            else:
                self._hear(backward.roots)
        except Exception as error:
            self._missed(error)

    def _hear(self, roots: list[Tensor]) -> None:
        self._mute()
        if not self.recorder.forwards or not roots:
            return
        self.raw.begin()
        self.value, self.heard = roots[0], True
        if self._interrupted and roots[0].grad_fn not in self.recorder.graph.site_of:
            self._compiled_loss(roots[0])
        self.recorder.graph.add_site(len(self.recorder.forwards) - 1, roots)
        self.recorder.graph.listen()

    def _compiled_loss(self, root: Tensor) -> None:
        index = self.recorder.maker(root)
        if index is not None:
            forward = self.recorder.forwards[index]
            name = f"<loss>/{forward.site.operation}#1"
            forward.site = dataclasses.replace(forward.site, phase="loss", name=name)

    def went(self, *, whole: bool) -> None:
        """A backward has run: what the gradients are before anyone clips or unscales them."""
        if self.elsewhere:
            return
        self._depth = max(0, self._depth - 1)
        if self._depth or self._paused:
            return
        try:
            if not self._muted:
                self._let_pass(False)
            elif self.heard:
                self.recorder.graph.deaf = True
                if whole:
                    self.raw.read()
        except Exception as error:
            self.fault(error)

    def _clips(self, parameters: Any, limit: float, norm: Any) -> None:
        try:
            if not self.elsewhere:
                self.raw.clipped([parameters] if isinstance(parameters, Tensor) else parameters, limit, norm)
        except Exception as error:
            self.fault(error)

    def take_seconds(self) -> float:
        """Return the seconds of ours since this was asked last."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    @property
    def read(self) -> bool:
        """Whether the gradients were read, so that only the update is missing."""
        return self._run is not None

    @property
    def done(self) -> bool:
        """Whether the step of an optimizer was read to its end."""
        return self._read is not None and not self.read

    def serves(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the step that the optimizer is about to make is one that can be read."""
        return self.heard and not self.read and not self.unreadable and id(optimizer) not in self._served

    def reads(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the step of this optimizer is being read."""
        return self.read and self._optimizer is optimizer

    def announced(self) -> None:
        """A trainer says that the gradients are whole, not yet clipped, and the weights not yet moved: remember both."""
        try:
            self.raw.read()
            self._before = snapshot(self.model)
        except Exception as error:
            self.fault(error)

    def before_step(self, optimizer: torch.optim.Optimizer, *, step: int, moves: bool = True) -> None:
        """The optimizer is about to step: read all gradients as it will see them, and remember the weights.

        Without `moves` the weights are already moved (a trainer ran everything inside the step); an update is then read
        only if the step was announced.
        """
        start = time.perf_counter()
        if self._read is None:
            self._leave()
            try:
                self._read = readings(self.model, self.recorder, self.beside, self._stands_for, self.value, self.scale)
                self.dead = self._read.recorder.dead
            except Exception as error:
                if self.beside is None:
                    raise
                self.unreadable = f"{type(error).__name__}: {error}"
            finally:
                self._release()
        if self._read is not None:
            self._optimizer = optimizer
            self._served.add(id(optimizer))
            self._run = self._read.before(optimizer, step, {} if moves else self._before)
            if moves:
                self._before = snapshot(self.model)
        self.seconds += time.perf_counter() - start

    def after_step(self) -> Run | None:
        """The optimizer has stepped: return the run with the true update of every parameter; None where it was not read."""
        run, optimizer, before = self._run, self._optimizer, self._before
        self._run, self._optimizer, self._before = None, None, {}
        if run is None or optimizer is None or self._read is None:
            return None
        start = time.perf_counter()
        run = self._read.after(run, optimizer, before, self.raw)
        self.seconds += time.perf_counter() - start
        return run

    def _leave(self) -> None:
        """See nothing any more, as far as that can be had at once."""
        if self._open:
            self._mute()
            self._up = self._open = False
            self._around.close()
            if self._watcher is not None:
                self._watcher.end()

    def close(self) -> bool:
        """Take away everything that the audit put up. Safe to call twice.

        False: a torch call of ours is under way, or the audit began in another thread, and its mode cannot leave now.
        It lets everything pass; call again later.
        """
        self._clipping.close()
        self._leave()
        return self._watcher is None or self._watcher.end()
