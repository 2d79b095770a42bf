"""Steps downhill."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.likelihoods import bare_likelihood
from photic.diagnosis.rules.diverging import negated
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("diverging",), changes="training", sources=("cs231n",), rank=0)
def descend(graph: Graph) -> Prescription | str:
    """Downhill: the optimizer minimises.

    What it changes: the sign of the step, `maximize=False`; or, where the loss is the negative of an error or a log likelihood, that sign.

    When not to: where the loss is a score, and more is better.
    """
    if negated(graph) is not None:
        signs = [
            s.name
            for s in graph.run.sites
            if s.phase == "loss" and s.operation == "neg" and not graph.consumers.get(s.order)
        ]
        if signs:
            return Prescription(removed=tuple(signs), why="the error is to fall: without the minus sign")
    if sums := bare_likelihood(graph):
        return Prescription(
            factors={graph.site(index).name: -1.0 for index in sums},
            why="a log likelihood is to grow: its negative is the loss",
        )
    turned = [r.against for step in graph.run.steps for r in step.parameters if r.against is not None]
    if not turned or sum(turned) <= 0.5 * len(turned):  # cosines: 1 straight uphill
        return "the optimizer minimises already"
    return Prescription(settings={"maximize": False}, why="the loss is to fall: maximize=False")
