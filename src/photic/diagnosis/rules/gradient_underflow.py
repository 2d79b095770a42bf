"""Gradient underflow: gradients below float16's smallest number become exactly 0."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding

_NORMAL = 2.0**-14  # the smallest float16 with all its digits
_SMALLEST = 2.0**-24


@rule(sources=("micikevicius2018",))
def gradient_underflow(graph: Graph, *, share: float = 0.3) -> Finding | None:
    """In float16, gradients are so small that they are flushed to 0 on their way down.

    Signs: at a float16 operation the gradient is exactly 0 while what arrives above it is not 0 and nowhere exceeds 6e-5,
    float16's smallest normal number; or at least `share` of its elements are 0 and most of the others are subnormal.

    Why it matters: what is 0 stays 0 on the whole way down, and those layers do not learn, though in float32 the gradient
    would be small and fine.

    False alarms: zeros behind a ReLU or a mask are exact, and beside numbers of normal size: those are not counted. With a
    loss scaler the gradients in memory are scaled and lie above the limit: those are judged. bfloat16 has float32's range.
    """
    scale = graph.run.steps[graph.step].loss_scale or 1.0  # what float16 holds is the scaled gradient
    flushed: list[int] = []
    largest = 0.0
    for site in graph.run.sites:
        gradient = graph.reading(site.order).gradient
        if site.dtype != "float16" or site.phase != "model" or gradient is None or gradient.count == 0:
            continue
        if gradient.rms == 0.0 and gradient.nonfinite == 0:
            above = [graph.reading(after).gradient for after in graph.consumers.get(site.order, [])]
            known = [g for g in above if g is not None and g.rms > 0.0]
            if known and scale * max(g.maximum for g in known) < _NORMAL:
                flushed.append(site.order)
                largest = max(largest, scale * max(g.maximum for g in known))
        else:
            alive = gradient.count - gradient.zeros
            if (
                gradient.zero_fraction >= share
                and gradient.subnormals > 0.9 * alive
                and scale * gradient.rms < 8.0 * _SMALLEST
            ):
                flushed.append(site.order)
                largest = max(largest, scale * gradient.maximum)
    if not flushed:
        return None
    lowest, highest = min(flushed), max(flushed)
    starved = [
        parameter.name
        for parameter, reading in zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True)
        if parameter.trainable and reading.gradient is not None and reading.gradient.zero_fraction > 0.5
    ]
    if not starved:
        return None
    zeros = graph.reading(lowest).gradient
    return Finding(
        problem="gradient-underflow",
        severity="critical",
        sites=(),
        where=graph.site(highest).where,
        evidence=(
            Evidence("largest gradient where it is flushed", largest, "gradient"),
            Evidence("smallest number of float16", _SMALLEST, "gradient"),
            Evidence(
                "share of zeros at the lowest such operation", 0.0 if zeros is None else zeros.zero_fraction, "share"
            ),
        ),
        reason=(
            f"At {graph.site(highest).name} the gradient is at most {number(largest)}, and float16 ends at 6e-8: from there down it "
            f"rounds to 0 ({percent(0.0 if zeros is None else zeros.zero_fraction)} zeros at {graph.site(lowest).name}), so "
            f"{listed(starved)} do not learn."
        ),
        advice="Scale the loss (torch.amp.GradScaler), or use bfloat16, which has float32's range.",
        confidence=0.95,
        sources=("micikevicius2018",),
        victims=tuple(graph.site(index).name for index in graph.layers() if index <= highest),
    )
