"""The depth profile: transport to every layer, the reach, and the budget of gains along the main path."""

from __future__ import annotations

import math

from photic.diagnosis.budget import blocks, budget
from photic.diagnosis.graph import Graph
from photic.records.predictions import Prediction
from photic.records.profiles import LayerLine, Profile
from photic.records.runs import Run

# exp(-3) in the norm is exp(-6) in the mean square: six depth scales, the depth to which networks train
# (schoenholz2017, section 5).
REACHED = math.exp(-3.0)


def depth_profile(run: Run, prediction: Prediction | None = None, *, step: int = 0) -> Profile | None:
    """Return the depth profile of one step; None for a network without a trained layer.

    Transport to a layer is |dL/d output of the layer| / |dL/d output of the top layer|, Euclidean norms over the
    batch. A layer is reached when its arrival is at least exp(-3).
    """
    graph = Graph.of(run, step)
    layers = graph.layers()
    if not layers:
        return None
    path = graph.main_path()
    top = next((index for index in path if index in layers), layers[-1])
    top_norm = graph.gradient_norm(top)
    usable = top_norm is not None and top_norm > 0.0 and math.isfinite(top_norm)
    lines = tuple(_line(graph, index, top_norm if usable else None, top, prediction) for index in layers)
    below = path[path.index(top) :] if top in path else []
    transport = None
    if usable and below and top_norm is not None:
        deepest = graph.gradient_norm(below[-1])
        transport = None if deepest is None else deepest / top_norm
    lines_of_budget = budget(graph, below) if usable else ()
    return Profile(
        step=run.steps[step].step,
        layers=lines,
        budget=lines_of_budget,
        reached=sum(line.reached for line in lines),
        threshold=REACHED,
        top=graph.site(top).name,
        transport=transport,
        blocks=blocks(graph, lines_of_budget, top_norm if usable else None),
    )


def _line(graph: Graph, index: int, top_norm: float | None, top: int, prediction: Prediction | None) -> LayerLine:
    site, reading = graph.site(index), graph.reading(index)
    norm = graph.gradient_norm(index)
    transport = norm / top_norm if norm is not None and top_norm is not None else None
    arrival = transport
    for source, _ in graph.feeders.get(index, []):
        if source >= 0 and top_norm is not None and len(graph.consumers.get(source, [])) > 1:
            carried = graph.gradient_norm(source)
            if carried is not None:
                arrival = max(arrival or 0.0, carried / top_norm)
    follower = graph.following_activation(index)
    shown = graph.reading(follower).signal if follower is not None else reading.signal
    expected = prediction.sites[index] if prediction is not None and prediction.top == graph.site(top).name else None
    updates = [
        r.update_ratio for p, r in graph.parameters.get(index, []) if len(p.shape) > 1 and r.update_ratio is not None
    ]
    return LayerLine(
        site=site.name,
        where=site.where,
        signal_mean=None if shown is None else shown.mean,
        signal_deviation=None if shown is None else shown.deviation,
        transport=transport,
        arrival=arrival,
        predicted=None if expected is None else expected.transport,
        low=None if expected is None else expected.low,
        high=None if expected is None else expected.high,
        weight_gain=reading.gain,
        activation_gain=None if follower is None else graph.reading(follower).gain,
        activation="" if follower is None else graph.site(follower).name,
        update_ratio=max(updates) if updates else None,
        reached=arrival is not None and arrival >= REACHED,
    )
