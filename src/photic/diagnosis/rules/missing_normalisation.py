"""Missing normalisation: residual blocks add up without anything that keeps the stream in size."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.roles import residual_branches
from photic.diagnosis.stream import passed_by_batch
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("zhang2019", "bachlechner2021"))
def missing_normalisation(
    graph: Graph, training: Training | None, *, fewest: int = 6, growth: float = 100.0, louder: float = 2.0
) -> Finding | None:
    """A residual stream grows block by block, with no normalisation and no small start of the branches.

    Signs: at least `fewest` residual branches, no normalisation anywhere, and a stream whose root mean square after the last
    sum is more than `growth` times that before the first.

    Why it matters: x + f(x) with f at unit gain doubles the variance at every block; thirty blocks make it a billion times
    larger, and the gradient with it.

    A branch that is no louder than the stream at most doubles it. Where it grows by more than `louder` at each sum, what is added is too
    loud by itself (a gain, a sum without its divisor, a skip that is added twice): `exploding-gradient` says so, and this is information.

    False alarms: Fixup, ReZero and SkipInit start their branches at or near 0 and need no normalisation: their stream does
    not grow. A network that is seen to learn is told so as information.
    """
    branches = residual_branches(graph)
    if len(branches) < fewest or any(site.kind == "normalisation" for site in graph.run.sites):
        return None
    sums = [site.order for site in graph.run.sites if site.kind == "sum" and site.phase == "model"]
    first, last = graph.reading(min(branches[0])).signal, graph.reading(sums[-1]).signal
    sources = [source for source, _ in graph.feeders.get(min(branches[0]), []) if source >= 0]
    before = graph.reading(sources[0]).signal if sources else graph.run.inputs
    if before is None or last is None or first is None or before.rms <= 0.0:
        return None
    ratio = last.rms / before.rms
    if ratio < growth:
        return None
    each = ratio ** (1.0 / max(len(_stream_sums(graph)), 1))
    return Finding(
        problem="missing-normalisation",
        severity="info" if learns(training) or each > louder else "critical",
        sites=(graph.site(sums[0]).name, *(graph.site(index).name for index in sums[1:])),
        where=graph.site(sums[0]).where,
        evidence=(
            Evidence("growth of the stream over the blocks", ratio, "ratio"),
            Evidence("residual branches", float(len(branches)), "branches"),
            Evidence("growth per block", each, "ratio"),
        ),
        reason=(
            f"The residual stream grows {number(ratio)} times over {len(branches)} blocks, {number(each)} "
            "times at each, and nothing normalises it; the gradient grows with it on its way down."
        ),
        advice="Put a LayerNorm (or BatchNorm) before each branch and after the last sum, or start each branch at 0 (Fixup, "
        "ReZero, SkipInit).",
        confidence=0.9,
        sources=("zhang2019", "bachlechner2021"),
    )


def _stream_sums(graph: Graph) -> list[int]:
    """Return the sums of two signals that all of the stream passes: a sum within a branch is none."""
    return [
        index
        for index in passed_by_batch(graph)
        if graph.site(index).operation == "add" and len(graph.feeders.get(index, [])) == 2
    ]
