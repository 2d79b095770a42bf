"""Logarithms of probabilities into a negative log-likelihood."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.likelihoods import OF_LOGARITHMS, past_shapes
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("diverging", "loss-saturation"), changes="function", sources=("bridle1990",), rank=0)
def log_probabilities(graph: Graph) -> Prescription | str:
    """Logarithms of probabilities for `nll_loss` and `ctc_loss`: a log_softmax in the place of a softmax, or before raw scores.

    What it changes: the loss, which fell below 0, where no probability can bring it.

    When not to: where the model returns logarithms of probabilities already.
    """
    bare: list[str] = []
    soft: list[str] = []
    for site in graph.run.sites:
        if site.phase != "loss" or site.operation not in OF_LOGARITHMS:
            continue
        for source in past_shapes(graph, site.order):
            maker, signal = graph.site(source), graph.reading(source).signal
            if maker.operation == "softmax":
                soft.append(maker.name)
            elif not maker.operation.startswith("log") and signal is not None and signal.maximum > 0.0:
                bare.append(site.name)
    if not bare and not soft:
        return f"no {' or '.join(OF_LOGARITHMS)} takes anything but logarithms of probabilities"
    return Prescription(
        logarithms=tuple(dict.fromkeys(bare)),
        logged=tuple(dict.fromkeys(soft)),
        why="a negative log-likelihood takes logarithms of probabilities",
    )
