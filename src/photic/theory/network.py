"""Predict a whole network: signals forward and gradient transport backward along its measured architecture."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from photic.activations import find
from photic.records.predictions import Prediction, SitePrediction
from photic.records.runs import Moments, Run
from photic.records.sites import INPUT, Site
from photic.theory.finite_width import band, kappa
from photic.theory.padding import Shape, Taps, backward, forward, taps_of
from photic.theory.signals import MOVES, Passage, Scene, Signal, passage

ASSUMPTIONS = (
    "infinite width: pre-activations are normal, weights independent of the signals they multiply",
    "gradients are independent of the forward signals, and contributions of several consumers add in squares",
    "the weights' own variances and their correlation with the biases are those of the network at hand",
    "the band is three standard deviations of networks of this width",
)


def predict_run(run: Run) -> Prediction:
    """Return what mean-field theory expects at every site of an audited network.

    Forward: mean and mean square of the signal from the input onwards; for a weight W with bias b fed by a
    signal of mean m and mean square V, E z^2 = E_i (m sum_j W_ij + b_i)^2 + (mean_i sum_j W_ij^2)(V - m^2).
    Backward: T^2 = sum over consumers of gain^2 T^2, from 1 at the top. What theory has no model of is
    `not_predicted`; there it restarts from what was measured.

    Source: poole2016 and schoenholz2017 for the maps, hanin2018 for the band.
    """
    feeders: defaultdict[int, list[int]] = defaultdict(list)
    for edge in run.edges:
        feeders[edge.target].append(edge.source)
    passages, signals, reasons = _forward(run, feeders)
    top = _top(run, feeders)
    transports = _backward(run, feeders, passages, signals, top)
    sites: list[SitePrediction] = []
    for site in run.sites:
        made, transport = passages.get(site.order), transports.get(site.order)
        signal = made.signal if made is not None else None
        sites.append(
            SitePrediction(
                site=site.name,
                signal_rms=None if signal is None else math.sqrt(max(signal.mean_square, 0.0)),
                signal_mean=None if signal is None else signal.mean,
                gain=math.hypot(*made.gains) if made is not None and made.gains else None,
                transport=None if transport is None else transport[0],
                low=None if transport is None else transport[1],
                high=None if transport is None else transport[2],
                not_predicted=reasons.get(site.order, ""),
            )
        )
    return Prediction(tuple(sites), "" if top is None else run.sites[top].name, ASSUMPTIONS)


def _forward(
    run: Run, feeders: Mapping[int, Sequence[int]]
) -> tuple[dict[int, Passage], dict[int, Signal], dict[int, str]]:
    readings = run.steps[0].sites
    passages: dict[int, Passage] = {}
    signals: dict[int, Signal] = {}
    reasons: dict[int, str] = {}
    shapes: dict[int, Shape] = {}
    origins = _origins(run, feeders)
    if run.inputs is not None:
        _measured(signals, INPUT, run.inputs)
    scales = _normalisation_scales(run)
    for site in run.sites:
        reading = readings[site.order]
        sources = feeders.get(site.order, ())
        known = [signals[source] for source in sources if source in signals]
        if site.phase == "loss":
            found: Passage | str = "the loss is not part of the network"
        elif len(known) < len(sources):
            found = "what enters is not known"
        else:
            sizes = [math.prod(run.sites[s].shape) if s >= 0 else 0 for s in sources]
            border, shapes[site.order] = _border(run, site, sources, shapes)
            apart = len(sources) == 2 and not origins[sources[0]] & origins[sources[1]]
            found = passage(Scene(site, reading, known, sizes, *scales.get(site.order, (1.0, 0.0)), border, apart))
            if isinstance(found, Passage) and not all(map(math.isfinite, (*(found.signal or ()), *found.gains))):
                found = "its numbers are not finite"
        if isinstance(found, Passage):
            passages[site.order] = found
        made = found.signal if isinstance(found, Passage) else None
        if made is not None:
            signals[site.order] = made
        else:
            reasons[site.order] = found if isinstance(found, str) else "its signal is taken from the measurement"
            if reading.signal is not None:  # restart from the measured signal
                _measured(signals, site.order, reading.signal)
    return passages, signals, reasons


def _measured(signals: dict[int, Signal], index: int, moments: Moments) -> None:
    """Take a signal from its measurement; not one that has overflowed or is about to, of which nothing can be predicted."""
    if moments.rms < 1e100:
        signals[index] = Signal.of(moments.mean, moments.rms**2)


def _origins(run: Run, feeders: Mapping[int, Sequence[int]]) -> dict[int, frozenset[int]]:
    """Return the weights (or the input) that each site's value comes from without another weight between."""
    found: dict[int, frozenset[int]] = {INPUT: frozenset({INPUT})}
    for site in run.sites:
        above = [found.get(source, frozenset()) for source in feeders.get(site.order, ())]
        found[site.order] = frozenset({site.order}) if site.kind == "weight" else frozenset().union(*above)
    return found


def _border(run: Run, site: Site, sources: Sequence[int], shapes: Mapping[int, Shape]) -> tuple[float, Shape]:
    """Return what zero padding leaves of the mean square, and how it varies over the positions."""
    if len(sources) != 1 or site.kind not in _KEEPS_POSITIONS:
        return 1.0, ()
    before = shapes.get(sources[0], ())
    if site.kind != "weight":
        return 1.0, before
    taps = _taps(run, site, sources[0])
    return (1.0, ()) if taps is None else forward(before, taps)


