"""Weights too large: an initialisation or a factor far above what is wanted, so that outputs are sure and wrong."""

from __future__ import annotations

from photic.diagnosis.evidence import Training, chance
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.loud_factor import loud_factor
from photic.diagnosis.registry import rule
from photic.diagnosis.roles import activation_after, relu_like
from photic.diagnosis.scale import stretches, typical
from photic.diagnosis.tables import loud_tables
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence, Finding


@rule(sources=("he2015", "glorot2010", "radford2021"))
def weights_too_large(
    graph: Graph, training: Training | None, *, above: float = 20.0, outputs: float = 30.0, worse: float = 100.0
) -> Finding | None:
    """The weights are drawn so large that the outputs are hundreds or thousands of units where about one is wanted.

    Signs: fan_in * Var[w] of at least half of the layers, products written out among them, is more than `above` times what their
    activation wants, and the output's root mean square exceeds `outputs`. Weights with a common sign stretch a signal with one by
    fan_in^2 times their square, and that counts. A quarter of `above` is enough where the loss starts at more than `worse` times that
    of outputs which are all 0: He's and Xavier's schemes lie closer together, and a growth below 1,000 is no
    matter of the depth. Or all layers are tables (factorisation), and the
    loss starts at more than `worse` times that of outputs which are all 0: they are ten times as large as what they should say. Ten
    times are enough where the outputs are sure of themselves. Or the scores are multiplied by one number above all layers (a temperature),
    ten or more, the loss starts at more than `worse` times that of outputs which are all 0, and the steps do not bring it down to twice that.

    Why it matters: outputs that large are sure and wrong: the first losses are enormous, the first steps as large, and what
    is learned afterwards is mostly the way back.

    False alarms: before a normalisation the scale of weights means nothing, and such layers do not count; bounded
    activations saturate instead, which is `saturated-activation`. A network that learns, or whose loss falls to
    half and below ten times that of chance, is told so as information.
    """
    return _drawn(graph, training, above, outputs, worse) or _multiplied(graph.first, training, worse)


def _drawn(graph: Graph, training: Training | None, above: float, outputs: float, worse: float) -> Finding | None:
    found = _on_the_way(graph.first)
    large = {index: value for index, value in found.items() if value > 1.0}
    layers, ratio = list(large), typical(large)
    sizes = [graph.reading(index).signal for index in graph.run.outputs]
    size = max((signal.rms for signal in sizes if signal is not None), default=0.0)
    if not found:
        return _tables(graph.first, training, worse)
    ignorant = graph.run.neutral_loss or (None if training is None else training.constant)
    entering = 1.0 if graph.run.inputs is None else max(graph.run.inputs.rms, 1.0)
    hopeless = graph.first.loss is not None and bool(ignorant) and graph.first.loss > worse * (ignorant or 1.0)
    hopeless = hopeless and size < 1e3 * entering  # beyond, `exploding-gradient` tells of the depth
    if 2 * len(layers) < len(found) or ratio < (above / 4.0 if hopeless else above) or size < outputs:
        return None
    expected = chance(graph.run)
    awful = graph.loss is not None and expected is not None and graph.loss > 10.0 * expected
    first = layers[0]
    facts = graph.reading(first).weight
    assert facts is not None
    operation = activation_after(graph, first)
    wants = "He wants Var[w] = 2 / fan_in" if relu_like(operation) else "Xavier wants Var[w] = 1 / fan_in"
    return Finding(
        problem="weights-too-large",
        severity="info" if _comes_back(training) else "critical",
        sites=tuple(graph.site(index).name for index in layers),
        where=graph.site(first).where,
        evidence=(
            Evidence("fan_in * Var[w] at the first such layer", facts.row_square_sum, "ratio"),
            Evidence("stretched over wanted, mean of the layers", ratio, "ratio"),
            Evidence("root mean square of the output", size, "value"),
        ),
        reason=(
            f"The weights are too large for {operation or 'a linear layer'}: {wants}, found {number(facts.row_square_sum)} / fan_in; "
            f"over {len(layers)} layers the output grows to {number(size)}"
            + (
                f", and the loss starts at {number(graph.loss)} where chance is {number(expected)}."
                if awful and expected and graph.loss
                else "."
            )
        ),
        advice="Initialise with He (torch.nn.init.kaiming_normal_) before ReLU and its kin, with Xavier before tanh.",
        confidence=0.95,
        sources=("he2015", "glorot2010"),
    )


def _on_the_way(graph: Graph) -> dict[int, float]:
    """Return the stretches of the layers that the loudest signal comes through; what a quieter branch beside it does is not heard."""
    found = stretches(graph)
    place, way = next(iter(graph.run.outputs), -1), set[int]()
    while place >= 0:
        way.add(place)
        sizes = {source: _size(graph, source) for source, _ in graph.feeders.get(place, [])}
        place = max(sizes, key=lambda source: sizes[source], default=-1)
    return {index: value for index, value in found.items() if index in way} or found


def _size(graph: Graph, index: int) -> float:
    signal = graph.reading(index).signal if index >= 0 else None
    return 0.0 if signal is None else signal.rms


def _tables(graph: Graph, training: Training | None, worse: float) -> Finding | None:
    tables = loud_tables(graph, training, worse)
    if not tables:
        return None
    signal = graph.reading(tables[0]).signal
    ignorant = graph.run.neutral_loss or (training.constant if training is not None and training.constant else 1.0)
    names = [graph.site(index).name for index in tables]
    return Finding(
        problem="weights-too-large",
        severity="info" if _comes_back(training) else "critical",
        sites=tuple(names),
        where=graph.site(tables[0]).where,
        evidence=(
            Evidence("root mean square of what the first table gives", 0.0 if signal is None else signal.rms, "value"),
            Evidence("first loss over that of outputs of 0", (graph.loss or 0.0) / ignorant, "ratio"),
        ),
        reason=(
            f"The products of what {listed(names)} give are too large: the loss starts at {number(graph.loss or 0.0)}, and is "
            f"{number(ignorant)} where all outputs are 0."
        ),
        advice="Draw the tables with a deviation of 0.01 to 0.1 (torch.nn.init.normal_(table.weight, std=0.1)); torch's own is 1.",
        confidence=0.9,
        sources=("he2015", "glorot2010"),
    )


def _multiplied(graph: Graph, training: Training | None, worse: float) -> Finding | None:
    ignorant = graph.run.neutral_loss
    if (
        training is None
        or graph.loss is None
        or not ignorant
        or graph.loss <= worse * ignorant
        or training.last < 2.0 * ignorant
    ):
        return None
    loud = loud_factor(graph)
    if loud is None:
        return None
    site = graph.site(loud.site)
    return Finding(
        problem="weights-too-large",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=(
            Evidence("factor on the scores", loud.times, "times"),
            Evidence("first loss over that of outputs of 0", graph.loss / ignorant, "ratio"),
        ),
        reason=(
            f"{site.name} makes the scores {number(loud.times)} times as large: the loss starts at {number(graph.loss)}, is "
            f"{number(ignorant)} where all outputs are 0, and {number(training.last)} after {training.steps} steps."
        ),
        advice="Let scores start with a deviation of about 1: leave the factor out, or a temperature as CLIP has it, 1 / 0.07 on cosines.",
        confidence=0.9,
        sources=("radford2021",),
    )


def _comes_back(training: Training | None) -> bool:
    if training is None or training.chance is None:
        return learns(training)
    return learns(training) or training.last < min(0.5 * training.first, 10.0 * training.chance)
