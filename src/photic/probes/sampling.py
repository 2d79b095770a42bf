"""Sampling: what is put up for one sampled step of a training, and taken away again."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from photic.probes.alarms import Alarm
from photic.probes.beside import Beside
from photic.probes.compiled import Regions, entering_module, is_compiled, original
from photic.probes.entries import Entries
from photic.probes.glances import Glance, leaves_of
from photic.probes.in_place import MOST_SITES, InPlaceAudit
from photic.probes.modules import entrances, module_names
from photic.probes.norms import ParameterNorms
from photic.probes.pace import Kind
from photic.records.runs import Run

Fault = Callable[[Exception], None]
_LEFT_OUT = 3  # steps in a row that were left out after their backward, until an audit gives up


class Sampling:
    """Puts up an audit or a glance around the next step, and reads it.

    Attributes:
        kind: what is up.
        audit: the audit that is up, if it is one.
        unreadable: why nothing can be read of this model; '' as long as that is not known.
        too_large: number of operations that are held of a step, where the last audit met more; 0 where it did not.
        last: an audit that has read the step before, as long as the steps of further optimizers follow the same backward.
        norms: of the parameters' gradients, read with each glance where a record is kept of them.
        elsewhere: whether forward passes ran in another thread than the one that steps.
        compiled: whether parts of the model are called through compiled regions, and are read beside the step.
    """

    def __init__(
        self,
        roots: Sequence[nn.Module],
        fault: Fault,
        last_ended: Callable[[], None] = lambda: None,
        *,
        recorded: bool = False,
    ) -> None:
        self.fault = fault
        self._recorded = recorded
        self.norms: ParameterNorms | None = None
        self._tell_last_ended = last_ended
        self.kind: Kind = "nothing"
        self.audit: InPlaceAudit | None = None
        self.last: InPlaceAudit | None = None
        self.elsewhere = False
        self.unreadable = ""
        self.too_large = 0
        self.compiled = False
        self.roots = list(roots)
        self.family: nn.Module = self.roots[0]
        self.parameters: set[int] = set()
        self._glance: Glance | None = None
        self._alarm = Alarm()
        self._closing: list[InPlaceAudit] = []  # whose mode could not leave yet
        self._beside: Beside | None = None
        self._whole = False  # of a glance: the first run of a closure is over
        self._hidden = False  # the model itself turned out to be compiled in this step
        self._wrappers: list[weakref.ref[nn.Module]] = []
        self._entries = Entries(self.entering, self.leaving, fault)
        self._until = Entries(
            lambda module, *_: self.forward_begins(module), lambda *_: None, fault
        )  # tells when `last` ends
        self._replaced: list[nn.Module] = []
        self._regions = Regions(self._pause, self._resume)
        self._misses = 0
        self._left_out = 0

    def take(self, roots: Sequence[nn.Module]) -> None:
        """Watch these models from the next step on."""
        self.roots = list(roots)
        self.family = self.roots[0] if len(self.roots) == 1 else _family(self.roots)
        if self._glance is not None:
            self._glance.remove()
        self._glance = Glance(self.family, module_names(self.family), self.fault)
        self.refresh()

    @property
    def glance(self) -> Glance:
        """What the last glance read."""
        if self._glance is None:
            raise RuntimeError("nothing is watched")
        return self._glance

    @property
    def names(self) -> list[str]:
        """The names of the modules at which a glance looks."""
        return [] if self._glance is None else self._glance.names

    def refresh(self) -> bool:
        """Look again which modules and parameters there are; True if modules were added or taken away."""
        self.parameters = {id(parameter) for parameter in self.family.parameters()}
        self.norms = ParameterNorms(self.family) if self._recorded else None
        self._known = {id(module) for module in self.family.modules()}
        self.compiled = self.compiled or any(is_compiled(module) for module in self.family.modules())
        leaves = leaves_of(self.family)
        if len(leaves) == len(self.glance.leaves) and all(a is b for a, b in zip(leaves, self.glance.leaves)):
            return False
        self.glance.remove()
        self._glance = Glance(self.family, module_names(self.family), self.fault)
        return True

    def prepare(self, kind: Kind) -> None:
        """Put up what the next step needs."""
        if kind == self.kind == "glance" and self.stays:
            self.glance.install()
            self._whole = False
            return
        self.kind = "nothing" if self.unreadable else kind
        if self.last is not None:
            self._until.open(self._entrances())
        if self.kind == "nothing":
            return
        self._hidden = self._whole = False
        if kind == "audit":
            self._left_out = 0
            self._alarm.rest()
            self.refresh()
            self.audit = InPlaceAudit(self.family, self.fault, compiled=self.compiled)
        elif self.compiled:
            self._beside = Beside(self.family)
        self._put_up()
        self._regions.open()

    @property
    def stays(self) -> bool:
        """Whether the hooks of a glance can stay for a glance in the next step."""
        return self.kind == "glance" and self.glance.on and not self.compiled

    def stop(self, *, linger: bool = False) -> bool:
        """Take everything away. False: a torch call of ours is under way; call again later.

        With `linger` an audit that has read its step stays until the next forward, for the steps of further optimizers.
        """
        self._beside = None
        audit, self.audit = self.audit, None
        stays = linger and audit is not None and audit.done and not self.compiled and not self._regions.seen
        with ExitStack() as stack:  # each goes, also where another fails
            stack.callback(self._take_down)
            stack.callback(self._regions.close)
            if stays or not linger:
                stack.callback(self._end_last)
        if stays:
            self.last = audit
        elif audit is not None:
            self._closing.append(audit)
        self._closing = [audit for audit in self._closing if not audit.close()]
        return not self._closing

    def _end_last(self) -> None:
        """The steps that follow are no longer those of the audit before."""
        last, self.last = self.last, None
        self._until.forget()
        if last is not None and not last.close():
            self._closing.append(last)

    def forward_begins(self, module: nn.Module) -> None:
        """An entrance is called, and the audit before has read its step."""
        if torch.compiler.is_compiling() or self.last is None:
            return
        try:
            if original(module).training and torch.is_grad_enabled() and not self.last.elsewhere:
                self._end_last()
                self._tell_last_ended()
        except Exception as error:
            self.fault(error)

    def _put_up(self) -> None:
        if self.kind == "glance" and not self.compiled:
            self.glance.attach() if self.glance.on else self.glance.install()
            return
        plain: list[nn.Module] = []
        for module in self._entrances():
            if getattr(module, "_compiled_call_impl", None) is None:
                plain.append(module)
            elif not isinstance(module._compiled_call_impl, _Between):
                vars(module)["_compiled_call_impl"] = _Between(self, module, module._compiled_call_impl)
                self._replaced.append(module)
        self._entries.open(plain)

    def _take_down(self) -> None:
        self._entries.forget()
        if self._glance is not None:
            self._glance.remove()
        for module in self._replaced:
            between = vars(module).get("_compiled_call_impl")
            if isinstance(between, _Between):
                vars(module)["_compiled_call_impl"] = between.call
        self._replaced.clear()

    def _entrances(self) -> list[nn.Module]:
        """Return what runs eagerly around everything: in front of compiled parts, never inside one."""
        if not self.compiled:
            return entrances(self.roots)
        wrappers = {id(original(w)): w for ref in self._wrappers if (w := ref()) is not None}
        found: dict[int, nn.Module] = {}
        for root in self.roots:
            outer = wrappers.get(id(root), root)
            inside = [] if is_compiled(outer) else [m for m in entrances([root]) if m is not root]
            for module in (outer, *(wrappers.get(id(m), m) for m in inside)):
                found[id(module)] = module
        return list(found.values())

    # Compiled regions.

    def _pause(self) -> None:
        try:
            if not self.compiled:
                entered = entering_module(self._known)
                if entered is not None:
                    self.compiled = self._hidden = True
                    if id(entered) not in self._known:
                        self._wrappers.append(weakref.ref(entered))
            self._end_last()
            self._entries.close()
            self.glance.detach()
            if self.audit is not None:
                self.audit.pause()
        except Exception as error:
            self.fault(error)

    def _resume(self) -> None:
        try:
            if self.kind == "nothing" or self._hidden:
                return
            if not self._whole:
                self._put_up()
            if self.audit is not None:
                self.audit.resume()
        except Exception as error:
            self.fault(error)

    # What runs inside the user's training.

    def entering(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """An entrance is called."""
        if torch.compiler.is_compiling():
            return
        try:
            audit = None if self.audit is None or self.audit.elsewhere else self.audit
            if not original(module).training or not torch.is_grad_enabled():
                if audit is not None:
                    audit.rest(module)
                return
            if audit is not None and audit.is_void(module):
                self._begin_anew(audit)
            if self._beside is not None:
                self._beside.entered(module, args, kwargs)
            elif self.audit is not None and self.audit.elsewhere:
                self.elsewhere = True
            elif self.audit is not None and not self.audit.heard:
                self.audit.begin(module, (args, kwargs))
        except Exception as error:
            self.fault(error)

    def _begin_anew(self, audit: InPlaceAudit) -> None:
        """What was read belongs to no step; a training that leaves out every step is not followed for ever."""
        self._left_out += audit.heard
        new = InPlaceAudit(self.family, self.fault, compiled=self.compiled)
        self.audit = new if self._left_out <= _LEFT_OUT else None
        if not audit.close():
            self._closing.append(audit)

    def leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        """An entrance has returned."""
        if torch.compiler.is_compiling():
            return
        try:
            if self._beside is not None:
                self._beside.returned(output)
            elif self.audit is not None and not self.audit.elsewhere:
                self.audit.returned(module, output)
        except Exception as error:
            self.fault(error)

    def waits_for_closure(self) -> bool:
        """Whether the backward of this step is still to come: inside the optimizer."""
        if self.audit is not None:
            return not self.audit.heard
        return self.kind == "glance" and not self._whole

    def before_step(self, optimizer: torch.optim.Optimizer, *, step: int, scale: float, moves: bool = True) -> None:
        """The gradients are whole, and the weights are about to move."""
        for audit in (self.last, self.audit):
            if audit is not None and audit.serves(optimizer):
                audit.scale = scale
                audit.before_step(optimizer, step=step, moves=moves)
                return
        if self.kind == "glance" and moves and self.norms is not None:
            self.norms.read(optimizer)
        if self.audit is None and self._beside is not None:
            beside, self._beside = self._beside, None
            try:
                if beside.passes:
                    beside.glance(self.glance)
            except Exception as error:
                self.unreadable = f"{type(error).__name__}: {error}"

    def announced(self) -> None:
        """A trainer says, inside the optimizer's step and before clipping, that all of the backward has run."""
        if self.audit is not None and self.audit.heard:
            self.audit.announced()
        elif self.kind == "glance" and self.norms is not None:
            self.norms.read(None)

    def pause_glance(self) -> None:
        """The closure has run once: what it runs again is no reading."""
        if self.kind == "glance" and not self.compiled:
            self._whole = True
            self.glance.detach()

    def idle(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether nothing of what is up ran for this step: that of another optimizer, without a forward of its own."""
        if self.audit is not None:
            return not self.audit.begun or (self.audit.read and not self.audit.reads(optimizer))
        return self.kind == "glance" and not self.compiled and not any(self.glance.counts[0])

    def rings(self) -> bool:
        """Whether the glance read what should be looked at; waits for a GPU."""
        return self._alarm.rings(self.glance)

    def after_another(self, optimizer: torch.optim.Optimizer) -> tuple[InPlaceAudit, Run] | None:
        """Return what the audit before read of the step of a further optimizer; None if it has ended."""
        audit = self.last
        run = audit.after_step() if audit is not None and audit.reads(optimizer) else None
        return None if audit is None or run is None else (audit, run)

    def after_step(self) -> Run | None:
        """Return what an audit read; None if nothing of ours ran."""
        run = self.audit.after_step() if self.audit is not None else None
        if self.audit is not None:
            self.unreadable = self.unreadable or self.audit.unreadable
            self.too_large = MOST_SITES if self.audit.too_large else 0
            self._misses = 0 if run is not None or self._hidden else self._misses + 1
            if self._misses >= 3 and self.compiled_elsewhere:
                self.unreadable = "the training step runs inside a compiled function, which shows nothing of the model"
        return run

    @property
    def compiled_elsewhere(self) -> bool:
        """Whether compiled regions ran in the step and no forward of the model outside of them."""
        return self._regions.seen and self.audit is not None and not self.audit.begun


class _Between:
    """Stands in front of what `module.compile()` made, in sampled steps."""

    def __init__(self, sampling: Sampling, module: nn.Module, call: Any) -> None:
        self.sampling, self.module, self.call = sampling, module, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.sampling.entering(self.module, args, kwargs)
        result = self.call(*args, **kwargs)
        self.sampling.leaving(self.module, args, result)
        return result


def _family(roots: Sequence[nn.Module]) -> nn.Module:
    """Return one module that holds several, named after their classes; they themselves do not change."""
    family = nn.ModuleDict()
    for root in roots:
        name, count = type(original(root)).__name__, 2
        while name in family:
            name, count = f"{type(original(root)).__name__}{count}", count + 1
        family[name] = root
    return family
