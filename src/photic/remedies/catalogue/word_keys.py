"""Layers of a ModuleDict found by a number as well as by its word."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.untold import never_run
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer", "stalled-training"), changes="function", sources=("paszke2017",), rank=1)
def word_keys(graph: Graph) -> Prescription | str:
    """A ModuleDict whose layers never run, and whose keys are numbers written as words, finds them by the number too.

    What it changes: `3 in modules` is true where the key is '3', and `modules[3]` is found.

    When not to: where the layers are not meant to run on these batches.
    """
    run = {p.name for p in graph.run.parameters if p.sites}
    paths = dict.fromkeys(_above_number(p.name) for p in never_run(graph))
    kept = tuple(path for path in paths if path and not any(name.startswith(f"{path}.") for name in run))
    if not kept:
        return "no layers under numbers never run"
    return Prescription(word_keys=kept, why="a ModuleDict has words for keys: str(key) in modules, modules[str(key)]")


def _above_number(name: str) -> str:
    """Return the path of a parameter down to its first key that is a number; '' without one."""
    parts = name.split(".")
    return next((".".join(parts[:i]) for i, part in enumerate(parts) if i and part.isdigit()), "")
