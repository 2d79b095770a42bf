"""Scoreboard: the claims of papers, what was expected, what was measured, and whether they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One sentence of a paper that was put to the test.

    Attributes:
        text: the sentence, in our words.
        place: where the paper says it.
        theirs: the paper's own number or word.
        low, high: the range that `measured` must lie in; None where it has no end.
        tolerance: how that range was derived.
        seeds: how many seeds were run.
        measured: mean over the seeds, or what `over` says; None where it was not run yet.
        spread: standard deviation over the seeds; None for fewer than two.
        holds: whether `measured` lies in the range; None where it was not run yet.
        size: `quick`, or `full` where only our larger size can show it.
        note: our best explanation where it does not hold, or what to know about the number.
        over: how the seeds were put together: `mean`, `median`, `smallest`, `largest`.
    """

    text: str
    place: str
    theirs: str
    low: float | None
    high: float | None
    tolerance: str
    seeds: int
    measured: float | None = None
    spread: float | None = None
    holds: bool | None = None
    size: str = "quick"
    note: str = ""
    over: str = "mean"

    @property
    def expected(self) -> tuple[float | None, float | None]:
        """Lower and upper end of the range."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class PaperResult:
    """A paper with its claims.

    Attributes:
        key: key of references.bib.
        title: of the paper.
        claims: in the paper's order.
        seconds: CPU time of the quick size's experiments when they were run; 0 where they were not.
        figures: numbers of the figures that can be drawn.
        full: what the full size is, and where it is smaller than the paper's, why.
    """

    key: str
    title: str
    claims: tuple[ClaimResult, ...]
    seconds: float = 0.0
    figures: tuple[str, ...] = ()
    full: str = ""


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """All papers, and the versions they were run with."""

    papers: tuple[PaperResult, ...]
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
