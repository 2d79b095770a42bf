"""Recurrent layers that take the first axis for time."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.records.sites import Site


def time_first(graph: Graph) -> list[Site]:
    """Return them; packed sequences, which have one axis less, say by themselves whose each row is."""
    return [site for site in graph.run.sites if site.settings.get("batch_first") == 0 and len(site.shape) == 3]
