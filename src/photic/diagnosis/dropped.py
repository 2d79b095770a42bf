"""Dropped: dropouts that leave next to nothing of a signal, so that its noise is all that the layers above hear."""

from __future__ import annotations

from photic.diagnosis.graph import Graph

MOST = 0.75  # that share at most is usual to drop; the noise is then sqrt(3) times the signal, number by number
DROWNS = 0.9  # from here on it is three times the signal, and more than a symptom beside what else is found


def dropped(graph: Graph) -> list[tuple[int, float]]:
    """Return the dropouts of the model that zero more than `MOST` of what enters, each with that share."""
    found: list[tuple[int, float]] = []
    for site in graph.run.sites:
        share = site.settings.get("p", 0.0)
        at_work = site.kind == "dropout" and site.phase == "model" and site.settings.get("train", 1)
        if at_work and isinstance(share, (int, float)) and share > MOST:
            found.append((site.order, float(share)))
    return found
