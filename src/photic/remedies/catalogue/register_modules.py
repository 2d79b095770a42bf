"""Lists of modules made known to the model."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.severed_unregistered_module import severed_unregistered_module
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-unregistered-module",), changes="function", sources=("paszke2017",), rank=1)
def register_modules(graph: Graph) -> Prescription | str:
    """Modules and parameters kept in plain lists and dicts registered.

    What it changes: `model.parameters()` lists them and the optimizer moves them.

    When not to: where the part is meant to stay out of the model: a teacher, a frozen encoder.
    """
    if severed_unregistered_module(graph) is None:
        return "every module is registered"
    return Prescription(registered=True, why="a plain list hides its modules: ModuleList registers them")
