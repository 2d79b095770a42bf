"""Divided by a mean of magnitudes."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.signed_divisors import signed_divisors
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "non-finite", "diverging"), changes="function", sources=("carandini2012",), rank=0
)
def magnitudes(graph: Graph) -> Prescription | str:
    """Where a signal is divided by a mean, or a sum, of numbers of both signs, that of their magnitudes is taken.

    What it changes: quotients no longer grow without bound where positive and negative numbers cancel, and keep the signal's sign.

    When not to: where the mean is far from 0 in the data that is to come.
    """
    found = signed_divisors(graph)
    if not found:
        return "nothing is divided by a mean of numbers of both signs"
    means = [graph.site(mean) for _, mean in found]
    lines = {(mean.operation, mean.where) for mean in means}
    # Of calls of one line all are changed, also where the mean of one batch lay away from 0.
    same = [site for site in graph.run.sites if site in means or (site.where and (site.operation, site.where) in lines)]
    return Prescription(
        magnitudes=tuple(site.name for site in same),
        why="numbers of both signs have a mean next to 0: divide by the mean of their magnitudes",
    )
