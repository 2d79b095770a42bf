"""Saturated gates: the gates of a recurrent layer, or gates made by hand, stand fully open or shut."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import lines
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("gers2000", "tallec2018"))
def saturated_gates(graph: Graph, *, share: float = 0.6, spread: float = 6.0, enough: int = 64) -> Finding | None:
    """Most gates stand beyond -6 or 6, where the sigmoid is flat, thrown there by what enters them.

    Signs: in an LSTM or GRU, or in a sigmoid whose output multiplies another signal, at least `share` of the
    pre-activations lie where the slope is below 1 % of its largest, on both sides, and they deviate by `spread` or more
    from example to example or step to step.

    Why it matters: a gate that is flat gets no gradient: it forgets or keeps by chance, and does not learn which.

    False alarms: gates that a bias holds open or shut (a forget bias, chrono initialisation, a transform gate that starts
    shut) are meant to; they do not deviate, and their weights learn. Gates of a loop
    that stand in their range for the first quarter of its turns are saturated by a state that grows: that is a matter of time.
    """
    later = _only_later(graph, share)
    for site in graph.run.sites:
        reading = graph.reading(site.order)
        if reading.gates is not None:
            low, high, deviation = reading.gates.shut, reading.gates.open, reading.gates.deviation
        elif site.operation == "sigmoid" and reading.units is not None and _multiplies(graph, site.order):
            quantiles = reading.units.input_quantiles
            if reading.signal is None or reading.signal.count < enough or site.order in later:
                continue
            deviation = (quantiles[5] - quantiles[3]) / 1.35
            half = reading.units.saturated_fraction / 2.0
            low, high = (half, half) if quantiles[2] < -6.0 and quantiles[6] > 6.0 else (0.0, 0.0)
        else:
            continue
        if low + high < share or min(low, high) < 0.05 or deviation < spread:
            continue
        return Finding(
            problem="saturated-gates",
            severity="critical" if low + high > 0.9 else "warning",
            sites=(site.name,),
            where=site.where,
            evidence=(
                Evidence("share of gates that are shut", low, "share"),
                Evidence("share of gates that are open", high, "share"),
                Evidence("deviation of their pre-activations", deviation, "pre-activation"),
            ),
            reason=(
                f"{percent(low + high)} of the gates of {site.name or site.operation} are fully shut or open (their pre-activations "
                f"deviate by {number(deviation)}, beyond 6 a sigmoid is flat): they pass no gradient to what decides them."
            ),
            advice="Scale the input to mean 0 and deviation 1, draw the gates' weights with Xavier or orthogonally, or put a "
            "normalisation before them.",
            confidence=0.9,
            sources=("gers2000", "tallec2018"),
        )
    return None


def _multiplies(graph: Graph, index: int) -> bool:
    """Whether it multiplies a signal of the model; probabilities times a target, in a loss of overlaps, are no gate."""
    after = [graph.site(taker) for taker in graph.consumers.get(index, [])]
    return graph.site(index).phase == "model" and any(
        site.phase == "model" and site.operation in ("mul", "addcmul", "lerp") for site in after
    )


def _only_later(graph: Graph, share: float) -> set[int]:
    """Return the sigmoids of loops of which none is saturated in the first quarter of the turns."""
    found: set[int] = set()
    for sites in lines(graph):
        if graph.site(sites[0]).operation == "sigmoid":
            units = [graph.reading(index).units for index in sites[: len(sites) // 4]]
            if all(one is not None and one.saturated_fraction < share for one in units):
                found.update(sites)
    return found
