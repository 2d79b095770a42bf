"""Exploding gradient: it grows from layer to layer on its way down, or the signal does on its way up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from photic.diagnosis.epsilons import drowned
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.hand_written import backward_words
from photic.diagnosis.learning import learns, median_update
from photic.diagnosis.normalisers import normaliser_of
from photic.diagnosis.registry import rule
from photic.diagnosis.scale import scales
from photic.diagnosis.signed_divisors import signed_divisors
from photic.diagnosis.stream_growth import stream_growth
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence, Finding
from photic.records.profiles import Profile
from photic.records.sites import INPUT
from photic.records.vocabulary import Severity

_FAR = 0.01  # of its result: what a normalisation scales up so far was small on purpose, or by its units
_LARGE = 1.25  # of the wanted fan_in * Var[w]: above it the weights are to blame


@rule(sources=("pascanu2013", "yang2019", "glorot2010"))
def exploding_gradient(
    graph: Graph,
    profile: Profile,
    training: Training | None,
    *,
    warning: float = 1e3,
    critical: float = 1e5,
    loud: float = 10.0,
    stream_warning: float = 100.0,
) -> Finding | None:
    """The error gradient grows on its way down, or the signal on its way up, until steps destroy what was learned.

    Signs: along the main path the gradient's norm at a lower layer is more than `warning` times that at the top
    layer, or the signal's root mean square at the top more than `warning` times that at the first layer, or what enters it where
    that is 1 or more. Ratios both. Where weights are factors, element by element, these count as the layers. Or the signal grows more
    than `loud` times, the first loss is five times that of outputs which are all 0, and the first step replaces the weights, or the
    training breaks off. Or a residual stream without normalisation grows `stream_warning` times and more than doubles at each sum,
    which a branch no louder than the stream cannot do.

    Why it matters: a step that suits the upper layers is thousands of times too long for the lower ones; losses
    jump, oscillate or become nan.

    False alarms: where the signal is small and a normalisation scales it up (tiny embeddings before a LayerNorm), the
    gradient is large only because the signal is small: it is taken relative to it, and what a normalisation adds to
    the signal is no growth; below one that makes its signal 100 times as large the gradient counts that much less. Plain
    BatchNorm makes the gradient of a ReLU network grow by 1.21 per layer at initialisation (yang2019); over 20 layers it
    learns, over 50 hardly (`dev.py bench thresholds`). A network seen to learn is not accused of less than `critical`. Large
    gradients everywhere (a summed loss) are no explosion.
    """
    on_path = _layers_on(graph, profile)
    if len(on_path) < 2:
        on_path = _factors_on(graph)
    if len(on_path) < 2:
        return None
    sizes = _relative_sizes(graph, on_path)
    for name, share in _before_scaling(graph, on_path).items():
        sizes[name] = min(sizes[name], share)
    highest = max(on_path, key=lambda line: line.transport * sizes[line.site])
    growth = highest.transport * sizes[highest.site]
    swelling = 1.0 if drowned(graph) else _swelling(graph, on_path)  # then biases make it that large
    worst, stream = max(growth, swelling), stream_growth(graph)
    doubled = stream is not None and stream.louder and stream.ratio >= stream_warning
    wrong = doubled or (swelling > loud and _sure_and_wrong(graph, training))
    if not math.isfinite(worst) or (worst < warning and not wrong):
        return None
    severity: Severity = "critical" if worst >= critical else "warning"
    if learns(training) and severity == "warning":
        severity = "info"
    growing = sorted(
        (line for line in profile.budget if line.gain > 1.0 and line.kind != "join"), key=lambda line: -line.gain
    )
    order = {site.name: site.order for site in graph.run.sites}
    weights = [line.site for line in growing if line.kind == "weight"]
    sites = sorted(weights or [line.site for line in growing], key=lambda name: order[name])
    strong = [graph.site(index).name for index, ratio in scales(graph).items() if ratio > _LARGE]
    sites = strong or sites or [line.site for line in on_path[1:]]
    each = worst ** (1.0 / max(len(on_path) - 1, 1))
    what = (
        f"the gradient grows {number(growth)} times from {profile.top} down to {highest.site or 'the lowest layer'}"
        if growth >= swelling
        else f"the signal grows {number(swelling)} times from {on_path[0].site} up to {on_path[-1].site}"
    )
    loud_backward = growth >= swelling and max((one.ratio for one in graph.run.backwards), default=0.0) > 1.0
    by_hand = backward_words(graph) if loud_backward else ""  # no backward makes a signal grow
    reason = f"Over {len(on_path)} layers {what}, {number(each)} times per layer: {by_hand or _why(graph, sites)}."
    if doubled and stream is not None and stream.ratio > worst:
        sites = [graph.site(index).name for index in stream.sums]
        reason = (
            f"The residual stream grows {number(stream.ratio)} times, {number(stream.each)} at each sum: what is added is louder than what "
            "it is added to (a gain, a sum without its divisor, a stream that is added twice)."
        )
    return Finding(
        problem="exploding-gradient",
        severity=severity,
        sites=tuple(sites),
        where=graph.run.site(sites[0]).where,
        evidence=(
            Evidence("growth of the gradient over the depth", growth, "ratio"),
            Evidence("growth of the signal over the depth", swelling, "ratio"),
            Evidence("growth per layer", each, "ratio"),
        ),
        reason=reason,
        advice="Scale the initial weights down to unit gain (Xavier for tanh, He for ReLU), add residual branches scaled by "
        "1/sqrt(depth), or clip the gradient while you look for the cause.",
        confidence=min(0.99, max(0.6, 0.6 + 0.1 * math.log10(worst / warning))),
        sources=("pascanu2013", "yang2019", "glorot2010"),
        victims=tuple(line.site for line in on_path if line.transport > 100.0 and line.site not in sites),
    )


@dataclass(frozen=True)
class Place:
    """A layer, or a trained factor, on the main path, with the gradient that arrives there over that at the top."""

    site: str
    transport: float


def _layers_on(graph: Graph, profile: Profile) -> list[Place]:
    path = {graph.site(index).name for index in graph.main_path()}
    known = [(line.site, line.transport) for line in profile.layers if line.site in path]
    return [Place(name, value) for name, value in known if value is not None and math.isfinite(value)]


def _factors_on(graph: Graph) -> list[Place]:
    """Return the sites on the main path that use trained parameters, in order of execution."""
    trained = [
        index
        for index in sorted(graph.main_path())
        if graph.site(index).phase == "model" and any(p.trainable for p, _ in graph.parameters.get(index, []))
    ]
    top = graph.gradient_norm(trained[-1]) if trained else None
    if not top or not math.isfinite(top):
        return []
    found = [(graph.site(index).name, (graph.gradient_norm(index) or 0.0) / top) for index in trained]
    return [Place(name, value) for name, value in found if math.isfinite(value)]


def _sure_and_wrong(graph: Graph, training: Training | None, worse: float = 5.0, half: float = 0.5) -> bool:
    """Whether the loss starts far above that of outputs of 0, and the first step moves the median matrix by half, or the training breaks off."""
    ignorant = graph.run.neutral_loss or (None if training is None else training.constant)
    start, moved = graph.first.loss, median_update(graph.first)
    if start is None or ignorant is None or not ignorant > 0.0:
        return False
    broken = training is not None and not math.isfinite(training.last)
    return start > worse * ignorant and (broken or (moved is not None and moved >= half))


def _relative_sizes(graph: Graph, lines: list[Place]) -> dict[str, float]:
    """Return the signal's size at each layer beside the median of the layers, at most 1."""
    signals = {line.site: graph.run.reading(line.site).signal for line in lines}
    sizes = {name: signal.rms for name, signal in signals.items() if signal is not None}
    middle = sorted(sizes.values())[len(sizes) // 2] if sizes else 0.0
    return {line.site: min(1.0, sizes.get(line.site, middle) / middle) if middle > 0.0 else 1.0 for line in lines}


def _normalisers(graph: Graph) -> list[tuple[int, int]]:
    """Return (normaliser, what it normalises) for those on the main path."""
    pairs = [(index, normaliser_of(graph, index)) for index in sorted(graph.main_path())]
    return [(index, below) for index, below in pairs if below is not None]


def _before_scaling(graph: Graph, lines: list[Place]) -> dict[str, float]:
    """Return by what the signal of each layer is smaller than what the normalisations above, those that scale far up, make of it."""
    order = {site.name: site.order for site in graph.run.sites}
    ups: list[tuple[int, float]] = []
    for index, below in _normalisers(graph):
        small, large = graph.reading(below).signal, graph.reading(index).signal
        if small is not None and large is not None and large.rms > 0.0 and small.rms < _FAR * large.rms:
            ups.append((index, small.rms / large.rms))
    return {line.site: math.prod(ratio for index, ratio in ups if index > order[line.site]) for line in lines}


def _swelling(graph: Graph, lines: list[Place]) -> float:
    """Return by what factor the signal grows over the layers, the steps across a normalisation left out."""
    order = {site.name: site.order for site in graph.run.sites}
    normalisers = [index for index, _ in _normalisers(graph)]
    first = graph.run.reading(lines[0].site).signal
    grown = 0.0
    if (
        graph.run.inputs is not None
        and first is not None
        and [s for s, _ in graph.feeders.get(order[lines[0].site], [])] == [INPUT]
    ):
        grown = max(math.log(max(first.rms, 1e-300) / max(graph.run.inputs.rms, 1.0)), 0.0)
    for lower, upper in pairwise(lines):
        small, large = graph.run.reading(lower.site).signal, graph.run.reading(upper.site).signal
        between = any(order[lower.site] < index < order[upper.site] for index in normalisers)
        if between or small is None or large is None:
            continue
        if small.rms > 0.0 and large.rms > 0.0:
            grown += math.log(large.rms / small.rms)
    return math.exp(min(grown, 700.0))


def _why(graph: Graph, sites: list[str]) -> str:
    facts = [graph.run.reading(name).weight for name in sites]
    products = [item.row_square_sum for item in facts if item is not None]
    if divided := signed_divisors(graph):
        names = list(dict.fromkeys(graph.site(quotient).name for quotient, _ in divided))
        return (
            f"{listed(names)} {'divides' if len(names) == 1 else 'divide'} by a mean of numbers of both signs, which lies next to 0 "
            "where they cancel"
        )
    if any(site.kind == "normalisation" for site in graph.run.sites):
        return "normalisation divides by a batch deviation that is smaller than the signal, at every layer"
    if products:
        product = math.exp(sum(math.log(max(value, 1e-300)) for value in products) / len(products))
        return f"the weights of {listed(sites)} have fan_in * Var[w] = {number(product)}"
    return f"each of {listed(sites)} has a gain above 1"
