"""Post-norm without warm-up: a deep transformer of the original kind that starts at full speed."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, matrix_updates
from photic.diagnosis.optimizers import adaptive
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("xiong2020", "huang2020"))
def post_norm_without_warmup(
    graph: Graph, training: Training | None, *, fewest: int = 24, step: float = 0.01
) -> Finding | None:
    """Many residual sums are each followed by a normalisation, and the first step already has full length.

    Signs: at least `fewest` residual sums go straight into a LayerNorm or RMSNorm, an adaptive optimizer moves the median
    weight matrix by `step` of its size or more at the very first step, and the loss does not fall by half within the steps.

    Why it matters: in a post-norm transformer the upper layers' gradients are much larger than the lower ones' at the start,
    and Adam's first steps, made from one batch, are as long as later ones; together they drive the upper layers where
    nothing passes. Hence the warm-up of the original recipe.

    False alarms: with a warm-up or a rate of 1e-4 the first step is short, and networks of ten layers or fewer mostly train without; pre-norm
    networks normalise the branch, not the sum.
    """
    sums = [
        site.order
        for site in graph.run.sites
        if site.kind == "sum"
        and site.phase == "model"
        and any(
            graph.site(after).operation in ("layer_norm", "rms_norm") and len(graph.consumers.get(site.order, [])) == 1
            for after in graph.consumers.get(site.order, [])
        )
    ]
    moved = sorted(matrix_updates(graph))
    if (
        len(sums) < fewest
        or not moved
        or not adaptive(graph.run)
        or moved[len(moved) // 2] < step
        or learns(training, 0.5)
    ):
        return None
    middle = moved[len(moved) // 2]
    return Finding(
        problem="post-norm-without-warmup",
        severity="warning",
        sites=(),
        where=graph.site(sums[0]).where,
        evidence=(
            Evidence("residual sums that go into a normalisation", float(len(sums)), "sums"),
            Evidence("median relative update of the weight matrices at the first step", middle, "ratio"),
        ),
        reason=(
            f"{len(sums)} residual sums are normalised after the addition (post-norm), and the first step already moves the median "
            f"weight matrix by {percent(middle)} of its size: without a warm-up such a network of {number(len(sums) / 2)} layers "
            "seldom gets going."
        ),
        advice="Raise the learning rate from 0 over the first hundreds or thousands of steps, or normalise before each branch "
        "(pre-norm), or scale the residual (DeepNorm).",
        confidence=0.7,
        sources=("xiong2020", "huang2020", "wang2022deepnet"),
    )
