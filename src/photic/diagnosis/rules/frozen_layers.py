"""Frozen layers: left as they are by `requires_grad=False` or a learning rate of 0, while the loss stands still."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding


@rule(sources=("zhang2022",))
def frozen_layers(graph: Graph, training: Training | None) -> Finding | None:
    """Layers do not move because they are told not to, and the loss does not fall.

    Signs: layers all of whose parameters have `requires_grad=False`, or a learning rate of 0 beside others that have one, and
    training steps that do not lower the loss.

    Why it matters: what is frozen by a line that was forgotten looks like any other layer.

    False alarms: freezing is nearly always meant (a pre-trained backbone, the base of a low-rank update), so this is
    information, and nothing is said while the loss falls, or where several optimizers take turns (a GAN).
    """
    run = graph.run
    if training is None or learns(training) or run.facts.get("optimizers") == "several":
        return None
    rates = {p.learning_rate for p in run.parameters if p.trainable and p.learning_rate is not None}
    by_rate = len(rates) > 1 and 0.0 in rates
    still: dict[str, str] = {}
    for site in run.sites:
        held = [p for p, _ in graph.parameters.get(site.order, [])]
        if site.kind != "weight" or site.phase != "model" or not held:
            continue
        if not any(p.trainable for p in held):
            still[site.name] = "requires_grad=False"
        elif by_rate and all(p.learning_rate == 0.0 for p in held if p.trainable):
            still[site.name] = "a learning rate of 0"
    if not still:
        return None
    causes = " and ".join(sorted(set(still.values())))
    return Finding(
        problem="frozen-layers",
        severity="info",
        sites=tuple(still),
        where=run.site(next(iter(still))).where,
        evidence=(Evidence("layers that are frozen", float(len(still)), "layers"),),
        reason=f"{listed(list(still))} stay as they are, by {causes}, and the loss does not fall within {training.steps} steps.",
        advice="If they are meant to learn, set requires_grad to True and give them a rate; if not, all is well with them.",
        confidence=0.9,
        sources=("zhang2022",),
    )
