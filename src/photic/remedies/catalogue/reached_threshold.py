"""Weights that let a signal reach the threshold that is taken from it."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.words import number
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_BELOW = (
    2.0  # the size (rms) that is wanted, as a part of the threshold: one in forty of a normal signal then lies above it
)


@remedy(
    treats=("dead-units", "vanishing-gradient", "idle-layer"),
    changes="weights",
    sources=("eshraghian2023", "neftci2019"),
    rank=1,
)
def reached_threshold(graph: Graph) -> Prescription | str:
    """The weights of layers below a threshold that no unit reaches, larger by as much as brings the signal to half of it.

    What it changes: the size of initial weights and biases. A neuron that fires at a fixed potential, and has no slope far from it, fires then.

    When not to: where the units are to stay off until something rare comes in; a lower threshold does the same.
    """
    factor, parameters = 1.0, dict[str, float]()
    for site in graph.run.sites:
        limit = site.settings.get("other")
        if site.operation != "sub" or site.phase != "model" or not isinstance(limit, (int, float)) or not limit > 0.0:
            continue
        takers = graph.consumers.get(site.order, [])
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if len(sources) != 1 or not takers or not all(_silent(graph, taker) for taker in takers):
            continue
        signal, below = graph.reading(sources[0]).signal, graph.ancestors(sources) | set(sources)
        layers = [index for index in graph.layers() if index in below]
        if signal is None or not 0.0 < signal.rms < limit / _BELOW or not layers:
            continue
        if not parameters:  # layers above the first are as silent as it is
            factor = limit / (_BELOW * signal.rms)
        parameters |= {p.name: factor for p, _ in graph.parameters.get(max(layers), []) if p.trainable}
    if not parameters:
        return "no number is taken from a signal that never comes near it"
    return Prescription(
        scaled=parameters, why=f"weights {number(factor)} times as large: the signal comes up to the threshold"
    )


def _silent(graph: Graph, index: int) -> bool:
    """Whether a site makes nothing but 0, before the steps and after."""
    signals = [each.reading(index).signal for each in (graph.first, graph.last)]
    return all(signal is not None and signal.rms == 0.0 for signal in signals)
