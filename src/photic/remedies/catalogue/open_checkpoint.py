"""Checkpoints that let the gradient through."""

from __future__ import annotations

from photic.diagnosis.cuts import hidden_parameters
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="training", sources=("paszke2017",), rank=0)
def open_checkpoint(graph: Graph) -> Prescription | str:
    """Checkpoints that are not reentrant: parameters inside get a gradient also where no input requires one.

    What it changes: no value; `use_reentrant=False`.

    When not to: with code inside that the other kind of checkpoint cannot run again.
    """
    if not hidden_parameters(graph):
        return "no parameter is used inside a function that records nothing"
    return Prescription(recomputed=True, why="a reentrant checkpoint whose inputs require no gradient gives none")
