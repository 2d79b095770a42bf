"""An epsilon below the gradients."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import setting
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("frozen-by-epsilon", "zero-epsilon"), changes="training", sources=("kingma2015", "wortsman2023"), rank=1
)
def adam_epsilon(graph: Graph) -> Prescription | str:
    """An epsilon a thousandth of the gradients' size, at most 1e-8; 1e-4 where float16 weights would round it to 0.

    What it changes: Adam's epsilon in every group.

    When not to: where the gradient is nothing but rounding noise.
    """
    if setting(graph.run, "eps") is None:
        return "the optimizer has no epsilon"
    sizes = sorted(
        reading.gradient.rms
        for reading in graph.run.steps[graph.step].parameters
        if reading.gradient is not None and reading.gradient.rms > 0.0
    )
    if not sizes:
        return "no parameter got a gradient"
    half = any(p.dtype == "float16" and p.trainable and p.owned is not False for p in graph.run.parameters)
    epsilon = 1e-4 if half else min(1e-8, 1e-3 * sizes[len(sizes) // 2])
    return Prescription(settings={"eps": epsilon}, why=f"epsilon {epsilon:.2g} lies below the gradients and above 0")
