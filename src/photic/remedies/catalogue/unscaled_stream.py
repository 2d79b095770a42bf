"""A signal that is not multiplied by a number above 1 at every block."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.loud_factor import of_one_signal
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
    chain: list[int] = []
    for site in graph.run.sites:
        if _multiplies(graph, site.order) and (not chain or site.order in graph.descendants([chain[-1]])):
            chain.append(site.order)
    together = math.prod(graph.reading(index).gain or 1.0 for index in chain)
    if len(chain) < _FEWEST or together < _GROWS:
        return "no signal is multiplied by a number above 1 at three blocks or more"
    why = f"{len(chain)} factors above 1 make {number(together)} of the signal, and of its gradient"
    return Prescription(unscaled=tuple(graph.site(index).name for index in chain), why=why)


def _multiplies(graph: Graph, index: int) -> bool:
    """Whether a product of one signal with a number above 1 stands there."""
    site = graph.site(index)
    product = site.phase == "model" and site.operation in ("mul", "div") and of_one_signal(graph, index)
    return product and (graph.reading(index).gain or 0.0) > 1.0
