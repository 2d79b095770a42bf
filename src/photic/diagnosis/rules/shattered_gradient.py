"""Shattered gradient: it arrives whole in size, and points elsewhere for every input."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("balduzzi2017", "poole2016"))
def shattered_gradient(
    graph: Graph, training: Training | None, *, alike: float = 0.25, layers: int = 10, fewest: int = 10
) -> Finding | None:
    """The gradients of two inputs that lie close together have next to nothing in common.

    Signs: in a network of `layers` layers or more the gradients of the output at an input and at a point 1/32 of the way to
    another have a mean cosine below `alike`, and `fewest` training steps or more do not lower the loss.

    Why it matters: a step that helps one input then says nothing of its neighbour: the average over a batch is the average
    of noise, and what is learned does not carry over. The size of the gradient does not show it. In `dev.py bench shattering`
    networks below the limit stay far above the loss of the others at every learning rate that was tried.

    False alarms: a network of few layers may bend fast and learn (sines as features do), and BatchNorm makes gradients
    differ more than it hinders: so depth, and a loss that stands still, are asked for. A deep one that learns a little, but not half
    of what there is to learn, may end well or learn far better when treated: that is information, unless waves that its input is
    turned into before the first layer bend the gradient. Where no optimizer was given the steps were ours, and it is information too.
    """
    cosine = graph.run.neighbours
    path = graph.main_path()
    deep = [index for index in graph.layers() if index in path]
    if cosine is None or cosine >= alike or len(deep) < layers:
        return None
    if training is None or training.steps < fewest:
        return None
    little = learns(training, 0.95)
    if little and not _little(graph, training):
        return None
    assumed = graph.run.facts.get("optimizer") == "assumed"
    return Finding(
        problem="shattered-gradient",
        severity="info" if assumed or little else "warning",
        sites=(),
        where="",
        evidence=(
            Evidence("cosine of the gradients of neighbouring inputs, 1/32 of the way apart", cosine, "ratio"),
            Evidence("layers on the main path", float(len(deep)), "layers"),
        ),
        reason=f"Over {len(deep)} layers the gradient becomes noise: between inputs 1/32 of the way from one example to the next its "
        f"directions have a cosine of {number(cosine)}, and {training.steps} steps take the loss from {number(training.first)} to "
        f"{number(training.last)}.",
        advice="Add residual connections, start at the edge of chaos (smaller gain) or as the identity (orthogonal), or use fewer layers.",
        confidence=0.8,
        sources=("balduzzi2017", "poole2016"),
    )


def _little(graph: Graph, training: Training) -> bool:
    """Whether less than half of what there is to learn has been learned, by a network that bends its input itself."""
    weights = {site.order for site in graph.run.sites if site.kind == "weight" and site.phase == "model"}
    waves = [site.order for site in graph.run.sites if site.operation in ("sin", "cos") and site.phase == "model"]
    encoded = any(not graph.ancestors([index]) & weights for index in waves)
    return bool(training.ignorant) and training.last > 0.5 * min(training.ignorant) and not encoded
