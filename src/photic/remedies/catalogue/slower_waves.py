"""Sines whose arguments span about one bend."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.records.runs import ParameterReading
from photic.records.sites import Parameter
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("shattered-gradient",), changes="weights", sources=("sitzmann2020", "balduzzi2017"), rank=1)
def slower_waves(graph: Graph) -> Prescription | str:
    """Trained frequencies, or logarithms of such, started so that the arguments of the sines that they multiply are of unit size.

    What it changes: the initial value of factors before a sine or a cosine whose argument goes around more than once.

    When not to: in the first layer of a network that is to draw fine detail.
    """
    constants: dict[str, float] = {}
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        signal = graph.reading(sources[0]).signal if len(sources) == 1 else None
        if site.operation not in ("sin", "cos") or site.phase != "model" or signal is None or signal.rms <= math.pi:
            continue
        if graph.site(sources[0]).operation == "mul":
            for parameter, reading in graph.parameters.get(sources[0], []):
                value = _slower(graph, parameter, reading, signal.rms)
                if value is not None:
                    constants[parameter.name] = value
    if not constants:
        return "no trained factor makes the argument of a sine go around more than once"
    return Prescription(constants=constants, why="waves so fast that each derivative is noise: arguments of unit size")


def _slower(graph: Graph, parameter: Parameter, reading: ParameterReading, times: float) -> float | None:
    """Return what a factor starts at to be so many times smaller; None where it is not one number throughout."""
    weight = reading.weight
    if not parameter.trainable or len(parameter.shape) > 1 or weight.deviation > 1e-6 * weight.rms:
        return None
    if any(graph.site(index).operation == "exp" for index in parameter.sites):
        return weight.mean - math.log(times)
    return weight.mean / times
