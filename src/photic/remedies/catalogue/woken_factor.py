"""One of two factors that are both 0 drawn at random."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, relu_like
from photic.diagnosis.rules.zero_times_zero import stuck_parameters
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedy


@remedy(treats=("zero-times-zero",), changes="weights", sources=("hu2022lora", "bachlechner2021"), rank=1)
def woken_factor(graph: Graph) -> Prescription | str:
    """Of the factors that are all 0 the last stays, and the others are drawn at random.

    What it changes: weight matrices that are 0 get He's variance before ReLU and 1 / fan_in elsewhere. A gate at 0, or else
    the last of the matrices, stays 0: the output is what it was, and the first step moves it.

    When not to: where the zeros are a mask that is meant to stay.
    """
    stuck = stuck_parameters(graph)
    matrices = [parameter for parameter in stuck if len(parameter.shape) >= 2]
    if not matrices:
        return "no weight matrix is among the factors that are 0"
    matrices.sort(key=lambda parameter: min(parameter.sites))
    woken = matrices if len(matrices) < len(stuck) else matrices[:-1]
    layers = tuple(
        LayerInitialisation(
            graph.site(site := min(parameter.sites)).name,
            parameter.name,
            "",
            "he" if relu_like(activation_after(graph, site)) else "lecun",
        )
        for parameter in woken
    )
    return Prescription(layers=layers, why="two factors at 0 hold each other there: draw all but one (Hu et al. 2022)")
