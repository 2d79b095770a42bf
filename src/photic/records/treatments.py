"""Treatments: remedies, the trials that tested them, the verdict and the patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from photic.records.findings import Checkup
from photic.records.pictures import Shown, picture
from photic.records.profiles import Profile
from photic.records.vocabulary import Change

Outcome = Literal["control", "accepted", "refused", "stopped", "failed", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Trial:
    """A short training run that tests one remedy against the untreated control.

    Attributes:
        remedy: hyphenated name; `untreated` for the control.
        title: what was done, in a few words: `Xavier weights by the activation that follows`.
        changes: `training` | `weights` | `function`; '' for the control.
        outcome: `accepted` cured, or lets the network train far better in spite of a finding; `refused` did not; `stopped` was left
            behind by better ones, or out of time; `failed` raised an error; `not-applicable` could not be applied. `control` is the untreated run.
        reason: why this outcome, in one sentence with the numbers.
        losses: training loss of every step.
        held_back_loss: the user's loss on held-back batches after the last step.
        score: the user's `score` on the trained model, None when no score was given.
        reached, layers: how many of how many layers the gradient reached in the treated network at its start.
        remaining: treated problems that are still there.
        brought: problems that the control does not have.
        seconds: wall time of the trial.
        profile: depth profile of the treated network before training.
        seeds: number of seeds that it was trained with.
        seed_losses: training losses with the other seeds, as far as they were trained.
        effects: what an accepted remedy costs, in words: `1,280 parameters more`, `saturated-activation comes with it`.
    """

    remedy: str
    title: str
    changes: Change | Literal[""]
    outcome: Outcome
    reason: str
    losses: tuple[float, ...] = ()
    held_back_loss: float | None = None
    score: float | None = None
    reached: int | None = None
    layers: int | None = None
    remaining: tuple[str, ...] = ()
    brought: tuple[str, ...] = ()
    seconds: float = 0.0
    profile: Profile | None = None
    seeds: int = 1
    effects: tuple[str, ...] = ()
    seed_losses: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class TreatmentRecord(Shown):
    """What was found, tried and accepted.

    Attributes:
        before: the checkup of the untreated network.
        after: the checkup of the treated one; None when nothing was accepted.
        trials: control first, then in order of rank.
        remedy: name of the accepted remedy, '' when none.
        patch: unified diff of the user's source, '' when there is none.
        paste: lines to paste where no source line is known, '' when there is a patch.
        notes: what the reader must know: which seeds vary, what was refused and why.
        runs: training steps of all trials together, in runs of one trial; the untreated one is among them.
    """

    before: Checkup
    after: Checkup | None
    trials: tuple[Trial, ...]
    remedy: str
    patch: str
    paste: str = ""
    notes: tuple[str, ...] = ()
    runs: float = 0.0

    def _repr_html_(self) -> str:
        return picture(self)

    @property
    def accepted(self) -> bool:
        """True when a remedy cured, or relieved."""
        return bool(self.remedy)

    @property
    def left(self) -> tuple[str, ...]:
        """Problems that are found in the treated network all the same: with one, the accepted remedy relieves and does not cure."""
        chosen = next((trial for trial in self.trials if self.remedy and trial.remedy == self.remedy), None)
        return () if chosen is None else (*chosen.remaining, *chosen.brought)
