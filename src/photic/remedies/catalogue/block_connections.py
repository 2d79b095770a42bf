"""Residual connections around the repeated blocks of a network."""

from __future__ import annotations

from collections import defaultdict

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import residual_branches
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

FEWEST = 3


@remedy(
    treats=("rank-collapse", "shattered-gradient", "vanishing-gradient", "missing-normalisation", "exploding-gradient"),
    changes="function",
    sources=("he2016", "dong2021"),
    rank=4,
)
def block_connections(graph: Graph) -> Prescription | str:
    """Each of the repeated blocks (`layers.0`, `layers.1`, ...) gets a connection around it.

    What it changes: what enters a block is added to what leaves it, where the shapes agree.

    When not to: where the network has such connections already.
    """
    if residual_branches(graph):
        return "there are residual connections already"
    blocks = repeated_blocks(graph)
    if not blocks:
        return f"no {FEWEST} blocks of a list of modules, of several operations each, follow each other"
    return Prescription(
        blocks=blocks, why="a connection around each block carries signal and gradient (He et al. 2016)"
    )


def repeated_blocks(graph: Graph) -> tuple[str, ...]:
    """Return the modules `list.0`, `list.1`, ... of the longest list whose members hold a weight and more than one operation."""
    operations: defaultdict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    weights: defaultdict[str, set[int]] = defaultdict(set)
    for site in graph.run.sites:
        parts = site.name.partition("/")[0].partition("#")[0].split(".")
        for place, part in enumerate(parts):
            if part.isdigit() and place > 0:
                owner = ".".join(parts[:place])
                operations[owner][int(part)] += 1
                if site.kind == "weight":
                    weights[owner].add(int(part))
    best: tuple[str, ...] = ()
    for owner, counts in operations.items():
        members = tuple(f"{owner}.{k}" for k in sorted(counts) if counts[k] > 1 and k in weights[owner])
        best = members if len(members) > len(best) else best
    return best if len(best) >= FEWEST else ()