def _taps(run: Run, site: Site, source: int) -> list[Taps] | None:
    if site.operation not in ("conv1d", "conv2d", "conv3d") or source < 0:
        return None
    return taps_of(site.settings, run.sites[source].shape)


_KEEPS_POSITIONS = {"weight", "activation", "normalisation", "sum", "dropout"}


def _normalisation_scales(run: Run) -> dict[int, tuple[float, float]]:
    """Return root mean squares of gamma and beta of each normalisation, as they are now."""
    found: dict[int, list[float]] = {}
    for parameter, reading in zip(run.parameters, run.steps[0].parameters, strict=True):
        for site in parameter.sites:
            if run.sites[site].kind == "normalisation":
                pair = found.setdefault(site, [1.0, 0.0])
                pair[1 if parameter.name.endswith("bias") else 0] = reading.weight.rms
    return {site: (pair[0], pair[1]) for site, pair in found.items()}


def _top(run: Run, feeders: Mapping[int, Sequence[int]]) -> int | None:
    """Return the last weight among the ancestors of the model's outputs (or of everything, without outputs)."""
    ancestors: set[int] = set()
    pending = list(run.outputs) or [site.order for site in run.sites if site.phase == "model"]
    while pending:
        index = pending.pop()
        if index >= 0 and index not in ancestors:
            ancestors.add(index)
            pending.extend(feeders.get(index, ()))
    weights = [index for index in ancestors if run.sites[index].kind == "weight"]
    return max(weights, default=None)


def _backward(
    run: Run,
    feeders: Mapping[int, Sequence[int]],
    passages: Mapping[int, Passage],
    signals: Mapping[int, Signal],
    top: int | None,
) -> dict[int, tuple[float, float, float]]:
    """Return transport with its band for every site below the top."""
    if top is None:
        return {}
    readings = run.steps[0].sites
    top_gradient = readings[top].gradient
    squares: dict[int, float] = {top: 1.0}
    betas: dict[int, float] = {top: 0.0}
    layers: dict[int, int] = {top: 0}
    shapes: dict[int, Shape] = {}
    unknown: set[int] = set()
    for target in range(top, -1, -1):
        if target in unknown:
            measured = readings[target].gradient
            if measured is not None and top_gradient is not None and top_gradient.norm > 0.0:
                ratio = measured.norm / top_gradient.norm
                squares[target] = ratio * ratio  # restart from the measured transport; nan where that is none
                betas.setdefault(target, 0.0)
                layers.setdefault(target, 0)
            else:
                squares.pop(target, None)
        sources = [source for source in feeders.get(target, ()) if source >= 0]
        made = passages.get(target)
        if target not in squares or made is None or len(made.gains) != len(feeders.get(target, ())):
            if target in squares or target in unknown:
                unknown.update(sources)
            continue
        for source, gain in zip(feeders.get(target, ()), made.gains, strict=True):
            if source < 0:
                continue
            border, shape = _border_back(run, target, source, shapes)
            squares[source] = squares.get(source, 0.0) + gain * gain * border * squares[target]
            shapes.setdefault(source, shape)
            facts = readings[target].weight
            extra = _kappa_below(run, feeders, signals, source) / facts.fan_in if facts is not None else 0.0
            betas[source] = max(betas.get(source, 0.0), betas[target] + extra)
            layers[source] = max(layers.get(source, 0), layers[target] + (facts is not None))
    found: dict[int, tuple[float, float, float]] = {}
    for index, square in squares.items():
        if not math.isfinite(square):
            continue
        width = band(betas[index], layers[index])
        root = math.sqrt(square)
        found[index] = (
            root,
            root * math.exp((width.shift - width.deviation) / 2.0),
            root * math.exp((width.shift + width.deviation) / 2.0),
        )
    return found


def _border_back(run: Run, target: int, source: int, shapes: Mapping[int, Shape]) -> tuple[float, Shape]:
    """Return what the borders leave of the squared gradient, and how it varies over the positions below."""
    site = run.sites[target]
    if site.kind not in _KEEPS_POSITIONS:
        return 1.0, ()
    above = shapes.get(target, ())
    taps = _taps(run, site, source) if site.kind == "weight" else None
    if taps is None:
        return 1.0, () if site.kind == "weight" else above
    return backward(above, taps)


def _kappa_below(run: Run, feeders: Mapping[int, Sequence[int]], signals: Mapping[int, Signal], site: int) -> float:
    """Return kappa of the activation that feeds a weight; 2, a linear layer's, when there is none."""
    while site >= 0 and run.sites[site].operation in MOVES and len(feeders.get(site, ())) == 1:
        site = feeders[site][0]
    if site < 0 or run.sites[site].kind != "activation":
        return 2.0
    activation = find(run.sites[site].operation, run.sites[site].settings)
    before = [signals[source] for source in feeders.get(site, ()) if source in signals]
    if activation is None or len(before) != 1:
        return 2.0
    return max(kappa(activation, length=max(before[0].mean_square, 1e-30)), 2.0)
