"""Watch: a training run as it is, sampled within a budget, judged while it goes on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from photic.checkups.accounts import cost, never_stepped, remarks
from photic.checkups.endings import close_at_exit
from photic.checkups.faults import Warned, words
from photic.checkups.given import models, optimizers
from photic.checkups.recording import Recording
from photic.checkups.scaled_steps import ScaledSteps
from photic.checkups.stopping import OnFinding, Stop, Teller
from photic.checkups.tracks import Track, Tracks, Turns, joined, owned
from photic.checkups.verdicts import verdict
from photic.diagnosis.diagnose import diagnose
from photic.probes.closures import FirstRun
from photic.probes.glances import Glance
from photic.probes.in_place import InPlaceAudit
from photic.probes.pace import Kind, Pace
from photic.probes.sampling import Sampling
from photic.probes.steps import after_steps, before_steps
from photic.records.findings import Checkup, Finding
from photic.records.runs import Run
from photic.theory.network import predict_run


class Watch:
    """Watches a training run; use it as a context manager or call `close`.

    Attributes:
        history: findings that went away again, with the step at which they did.
        faults: what went wrong inside photic; the first one ends the watch and never the training.
        scaled: the steps of gradient scalers; `scaled.skipped` were not taken.
    """

    def __init__(
        self,
        model: nn.Module | Sequence[nn.Module],
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        *,
        budget: float = 0.01,
        record: str | Path | None = None,
        on_finding: OnFinding | None = None,
        stop_on: Stop = "never",
        ignore: Sequence[str] = (),
        every: int = 0,
        started: int = 0,
        on_audit: Callable[[Run], None] | None = None,
        on_glance: Callable[[Glance, int], None] | None = None,
        on_stranger: Callable[[torch.optim.Optimizer], None] | None = None,
    ) -> None:
        roots = models(model)
        self._teller = Teller(on_finding, stop_on)
        self.pace = Pace(budget, every=every)
        self.history: list[tuple[int, Finding]] = []
        self.faults: list[str] = []
        self.ignore = tuple(ignore)
        self.on_audit, self.on_glance, self.on_stranger = on_audit, on_glance, on_stranger
        self.steps = started  # steps that were made before the watch began
        self._started = started
        self._tracks = Tracks(optimizers(optimizer), started)
        self.combine: Callable[[Run], Run] = lambda run: run  # with what other ranks read
        self.trainer_tells = False  # the optimizer's step begins before the backward: see `gradients_are_whole`
        self._kind: Kind = "nothing"
        self._dead: dict[str, torch.Tensor] = {}
        self._turns = Turns()
        self._for_turn = False  # whether what is up is an audit for an optimizer that was audited less often
        self._idle = 0  # steps in a row for which nothing of what is up ran
        self._sampling = Sampling(roots, self._fault, self._last_ended, recorded=record is not None)
        self._on = False
        self._process = os.getpid()
        self._warned = Warned()
        self._recording = Recording(record, self._warned.say, started=started)
        self.scaled = ScaledSteps(self._ours, self._skip, self._fault)
        try:
            self._begin()
        except Exception as error:
            self._fault(error)

    def _begin(self) -> None:
        self._sampling.take(self.roots)
        self._recording.open()
        self._on = True
        close_at_exit(self)
        after_steps.add(self._stepped)
        self.scaled.open()
        self._prepare("audit")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # the user has other words to read
            self._detach()
        self.close()

    @property
    def roots(self) -> list[nn.Module]:
        """The models that are watched."""
        return self._sampling.roots

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The verdict now: what the last audit of every optimizer's steps shows, cause first."""
        return tuple(finding for track in self._tracks.values() for finding in track.findings)

    @property
    def healthy(self) -> bool | None:
        """True when no finding is a warning or worse; None, which is no yes, as long as nothing was read."""
        return all(finding.severity == "info" for finding in self.findings) if self._tracks.audits else None

    @property
    def overhead(self) -> float:
        """Measured share of the time that sampling cost, the start-up audits apart."""
        return self.pace.overhead

    @property
    def run(self) -> Run | None:
        """The first and the last audit as one run; None before the first optimizer step."""
        track = self._tracks.longest
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

    @property
    def notes(self) -> list[str]:
        """What the reader of the verdict must know."""
        skipped = self.scaled.note(self.steps - self._started)
        own = remarks(self._sampling, audits=self._tracks.audits)
        return [*own, *([skipped] if skipped else []), *self._recording.notes]

    def gradients_are_whole(self) -> None:
        """Say in each step, before clipping, that all of the backward has run; only where `trainer_tells` is set."""
        self._sampling.announced()

    def cost(self) -> str:
        """Return in words what the watch cost."""
        return cost(self.pace, self.steps, self._tracks.audits)

    def extend(self, others: Sequence[nn.Module]) -> None:
        """Watch further models from the next step on: one that was made later, the other half of a GAN."""
        new = [model for model in others if all(model is not root for root in self.roots)]
        if not new or not self._on:
            return
        try:
            if self._stop_sampling():
                self._sampling.take([*self.roots, *new])
                self._tracks.look_again()
                self._prepare("audit")
        except Exception as error:
            self._fault(error)

    def close(self) -> None:
        """Detach; safe to call twice. The record is complete afterwards."""
        if self._on and self.steps == self._started and (said := never_stepped(self._sampling)):
            self._warned.say(said, RuntimeError(said))
        self._detach()
        if os.getpid() != self._process:  # of a forked process it is not the record
            return
        for end in (self._describe, self._recording.close):
            try:
                end()
            except Exception as error:
                self._fault(error)

    def release(self) -> None:
        """Keep the models alive no longer; only after `close`."""
        try:
            self._sampling.take([nn.Module()])
        except Exception as error:
            self._fault(error)

    # What follows runs inside the user's training: nothing may raise.

    @property
    def _audit(self) -> InPlaceAudit | None:
        return self._sampling.audit

    def _fault(self, error: Exception) -> None:
        self.faults.append(words(error))
        self._warned.say(f"photic stopped watching after an error of its own: {self.faults[-1]}", error)
        self._detach()

    def _detach(self) -> None:
        """Take everything away; where a torch call of ours is under way, the rest at the next step."""
        self._on = False
        self.scaled.close()
        try:
            done = self._stop_sampling()
        except Exception as error:  # this ends every attempt: whatever else is ours must go all the same
            self.faults.append(f"{type(error).__name__} while detaching: {error}")
            done = True
        if done:
            after_steps.remove(self._stepped)

    def _ours(self, optimizer: torch.optim.Optimizer) -> bool:
        return self._tracks.ours(optimizer, self.roots)

    def _prepare(self, kind: Kind) -> None:
        """Put up what the next step needs."""
        if kind == "glance":
            self._sampling.glance.count_magnitudes(self._recording.wants_magnitudes(self.steps))
        self._sampling.prepare(kind)
        self._kind = self._sampling.kind
        if (self._kind != "nothing" or self._sampling.last) and self._stepping not in before_steps.listeners:
            before_steps.add(self._stepping)

    def _stop_sampling(self, *, linger: bool = False) -> bool:
        before_steps.remove(self._stepping)
        return self._sampling.stop(linger=linger)

    def _last_ended(self) -> None:
        if self._kind == "nothing":
            before_steps.remove(self._stepping)

    def _stepping(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        if self.trainer_tells or torch.compiler.is_compiling():
            return None
        try:
            if not self._ours(optimizer):
                return None
            closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
            if callable(closure) and self._sampling.waits_for_closure():
                told = FirstRun(closure, lambda: self._ran_once(optimizer))
                given = {**kwargs, "closure": told} if "closure" in kwargs else kwargs
                return args if "closure" in kwargs else (args[0], told, *args[2:]), given
        except Exception as error:
            self._fault(error)
            return None
        self._whole(optimizer)
        return None

    def _whole(self, optimizer: torch.optim.Optimizer, *, moves: bool = True) -> None:
        """The gradients of the step are whole."""
        try:
            step = self._track(optimizer).steps
            self._sampling.before_step(optimizer, step=step, scale=self.scaled.scale(optimizer), moves=moves)
        except Exception as error:
            self._fault(error)

    def _ran_once(self, optimizer: torch.optim.Optimizer) -> None:
        self._whole(optimizer)
        try:
            if not self.faults:
                self._sampling.pause_glance()
        except Exception as error:
            self._fault(error)

    def _track(self, optimizer: torch.optim.Optimizer) -> Track:
        alone = len(self._tracks) == 1
        track = self._tracks.of(optimizer)
        if alone and len(self._tracks) > 1:  # what the first one does not own is not without an owner
            for other in self._tracks.values():
                other.share(self.ignore)
        return track

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        try:
            if not self._on or os.getpid() != self._process:  # it ended; a forked process is not ours to watch
                self._detach()
                return
            self._took(optimizer)
        except Exception as error:
            self._fault(error)
        if stop := self._teller.stops():
            self._detach()
            raise stop

    def _took(self, optimizer: torch.optim.Optimizer) -> None:
        if not self._ours(optimizer):
            if self.on_stranger is not None:
                self.on_stranger(optimizer)
        elif not self.scaled.taken(optimizer, sampled=self._kind != "nothing"):
            self._skip()
        elif self._kind == "nothing" and self._sampling.last is None:
            self._between(self._track(optimizer), None)
        else:
            self._sampled(optimizer)

    def _count(self, track: Track, *, read: bool = False) -> None:
        track.steps += 1
        self.steps += 1
        self._turns.stepped(track.number, read=read)

    def _sampled(self, optimizer: torch.optim.Optimizer) -> None:
        track, audit = self._track(optimizer), self._audit
        if audit is not None and audit.serves(optimizer):  # a trainer ran all inside the step
            self._whole(optimizer, moves=False)
        another = self._sampling.after_another(optimizer)
        if another is not None or self._kind == "nothing" or self._is_idle(optimizer):
            self._between(track, another)
            return
        kind, step, self._idle = self._kind, self.steps - self._started, 0
        run = self._sampling.after_step()
        self._dead = audit.dead if audit is not None else {}
        if kind == "glance":
            self._sampling.glance.scale = self.scaled.scale(optimizer)
            self._recording.glance(self._sampling.glance, self.steps, self._sampling.norms)
        own = audit.take_seconds() if audit is not None else 0.0
        following = self.pace.stepped(step, kind, own=own, of=track.number)
        if not (kind == following == "glance" and self._sampling.stays):
            self._stop_sampling(linger=self._tracks.may_be_several)
        self._count(track, read=run is not None)
        if run is not None:
            self.pace.read()
            self._judge(track, run)
            if track.unsure:
                self.pace.confirm(step)
        elif kind == "glance":
            if rings := self._sampling.rings():
                track.dead.clear()  # what the units did before is over
            following = self.pace.alarmed(step + 1, following, sick=rings)
            if self.on_glance is not None:
                self.on_glance(self._sampling.glance, self.steps - 1)
        elif kind == "audit" and not self._sampling.too_large:  # nothing of ours ran in this step
            following = self.pace.missed(step + 1, following)
        self.pace.judged(step, kind)
        if self._on:
            self._prepare(self._also(following))

    def _is_idle(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the step is that of a further optimizer, for which nothing of what is up ran; that stays up."""
        self._idle += 1
        return self._idle <= len(self._tracks) > 1 and self._sampling.idle(optimizer)

    def _between(self, track: Track, another: tuple[InPlaceAudit, Run] | None) -> None:
        """A step without a sample of its own: what is up stays up, and the audit before may have read this step too."""
        step = self.steps - self._started
        own, kind = (0.0, "nothing") if another is None else (another[0].take_seconds(), "again")
        following = self.pace.stepped(step, kind, own=own, of=track.number)
        self._count(track, read=another is not None)
        if another is not None:
            self._dead = another[0].dead
            self._judge(track, another[1])
            self.pace.judged(step, "audit")
        had = another is not None and self._for_turn  # its turn: what is up was meant for it
        if self._on and (self._kind == "nothing" or had or (self._kind == "glance" and following == "audit")):
            if self._kind != "nothing":
                self._stop_sampling(linger=True)
            self._prepare(self._also(following))

    def _also(self, kind: Kind) -> Kind:
        """Audit another optimizer's step too, where its turn comes."""
        self._for_turn = kind != "audit" and len(self._tracks) > 1 and self._turns.due(self._tracks.values())
        if self._for_turn:
            self.pace.allow(self.steps - self._started)
        return "audit" if self._for_turn else kind

    def _judge(self, track: Track, run: Run) -> None:
        run = self.combine(owned(run) if self._tracks.several or len(self.roots) > 1 else run)
        self._tracks.audits += 1
        step = run.steps[0].step
        track.take(run, self._dead)
        run = track.last or run
        found = verdict(joined(track) or run, run, self.ignore)
        self.history.extend((step, finding) for finding in track.settle(found.findings))
        for finding in track.findings:
            if track.seen[finding.problem] >= 2:
                self._teller.tell(finding, step)
        self._recording.audit(run, track.number, self.steps - 1)
        self._describe()
        if self.on_audit is not None:
            self.on_audit(dataclasses.replace(run, losses=tuple(track.losses)))

    def _describe(self) -> None:
        self._recording.describe(
            model=type(self._sampling.family).__name__,
            modules=self._sampling.names,
            steps=self.steps,
            cost=self.cost(),
            notes=self.notes,
            findings=[dataclasses.asdict(finding) for finding in self.findings],
        )

    def _skip(self) -> None:
        """A step was skipped: what was read of it is of no step; the next one takes its place."""
        self._recording.skipped(self.steps, self.scaled.skipped)
        self.pace.passed()
        if self._kind != "nothing":
            kind = self._kind
            self._stop_sampling()
            self._prepare(kind)
