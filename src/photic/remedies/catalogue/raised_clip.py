"""A limit of gradient clipping that lets the usual gradient pass."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_ROOM = 3.0


@remedy(treats=("useless-clipping",), changes="training", sources=("pascanu2013",), rank=1)
def raised_clip(graph: Graph) -> Prescription | str:
    """The clipping limit raised to three times the measured norm.

    What it changes: the limit of the clipping that is there; the usual gradient passes whole, a spike is still cut.

    When not to: where the norm is large because of a fault; mend that first.
    """
    norms = [
        step.clip_norm
        for step in graph.run.steps
        if step.clip_norm is not None and step.clip_limit is not None and step.clip_norm > step.clip_limit
    ]
    if not norms:
        return "no clipping cuts the gradient"
    limit = _ROOM * max(norms)
    return Prescription(
        clip_limit=limit, why=f"clip at {limit:.3g}, three times the measured norm (Pascanu et al. 2013)"
    )
