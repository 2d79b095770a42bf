"""Hand-written backwards that are not the derivative of what their forward computes, in words."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.words import listed, number

_SAME_WAY = 0.9  # cosine above which the size alone is told


def backward_words(graph: Graph) -> str:
    """Say what the backwards give beside the derivative; '' where all give it, or none is written by hand."""
    wrong = graph.run.backwards
    if not wrong:
        return ""
    if any(math.isinf(one.ratio) for one in wrong):
        names = [one.name for one in wrong if math.isinf(one.ratio)]
        return f"written by hand, the backward of {listed(names)} gives numbers that are not finite where the derivative is"
    said = [
        f"{one.name} {number(one.ratio)} times" + ("" if one.cosine > _SAME_WAY else f" (cosine {one.cosine:.2f})")
        for one in wrong
    ]
    return f"written by hand, the backward of {listed(said)} the derivative of what its forward computes"


def sentence(said: str) -> str:
    """Return words as a sentence of their own; '' of none."""
    return f"{said[:1].upper()}{said[1:]}." if said else ""
