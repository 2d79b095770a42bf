"""Samples with a path back to what they are drawn from."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.sampled import sampled_way
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("kingma2014",), rank=0)
def pathwise_sample(graph: Graph) -> Prescription | str:
    """`rsample()` in the place of `sample()`: what is drawn moves with the distribution that it is drawn from.

    What it changes: no value; location and scale get the gradient of location + scale * noise.

    When not to: where the sample is an action whose log probability is trained (a policy gradient), or a negative example.
    """
    sample = sampled_way(graph)
    if sample is None:
        return "no trained layer takes a sample that could have a path"
    sites = [graph.site(index) for index in sample.sites]
    return Prescription(
        revealed=tuple(site.name for site in sites if site.operation != "normal"),
        pathwise=tuple(site.name for site in sites if site.operation == "normal"),
        why="rsample() in place of sample(): its value has a history",
    )
