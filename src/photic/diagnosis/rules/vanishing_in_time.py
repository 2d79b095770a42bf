"""Vanishing in time: the gradient does not reach the early steps of a sequence."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.loops import in_time
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("hochreiter1998", "pascanu2013", "tallec2018"))
def vanishing_in_time(
    graph: Graph, training: Training | None, *, share: float = 1e-3, hopeless: float = 1e-5, fewest: int = 20
) -> Finding | None:
    """Less than `share` of the gradient that a recurrent layer passes to its inputs reaches the first of them.

    Signs: |dL/dx_1| below 1e-3 of the largest |dL/dx_t| of a fused RNN, LSTM or GRU; or the same of the steps of a loop that was
    written out, known by a parameter that each of eight steps or more uses on the way to the next.

    Why it matters: what the first steps say can hardly be learned. In `dev.py bench memory` (a class shown at the first
    step alone, 400 steps of Adam) every start with a ratio above 1e-2 was learned, none below 1e-5 was, and between
    5e-4 and 2e-3 some were.

    False alarms: whether the early steps matter only the task knows. A default LSTM forgets within some ten steps and
    learns well what depends on those; so this is information, and a warning only below `hopeless`, where `fewest` losses
    or more show that nothing is learned. A loss at every time step hides the fading: each step then has a gradient of its own.
    """
    fading: list[tuple[int, float, int, float]] = []
    for index, norms in in_time(graph):
        largest = max(norms)
        if largest > 0.0 and norms[0] < share * largest:
            reached = sum(norm >= share * largest for norm in norms)
            fading.append((index, norms[0] / largest, len(norms), float(reached)))
    if not fading:
        return None
    index, ratio, steps, reached = min(fading, key=lambda item: item[1])
    stuck = ratio < hopeless and training is not None and training.steps >= fewest and not learns(training, 0.95)
    site = graph.site(index)
    each = ratio ** (1.0 / (steps - 1)) if ratio > 0.0 else 0.0
    return Finding(
        problem="vanishing-in-time",
        severity="warning" if stuck else "info",
        sites=tuple(graph.site(item[0]).name for item in sorted(fading, key=lambda item: item[1])),
        where=site.where,
        evidence=(
            Evidence("gradient at the first time step, relative to the largest", ratio, "ratio"),
            Evidence("time steps", float(steps), "steps"),
            Evidence("time steps that at least a thousandth of the gradient reaches", reached, "steps"),
            Evidence("typical factor per time step", each, "ratio"),
        ),
        reason=(
            f"Of the gradient that {site.name or 'the layer'} passes to its {steps} inputs, {number(ratio)} reaches the first: "
            f"it keeps {number(each)} per time step, so that {int(reached)} steps are reached; what came before cannot be learned."
        ),
        advice="Is the last step the end of the sequence, or padding? Then read the last real one (pack the sequences). "
        f"If early steps matter: {_remedies(site.operation, steps)}, attention, or shorter sequences.",
        confidence=0.9 if stuck else 0.7,
        sources=("hochreiter1998", "pascanu2013", "tallec2018"),
    )


def _remedies(operation: str, steps: int) -> str:
    """Return what makes this kind of recurrence remember."""
    gates = f'`photic.initialise(model, "chrono", longest={steps})`'
    plain = "a gate in place of the plain recurrence (LSTM, GRU), orthogonal or identity recurrent weights"
    if operation.startswith("rnn"):
        return plain
    return gates if operation in ("lstm", "gru") else f"{gates} for LSTM and GRU, else {plain}"
