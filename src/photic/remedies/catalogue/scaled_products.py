"""Matrices of products that are written out, drawn at the size that is wanted."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import own_matrix, written_out
from photic.diagnosis.scale import wanted
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedy

FAR = 4.0  # He's and Xavier's schemes lie within that of each other


@remedy(
    treats=("weights-too-large", "weights-too-small", "exploding-gradient", "vanishing-gradient"),
    changes="weights",
    sources=("he2015", "glorot2010"),
    rank=2,
)
def scaled_products(graph: Graph) -> Prescription | str:
    """Matrices that no layer of torch's holds (`x @ self.w`, `torch.matmul`) drawn with He's variance before ReLU, else 1 / fan_in.

    What it changes: their initial values, around 0, with the fan_in of the side on which they are multiplied.

    When not to: where they were drawn so that a property holds, an orthogonal or a Fourier matrix.
    """
    layers: list[LayerInitialisation] = []
    far = False
    for index in written_out(graph):
        facts, need, name = graph.reading(index).weight, wanted(graph, index) or 1.0, own_matrix(graph, index)
        if facts is None or not facts.row_square_sum:
            continue
        shape = next(p.shape for p, _ in graph.parameters[index] if p.name == name)
        one_sign = facts.mean**2 > facts.variance
        far = far or one_sign or not need / FAR <= facts.row_square_sum <= need * FAR
        scale = need * math.prod(shape[1:]) / facts.fan_in
        layers.append(LayerInitialisation(graph.site(index).name, name, "", "centred", scale=scale))
    if not far:
        return "no product is written out with a matrix far from the size that is wanted"
    return Prescription(
        layers=tuple(layers), why="a matrix of torch.randn or torch.rand has fan_in times the variance that is wanted"
    )
