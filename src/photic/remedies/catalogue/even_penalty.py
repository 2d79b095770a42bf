"""A penalty on a code weighed as the error is."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.penalty import heavy_penalty
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="training", sources=("kingma2014", "higgins2017"), rank=0)
def even_penalty(graph: Graph) -> Prescription | str:
    """The penalty on a code weighed as the error beside it: that is a mean, and the penalty a sum.

    What it changes: the loss; so the untreated network is judged by the mended loss as well. With the error as a mean over so many
    numbers the penalty is divided by as many: then the two stand to each other as in the bound that they were derived from.

    When not to: where the code is meant to tell next to nothing.
    """
    found = heavy_penalty(graph)
    if found is None:
        return "no penalty that is a sum holds a code at nothing beside an error that is a mean"
    return Prescription(
        balance={graph.site(found.total).name: (graph.site(found.source).name, found.factor)},
        mends=True,
        why=f"the error is a mean and the penalty a sum: weigh it by {found.factor:.3g} as well",
    )
