"""Words for what a stack of layers, or of hops, makes alike."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.made_alike import averaged, blurred, settled
from photic.diagnosis.smoothed import smoothed
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence


@dataclass(frozen=True)
class Said:
    """What a finding says: its sites, reason, advice and evidence, how sure it is, and whether it is critical."""

    sites: tuple[int, ...]
    reason: str
    advice: str
    evidence: Evidence
    confidence: float
    critical: bool = False


def stack_made_alike(graph: Graph) -> Said | None:
    """Say that a loop settles, or that weights of one sign average; None where neither does."""
    if (end := settled(graph)) is not None:
        return Said(
            (end.site,),
            f"A loop that ends at {graph.site(end.site).name} is given nothing after its first turn, and all examples settle in one state: "
            f"{number(end.share)} of the mean square differs between them, {number(end.below)} at the first turn.",
            "Feed the input at every turn, so that where the loop settles depends on it.",
            Evidence("share of the mean square that differs between examples", end.share, "share"),
            0.9,
            critical=True,
        )
    if layers := averaged(graph):
        return Said(
            tuple(layers),
            f"The weights of {listed([graph.site(i).name for i in layers])} have one sign for the most part: each of their units is about "
            "the mean of the layer below, and all that differs between the examples comes to lie on one line.",
            "Draw the weights around 0: torch.randn in the place of torch.rand, He or Xavier.",
            Evidence("layers whose weights have one sign for the most part", float(len(layers)), "layers"),
            0.9,
        )
    return None


def rows_made_alike(graph: Graph) -> Said | None:
    """Say that the rows of a table, or the positions of a sequence, become alike; None where neither do."""
    what = {"directions": "directions along which they", "share": "the share of the mean square by which they"}
    if (rows := smoothed(graph)) is not None:
        return Said(
            (rows.hops[-1],),
            f"{len(rows.hops)} times the rows at {graph.site(rows.hops[0]).name} are mixed, with no weight between, and the last alone is "
            f"read: {what[rows.unit]} differ, {number(rows.first)} at first and {number(rows.last)} at last.",
            "Read the mean over all hops, take two or three, or add the first again at each.",
            Evidence(f"{what[rows.unit]} differ", rows.last, rows.unit),
            0.85,
        )
    if (end := blurred(graph)) is not None:
        return Said(
            (end.site,),
            f"The layers make the positions of a sequence more and more alike: at the top {number(end.share)} of the mean square differs "
            f"between them, {number(end.below)} at the first layer, and little is learned.",
            "Put a skip around each layer, so that what a position says for itself goes on.",
            Evidence("share of the mean square that differs between positions", end.share, "share"),
            0.8,
        )
    return None
