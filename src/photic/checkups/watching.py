"""Watch: a training run as it is, sampled within a budget, judged while it goes on."""

from __future__ import annotations

import dataclasses
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from photic.checkups.recording import describe, ending, name_sites, write_audit, write_glance
from photic.checkups.tracks import Track, joined, owned
from photic.checkups.verdicts import verdict
from photic.diagnosis.diagnose import diagnose
from photic.probes.glances import Glance
from photic.probes.in_place import MOST_SITES, InPlaceAudit
from photic.probes.modules import entrances, family, module_names
from photic.probes.pace import Kind, Pace
from photic.probes.steps import after_steps, before_steps
from photic.records.findings import Checkup, Finding
from photic.records.runs import Run
from photic.records.stores import StoreWriter
from photic.theory.network import predict_run

OnFinding = Callable[[Finding, int], None]
_MOST_TRACKS = 16


class Watch:
    """Watches a training run; use it as a context manager or call `close`.

    Attributes:
        history: findings that went away again, with the step at which they did.
        faults: what went wrong inside photic; the first one ends the watch and never the training.
    """

    def __init__(
        self,
        model: nn.Module | Sequence[nn.Module],
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        *,
        budget: float = 0.01,
        record: str | Path | None = None,
        on_finding: OnFinding | None = None,
        ignore: Sequence[str] = (),
        every: int = 0,
        started: int = 0,
        on_audit: Callable[[Run], None] | None = None,
    ) -> None:
        self.roots = [model] if isinstance(model, nn.Module) else list(model)
        for root in self.roots:
            if not isinstance(root, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"expected torch.nn.Modules to watch, got {type(root).__name__}")
        if not self.roots:
            raise ValueError("expected at least one model to watch, got none")
        self.family = self.roots[0] if len(self.roots) == 1 else family(self.roots)
        given = [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else list(optimizer or ())
        self._chosen = {id(item) for item in given}
        self._parameters = {id(parameter) for parameter in self.family.parameters()}
        self.pace = Pace(budget, every=every)
        self.history: list[tuple[int, Finding]] = []
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.on_finding = on_finding
        self.ignore = tuple(ignore)
        self.on_audit = on_audit
        self.steps = started  # steps that were made before the watch began
        self._started = started
        self._tracks: dict[int, Track] = {}
        self._told: set[str] = set()
        self.combine: Callable[[Run], Run] = lambda run: run  # with what other ranks read
        self.trainer_tells = False  # the optimizer's step begins before the backward: see `gradients_are_whole`
        self._kind: Kind = "nothing"
        self._audit: InPlaceAudit | None = None
        self._closing: list[InPlaceAudit] = []  # whose mode could not leave yet
        self._glance: Glance | None = None
        self._sampling: list[RemovableHandle] = []
        self._on = False
        self._process = os.getpid()
        self._warned = False
        self._store: StoreWriter | None = None
        self._compiled = False
        try:
            self._begin(record)
        except Exception as error:
            self._fault(error)

    def _begin(self, record: str | Path | None) -> None:
        self._glance = Glance(self.family, module_names(self.family), self._fault)
        self._store = self._opened(record)
        self._compiled = any("OptimizedModule" in type(m).__name__ for root in self.roots for m in root.modules())
        if self._compiled:
            self.notes.append("compiled parts run as they are: only gradients and updates of parameters are read there")
        self._on = True
        after_steps.add(self._stepped)
        self._prepare("audit")

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The verdict now: what the last audit of every optimizer's steps shows, cause first."""
        return tuple(finding for track in self._tracks.values() for finding in track.findings)

    @property
    def healthy(self) -> bool:
        """True when no finding is a warning or worse."""
        return all(finding.severity == "info" for finding in self.findings)

    @property
    def overhead(self) -> float:
        """Measured share of the time that sampling cost, the start-up audits apart."""
        return self.pace.overhead

    @property
    def run(self) -> Run | None:
        """The first and the last audit as one run; None before the first optimizer step."""
        track = max(self._tracks.values(), key=lambda t: t.steps, default=None)
        return None if track is None else joined(track)

    @property
    def checkup(self) -> Checkup | None:
        """Everything so far as a record, for reports."""
        run = self.run
        if run is None:
            return None
        prediction = predict_run(run)
        diagnosis = diagnose(run, prediction, ignore=self.ignore)
        return Checkup(
            run, prediction, dataclasses.replace(diagnosis, findings=self.findings), (*self.notes, self.cost())
        )

    def gradients_are_whole(self) -> None:
        """Say in each step, before clipping, that all of the backward has run; only where `trainer_tells` is set."""
        if self._audit is not None and self._audit.heard:
            self._audit.announced()

    def cost(self) -> str:
        """Return in words what the watch cost."""
        audits = sum(len(track.audited) for track in self._tracks.values())
        return (
            f"watched {self.steps} steps, {audits} audited; sampling took {100 * self.overhead:.2f} % of the time, "
            f"the start-up {self.pace.start_up_seconds:.2f} s"
        )

    def close(self) -> None:
        """Detach; safe to call twice. The record is complete afterwards."""
        self._detach()
        store, self._store = self._store, None
        if store is None or os.getpid() != self._process:
            return
        for end in (lambda: self._describe(store), store.close, lambda: self.notes.extend(ending(store))):
            try:
                end()
            except Exception as error:
                self._fault(error)

    def _opened(self, record: str | Path | None) -> StoreWriter | None:
        """Begin the record; where that is not possible the training is watched without one."""
        if record is None:
            return None
        try:
            return StoreWriter(Path(record))
        except Exception as error:
            self.notes.append(f"there is no record: {type(error).__name__}: {error}")
            self._warn(f"photic keeps no record of this run: {type(error).__name__}: {error}", error)
            return None

    # What follows runs inside the user's training: nothing may raise.

    def _warn(self, text: str, error: Exception) -> None:
        """Warn once and no more; a warning that the user's filters would raise goes to the log."""
        log = logging.getLogger("photic")
        try:
            if not self._warned:
                self._warned = True
                warnings.warn(text, stacklevel=3)
        except Exception:
            log.warning(text)
        log.debug("the error", exc_info=error)

    def _fault(self, error: Exception) -> None:
        try:
            words = f"{type(error).__name__}: {error}"
        except Exception:  # an error whose own words fail
            words = type(error).__name__
        self.faults.append(words)
        self._warn(f"photic stopped watching after an error of its own: {words}", error)
        self._detach()

    def _detach(self) -> None:
        """Take everything away; where a torch call of ours is under way, the rest at the next step."""
        try:
            done = self._stop_sampling()
        except Exception as error:  # this ends every attempt: whatever else is ours must go all the same
            self.faults.append(f"{type(error).__name__} while detaching: {error}")
            done = True
        if done:
            self._on = False
            after_steps.remove(self._stepped)

    def _ours(self, optimizer: torch.optim.Optimizer) -> bool:
        held = (id(p) for group in optimizer.param_groups for p in group["params"])
        return id(optimizer) in self._chosen if self._chosen else not self._parameters.isdisjoint(held)

    def _prepare(self, kind: Kind) -> None:
        """Put up what the next step needs."""
        glance = self._glance
        if kind == self._kind == "glance" and glance is not None and glance.on:
            glance.install()
            return
        self._kind = kind
        if kind == "nothing":
            return
        if kind == "glance" and glance is not None and not self._compiled:
            glance.install()
        elif not self._compiled:
            self._audit = InPlaceAudit(self.family, self._fault)
            for root in entrances(self.roots):
                self._sampling.append(root.register_forward_pre_hook(self._entering, with_kwargs=True))
                self._sampling.append(root.register_forward_hook(self._leaving))
        before_steps.add(self._stepping)

    def _stop_sampling(self) -> bool:
        try:
            if self._glance is not None:
                self._glance.remove()
        finally:
            for handle in self._sampling:
                handle.remove()
            self._sampling.clear()
            before_steps.remove(self._stepping)
        self._closing += [] if self._audit is None else [self._audit]
        self._audit = None
        self._closing = [audit for audit in self._closing if not audit.close()]
        return not self._closing

    def _entering(self, module: nn.Module, args: Any, kwargs: Any = None) -> None:
        audit = self._audit  # without kwargs torch calls a hook that a fault took away a moment ago
        if audit is None or not module.training or not torch.is_grad_enabled() or audit.heard:
            return
        try:
            if audit.recorder.forwards:
                audit.entered(module)
            else:
                audit.begin(module, (args, kwargs or {}))
        except Exception as error:
            self._fault(error)

    def _leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._audit is not None:
            try:
                self._audit.returned(module, output)
            except Exception as error:
                self._fault(error)

    def _stepping(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        audit = self._audit
        if audit is None or self.trainer_tells or not audit.heard:
            return
        try:
            if self._ours(optimizer):
                audit.before_step(optimizer, step=self._track(optimizer).steps)
        except Exception as error:
            self._fault(error)

    def _track(self, optimizer: torch.optim.Optimizer) -> Track:
        if id(optimizer) not in self._tracks and len(self._tracks) >= _MOST_TRACKS:
            del self._tracks[next(iter(self._tracks))]  # who makes an optimizer for every epoch keeps the latest
        return self._tracks.setdefault(id(optimizer), Track(steps=self._started))

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        try:
            if self.faults or os.getpid() != self._process:  # a forked process is not ours to watch
                self._detach()
            if not self._on or not self._ours(optimizer):
                return
            if self._kind == "nothing":
                self._track(optimizer).steps += 1
                self.steps += 1
                self._prepare(self.pace.stepped(self.steps - 1 - self._started, "nothing", own=0.0))
                return
            self._sampled(optimizer)
        except Exception as error:
            self._fault(error)

    def _sampled(self, optimizer: torch.optim.Optimizer) -> None:
        kind, audit = self._kind, self._audit
        track = self._track(optimizer)
        if audit is not None and audit.heard and not audit.read:  # a closure: forward and backward ran inside the step
            audit.before_step(optimizer, step=track.steps, moves=False)
        run = audit.after_step() if audit is not None else None
        if kind == "glance" and self._store is not None and self._glance is not None:
            write_glance(self._store, self._glance, self.steps)
        following = self.pace.stepped(self.steps - self._started, kind, own=audit.seconds if audit is not None else 0.0)
        if kind != "glance" or following != "glance":  # glance after glance: the hooks stay
            self._stop_sampling()
        track.steps += 1
        self.steps += 1
        if run is not None:
            self._judge(track, self.combine(owned(run) if self._several() else run))
        if audit is not None and audit.too_large:
            self.notes.append(f"step {self.steps - 1} made more than {MOST_SITES} operations, which is not audited")
        elif kind == "audit" and run is None:  # nothing of ours ran in this step: try again in the next
            following = "audit"
        self.pace.judged(self.steps - 1 - self._started, kind)
        self._prepare(following)

    def _several(self) -> bool:
        return max(len(self._tracks), len(self._chosen), len(self.roots)) > 1

    def _judge(self, track: Track, run: Run) -> None:
        step = run.steps[0]
        track.audited.append(step.step)
        if step.loss is not None:
            track.losses.append(step.loss)
        track.first = track.first or run
        track.last = run
        course = joined(track) or run
        found = verdict(course, run, self.ignore)
        still = {finding.problem for finding in found.findings}
        self.history.extend((step.step, finding) for finding in track.findings if finding.problem not in still)
        track.seen = {f.problem: track.seen.get(f.problem, 0) + 1 for f in found.findings}
        track.findings = tuple(  # what is critical at once, and of the rest what two audits in a row show
            f
            for f in found.findings
            if track.seen[f.problem] >= 2 or len(track.audited) == 1 or f.severity == "critical"
        )
        for finding in track.findings:
            if track.seen[finding.problem] >= 2 and finding.problem not in self._told:
                self._told.add(finding.problem)
                if self.on_finding is not None:
                    self.on_finding(finding, step.step)
        self._write_audit(run)
        if self.on_audit is not None:
            self.on_audit(dataclasses.replace(run, losses=tuple(track.losses)))

    # The record.

    def _write_audit(self, run: Run) -> None:
        if self._store is None:
            return
        if len(self._tracks) <= 1 and run.steps[0].step == self._started:
            self._describe(self._store)
            name_sites(self._store, run)
        write_audit(self._store, run)

    def _describe(self, store: StoreWriter) -> None:
        model, names = type(self.family).__name__, [] if self._glance is None else self._glance.names
        describe(store, model=model, modules=names, steps=self.steps, cost=self.cost(), findings=self.findings)


def watch(
    model: nn.Module | Sequence[nn.Module],
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    *,
    budget: float = 0.01,
    record: str | Path | None = None,
    on_finding: OnFinding | None = None,
    ignore: Sequence[str] = (),
    every: int = 0,
) -> Watch:
    """Watch a training run from here on, at nearly no cost: `with photic.watch(model, optimizer) as watch: ...`.

    The user's loop stays as it is. Some steps are audited in place: the user's own forward, loss and backward, operation
    by operation; others get a glance at every module. All other steps run one optimizer hook and nothing else. Training
    is bit-identical to one that is not watched.

    Args:
        model: a module, or several (GAN); evaluation and passes without gradient are no readings.
        optimizer: one or several; None follows every optimizer that owns parameters of the model.
        budget: share of the time that sampling may cost, measured and kept; six audits at steps 0, 2, 8, 32, 128 and
            512 come on top, so that short runs get their verdict.
        every: glance at every step (1), every second (2), ... whatever it costs; 0 as the budget allows.
        record: file to write the course of the run to (SQLite), readable while it runs.
        on_finding: called with each finding and its step, once, when two audits in a row show it.
        ignore: problems not to be reported.

    Raises:
        TypeError, ValueError: if there is no module to watch or the budget is no share.
    """
    return Watch(model, optimizer, budget=budget, record=record, on_finding=on_finding, ignore=ignore, every=every)
