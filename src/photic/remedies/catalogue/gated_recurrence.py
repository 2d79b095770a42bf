"""A GRU in place of a plain recurrence."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("vanishing-in-time", "exploding-in-time"), changes="function", sources=("cho2014", "hochreiter1997"), rank=2
)
def gated_recurrence(graph: Graph) -> Prescription | str:
    """Gates: a GRU of the same sizes in place of a plain recurrent layer.

    What it changes: the module; it has three times as many parameters, and its gates let the state pass unchanged.

    When not to: where the trained weights of the plain layer are to be kept.
    """
    plain = [
        graph.site(site.order).name
        for site in graph.run.sites
        if site.operation in ("rnn_tanh", "rnn_relu") and graph.reading(site.order).times is not None
    ]
    if not plain:
        return "there is no plain recurrent layer (torch.nn.RNN)"
    if any("/" in name or not name for name in plain):
        return "the plain recurrence is no module of its own that a GRU could take the place of"
    return Prescription(
        gated=tuple(dict.fromkeys(plain)), why="gates let the state and its gradient pass unchanged (Cho et al. 2014)"
    )
