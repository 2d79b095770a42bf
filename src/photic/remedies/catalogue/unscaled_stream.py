"""A signal that is not multiplied by a number above 1 at every block."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.words import number
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_FEWEST = 3
_GROWS = 10.0  # what the factors make together


@remedy(treats=("exploding-gradient",), changes="function", sources=("wang2022deepnet", "he2016"), rank=0)
def unscaled_stream(graph: Graph) -> Prescription | str:
    """The factors left out that no layer makes and by which block after block multiplies the signal.

    What it changes: a number above 1 that a residual stream, or what a block gives, is multiplied by; of three on, each above the one before.

    When not to: where a normalisation after the sum belongs to the factor, as in DeepNorm: then put the normalisation in.
    """
    chain, together = _chain(graph)
    if len(chain) < _FEWEST or together < _GROWS:
        return "no signal is multiplied by a number above 1 at three blocks or more"
    why = f"{len(chain)} factors above 1 make {number(together)} of the signal, and of its gradient"
    return Prescription(unscaled=tuple(graph.site(index).name for index in chain), why=why)


def _chain(graph: Graph) -> tuple[list[int], float]:
    """Return the products of one signal by a constant that lie above each other, and what they make together."""
    chain: list[int] = []
    logarithm = 0.0
    for site in graph.run.sites:
        factor = _factor(graph, site.order)
        above = not chain or site.order in graph.descendants([chain[-1]])
        if site.phase == "model" and factor > 1.0 and above:
            chain.append(site.order)
            logarithm += math.log(factor)
    return chain, math.exp(min(logarithm, 700.0))


def _factor(graph: Graph, index: int) -> float:
    """Return by what a product multiplies the size of the one signal that enters it; 1 where it takes more than that."""
    sources = {source for source, _ in graph.feeders.get(index, [])}
    if graph.site(index).operation not in ("mul", "div") or len(sources) != 1 or graph.parameters.get(index):
        return 1.0
    (source,) = sources
    before, after = (None if i < 0 else graph.reading(i).signal for i in (source, index))
    if before is None or after is None or not before.rms > 0.0 or not math.isfinite(after.rms):
        return 1.0
    return after.rms / before.rms
