"""Dead units: a layer whose units are 0 for every example and get no gradient."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.silenced import Silenced, never_exceeded
from photic.diagnosis.told_nothing import shut_entrance
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding

_SILENT = 1e-12  # results of an exponential that no layer above can use


@rule(sources=("maas2013",))
def dead_units(graph: Graph, training: Training | None, *, share: float = 0.9, rows: int = 16) -> Finding | None:
    """At least `share` of a layer's units are 0, with slope 0, on every example of the batch.

    Signs: an activation with a flat zero side (ReLU, ReLU6, hard sigmoid) whose units never leave it, on a batch of
    at least `rows` examples or positions, at the start; or, on the main path, after some steps that did not lower the loss. Or a hidden
    exponential, as in radial basis functions, whose results are 0 or as good as. Or a maximum of the signal and a threshold that the
    signal never exceeds, at the first step and at the last, over layers that do not move. Or an activation below all layers makes 0 of
    whatever enters the model, as a ReLU does of negative numbers, and the loss does not fall.

    Why it matters: a unit that is off for every example gets no gradient and cannot come back. A layer of them cuts
    the network in two.

    False alarms: some units are off for a whole small batch in every ReLU network, and about half of them deep in a
    network whose inputs have become alike; below `share` nothing is said. The watch counts those that were dead in each of its last
    audits, up to four, so that one odd batch is none. Sparse by design (top-k, routing) is not dead.
    """
    shut = None if learns(training) else shut_entrance(graph)
    if shut is not None:
        return _shut(graph.first, shut)
    guilty = dead(graph, share, rows)
    ours = graph.run.facts.get("optimizer") == "assumed"  # then the steps were no steps of the user's
    killed = not guilty and training is not None and not learns(training) and not ours
    if killed:
        graph = graph.last
        path = graph.main_path()  # a branch beside a skip may die without harm
        guilty = [(index, fraction) for index, fraction in dead(graph, share, rows) if index in path]
    if not guilty:
        held = never_exceeded(graph)
        return _held(graph.first, held) if held else _underflown(graph.first, share, rows)
    first, fraction = guilty[0]
    site, units = graph.site(first), graph.reading(first).units
    assert units is not None
    when = f" after {graph.run.steps[-1].step} steps" if killed else ""
    return Finding(
        problem="dead-units",
        severity="critical" if any(value == 1.0 for _, value in guilty) else "warning",
        sites=tuple(graph.site(index).name for index, _ in guilty),
        where=site.where,
        evidence=(
            Evidence("share of dead units at the first such site", fraction, "share"),
            Evidence("units there", float(units.units), "units"),
            Evidence("largest pre-activation there", units.input_quantiles[-1], "pre-activation"),
        ),
        reason=(
            f"{percent(fraction)} of the {units.units} units of {site.name} are 0 on every example{when} (their pre-activations reach "
            f"at most {number(units.input_quantiles[-1])}), so no gradient passes them; {_blame(graph, first)}."
        ),
        advice="Initialise with He and zero biases, lower the learning rate, or use an activation with a slope on its negative "
        "side (leaky ReLU, ELU, GELU).",
        confidence=min(0.95, 0.5 + 0.5 * fraction),
        sources=("maas2013",),
        victims=tuple(graph.site(index).name for index in graph.layers() if index <= first),
    )


def _shut(graph: Graph, index: int) -> Finding:
    """An activation at the entrance, on whose flat side all inputs lie."""
    inputs = graph.run.inputs
    assert inputs is not None
    return _critical(
        graph,
        [index],
        graph.layers(),
        f"{graph.site(index).name} takes the inputs as they are (mean {number(inputs.mean)}, root mean square {number(inputs.rms)}) and "
        "makes 0 of all of them: no layer above is told which example it sees.",
        "Standardise the inputs, or let a layer with weights come before the first activation.",
        Evidence("share of its results that are exactly 0", 1.0, "share"),
        Evidence("mean of the inputs", inputs.mean, "input"),
    )


def _held(graph: Graph, held: list[Silenced]) -> Finding:
    """A threshold above all that the signal is."""
    layers = sorted({index for one in held for index in one.layers})
    return _critical(
        graph,
        [one.site for one in held],
        layers,
        f"At {graph.site(held[-1].site).name} the threshold is larger than the signal everywhere: it gives the threshold whatever comes in, "
        f"and no gradient passes to {listed([graph.site(index).name for index in layers])}.",
        "Start the threshold where half of the signal lies above it: at 0 after a normalisation.",
        Evidence("layers that get a gradient of exactly 0", float(len(layers)), "layers"),
    )


def _underflown(graph: Graph, share: float, rows: int) -> Finding | None:
    """A hidden exponential whose results are smaller than the smallest number, or as good as."""
    for site in graph.run.sites:
        signal = graph.reading(site.order).signal
        if site.operation != "exp" or site.phase != "model" or signal is None:
            continue
        if signal.zero_fraction < share and not 0.0 < signal.rms < _SILENT:
            continue
        above = graph.consumers.get(site.order, [])
        if not any(graph.site(i).kind == "weight" for i in above) or signal.count < rows * site.shape[-1]:
            continue
        return _critical(
            graph,
            [site.order],
            [index for index in graph.layers() if index <= site.order],
            f"What {site.name} gives the layer above is 0 to {percent(signal.zero_fraction)}, and {number(signal.rms)} at the root "
            "mean square: its arguments lie so far below 0 that next to no gradient passes.",
            "Bring the arguments nearer to 0: wider bells, a smaller factor, centres on the data.",
            Evidence("share of its results that are exactly 0", signal.zero_fraction, "share"),
            Evidence("root mean square of its results", signal.rms, "value"),
            confidence=0.9,
        )
    return None


def _critical(
    graph: Graph,
    sites: list[int],
    victims: list[int],
    reason: str,
    advice: str,
    *evidence: Evidence,
    confidence: float = 0.95,
) -> Finding:
    """Return the finding; its line is that of the last site."""
    return Finding(
        problem="dead-units",
        severity="critical",
        sites=tuple(graph.site(index).name for index in sites),
        where=graph.site(sites[-1]).where,
        evidence=evidence,
        reason=reason,
        advice=advice,
        confidence=confidence,
        sources=("maas2013",),
        victims=tuple(graph.site(index).name for index in victims),
    )


def dead(graph: Graph, share: float = 0.9, rows: int = 16) -> list[tuple[int, float]]:
    """Return the activations of which at least `share` of the units are dead, with that share, in order."""
    guilty: list[tuple[int, float]] = []
    for site in graph.run.sites:
        units, signal = graph.reading(site.order).units, graph.reading(site.order).signal
        if site.kind != "activation" or site.phase != "model" or units is None or signal is None or units.units == 0:
            continue
        fraction = units.dead_fraction if units.dead_in_window is None else units.dead_in_window
        if signal.count / units.units >= rows and fraction >= share:
            guilty.append((site.order, fraction))
    return guilty


def _blame(graph: Graph, index: int) -> str:
    below = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    names = listed([graph.site(source).name for source in below])
    if below:
        signal = graph.reading(below[0]).signal
        if signal is not None and signal.mean < -2.0 * signal.deviation:
            return f"the outputs of {names} have mean {number(signal.mean)} and deviation {number(signal.deviation)}: a bias holds them down"
    return f"{names or 'the input'} keeps them below 0"
