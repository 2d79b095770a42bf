"""Missing normalisation: residual blocks add up without anything that keeps the stream in size."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.stream_growth import stream_growth
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("zhang2019", "bachlechner2021"))
def missing_normalisation(
    graph: Graph, training: Training | None, *, fewest: int = 6, growth: float = 100.0
) -> Finding | None:
    """A residual stream grows block by block, with no normalisation and no small start of the branches.

    Signs: at least `fewest` residual branches, no normalisation anywhere, and a stream whose root mean square after the last
    sum is more than `growth` times that before the first.

    Why it matters: x + f(x) with f at unit gain doubles the variance at every block; thirty blocks make it a billion times
    larger, and the gradient with it.

    A branch that is no louder than the stream at most doubles it. Where it grows by more than that at each sum, what is added is too
    loud by itself (a gain, a sum without its divisor, a skip that is added twice): `exploding-gradient` says so, and this is information.

    False alarms: Fixup, ReZero and SkipInit start their branches at or near 0 and need no normalisation: their stream does
    not grow. A network that is seen to learn is told so as information.
    """
    grown = stream_growth(graph, fewest=fewest)
    if grown is None or grown.ratio < growth:
        return None
    ratio, each, sums = grown.ratio, grown.each, grown.sums
    return Finding(
        problem="missing-normalisation",
        severity="info" if learns(training) or grown.louder else "critical",
        sites=(graph.site(sums[0]).name, *(graph.site(index).name for index in sums[1:])),
        where=graph.site(sums[0]).where,
        evidence=(
            Evidence("growth of the stream over the blocks", ratio, "ratio"),
            Evidence("residual branches", float(grown.branches), "branches"),
            Evidence("growth per block", each, "ratio"),
        ),
        reason=(
            f"The residual stream grows {number(ratio)} times over {grown.branches} blocks, {number(each)} "
            "times at each, and nothing normalises it; the gradient grows with it on its way down."
        ),
        advice="Put a LayerNorm (or BatchNorm) before each branch and after the last sum, or start each branch at 0 (Fixup, "
        "ReZero, SkipInit).",
        confidence=0.9,
        sources=("zhang2019", "bachlechner2021"),
    )
