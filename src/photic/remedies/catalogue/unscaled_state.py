"""A state that is not multiplied by a number above 1 at every step."""

from __future__ import annotations

import itertools
import math
import statistics

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import lines, turns
from photic.diagnosis.loud_factor import of_one_signal
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("exploding-in-time",), changes="function", sources=("pascanu2013", "srivastava2014"), rank=0)
def unscaled_state(graph: Graph) -> Prescription | str:
    """The factor left out that no layer makes and by which a loop multiplies its state at every step.

    What it changes: a number, or one mask of a dropout with its 1 / (1 - p), that is above 1 wherever it is not 0: after T steps the
    state has it to the power of T.

    When not to: where the factor is the law of what is simulated, a rate of growth.
    """
    names: dict[str, None] = {}
    products = [line for line in lines(graph) if graph.site(line[0]).operation in ("mul", "div")]
    for sites in (part for line in products for part in turns(line)):
        gains = [gain for index in sites if (gain := graph.reading(index).gain) is not None and gain > 0.0]
        alone = all(of_one_signal(graph, index) for index in sites)
        if alone and len(gains) > 1 and statistics.fmean(map(math.log, gains)) > 0.0 and _on_the_way(graph, sites):
            names |= dict.fromkeys(graph.site(index).name for index in sites)
    if not names:
        return "no loop multiplies its state by a number above 1 that no layer makes"
    return Prescription(
        unscaled=tuple(names), why="a factor above 1 at every step is that factor to the power of the steps"
    )


def _on_the_way(graph: Graph, sites: list[int]) -> bool:
    """Whether each is made of the one before."""
    return all(after in graph.descendants([before]) for before, after in itertools.pairwise(sites))
