"""The optimizer as its run tells of it: `Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08)`."""

from __future__ import annotations

import re

from photic.records.runs import Run

# Optimizers whose step does not shrink with the gradient, as long as it stays above their epsilon.
_ADAPTIVE = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Lion", "Muon", "Adafactor")


def adaptive(run: Run) -> bool:
    """Whether the optimizer divides each step by the gradient's own size."""
    return run.optimizer.split("(", 1)[0] in _ADAPTIVE


def setting(run: Run, name: str) -> float | None:
    """Return a setting of the optimizer's, as it was constructed; None where it has none of that name.

    Example:
        >>> setting(Run("M", (), (), (), (), optimizer="Adam(lr=0.001, eps=1e-08)"), "eps")
        1e-08
    """
    found = re.search(rf"\b{name}=([-+.\deE]+)", run.optimizer)
    return None if found is None else float(found.group(1))
