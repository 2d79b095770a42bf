"""Told nothing: what is left of the batch where an operation below all layers takes from it what the answers depend on."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT

_ROUNDING = 2.0**-22  # of an argument: two units of float32's last place
_FAINT = 1e-2  # of a sum: a ten-thousandth of its power tells less than a ten-thousandth of a bit by each number
_ASKED = 0.5  # of the variance of what is asked for
_BITS = 0.1  # that a code tells of an example, all its numbers together
_PULL = 0.5  # of the answers' gradient; where a penalty holds a code they are equal
_PENALTIES = ("pow", "square", "mul")  # their slope is 0 where the code is
_RADIANS = 2.0 * math.pi


def whole_turns(graph: Graph) -> list[tuple[int, float]]:
    """Return the sines and cosines that give one number but for rounding, with how often their arguments go round at most.

    Below all layers, where the arguments differ by more than a radian: whole numbers times a whole turn. Empty where something of the
    batch comes by another way.
    """
    found: list[tuple[int, float]] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if (
            site.operation not in ("sin", "cos")
            or site.phase != "model"
            or len(sources) != 1
            or site.dtype != "float32"
        ):
            continue
        argument, wave = graph.reading(sources[0]).signal, graph.reading(site.order).signal
        if (
            argument is None
            or wave is None
            or argument.nonfinite
            or argument.deviation < 1.0
            or learned(graph, site.order)
        ):
            continue
        if wave.deviation <= _ROUNDING * argument.maximum:
            found.append((site.order, argument.maximum / _RADIANS))
    return found if found and not passes(graph, {index for index, _ in found}) else []


@dataclass(frozen=True)
class Drowned:
    """A sum in which what comes of the batch is next to nothing beside numbers that come from elsewhere.

    Attributes:
        site: the sum.
        part: what makes the quiet part.
        share: its size (rms) over that of the sum.
    """

    site: int
    part: int
    share: float


def drowned_input(graph: Graph) -> Drowned | None:
    """Return such a sum, first and last, below all layers and with no other way for the batch; None without one."""
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if (
            site.operation not in ("add", "sub")
            or site.phase != "model"
            or len(sources) != 1
            or "other" in site.settings
        ):
            continue
        part = sources[0]
        if part < 0 or graph.site(part).shape != site.shape or learned(graph, site.order):
            continue
        shares = [_share(each, part, site.order) for each in (graph.first, graph.last)]
        if max(shares) < _FAINT and not passes(graph, {site.order}):
            return Drowned(site.order, part, max(shares))
    return None


@dataclass(frozen=True)
class HeldAtNothing:
    """A code beside noise in a sum, which a penalty in the loss holds so small that nothing is told by it.

    Attributes:
        site: the sum.
        code: what makes the code.
        bits: what all numbers of one example can tell at most, each half the binary logarithm of 1 + its power over that of the sum.
        pull: the penalty's gradient at the code over that of the answers.
    """

    site: int
    code: int
    bits: float
    pull: float


def held_at_nothing(graph: Graph) -> HeldAtNothing | None:
    """Return such a sum at the last step, if it is the only way from the batch to the answers; None without one.

    A code that is small because it has not grown yet feels next to nothing of a penalty that vanishes with it.
    """
    last = graph.last
    for site in graph.run.sites:
        if site.operation not in ("add", "sub") or site.phase != "model":
            continue
        for code in {source for source, _ in graph.feeders.get(site.order, []) if source >= 0}:
            penalties = [after for after in graph.consumers.get(code, []) if _vanishes(graph, after)]
            if not penalties or not learned(graph, code):
                continue
            share, numbers = _share(last, code, site.order), math.prod(site.shape[1:])
            bits = 0.5 * numbers * math.log2(1.0 + share * share)
            answers = _contribution(last, code, site.order)
            pull = math.hypot(*(_contribution(last, code, after) for after in penalties)) / max(answers, 1e-300)
            told = set(graph.run.outputs) - graph.ancestors([site.order]) - {code}
            past = _reached(graph, graph.consumers.get(INPUT, []), {site.order})
            if bits < _BITS and pull >= _PULL and answers > 0.0 and told and told.isdisjoint(past):
                return HeldAtNothing(site.order, code, bits, pull)
    return None


def _vanishes(graph: Graph, index: int) -> bool:
    return graph.site(index).phase == "loss" and graph.site(index).operation in _PENALTIES


def _contribution(graph: Graph, source: int, target: int) -> float:
    found = [reading.gradient_norm for feeder, reading in graph.feeders.get(target, []) if feeder == source]
    return math.hypot(*(norm for norm in found if norm is not None))


def asked_away(graph: Graph) -> tuple[int, float] | None:
    """Return the division by numbers of each example that tell most of what is asked for, and its share of the variance.

    Nothing else that reaches an output is made of these numbers.
    """
    found = [(reading.asked or 0.0, index) for index, reading in enumerate(graph.run.steps[graph.step].sites)]
    for share, index in sorted(found, reverse=True):
        if share < _ASKED:
            return None
        numbers = max((source for source, _ in graph.feeders.get(index, [])), default=INPUT)
        heard = set(graph.run.outputs)
        if numbers >= 0 and heard.isdisjoint(_reached(graph, graph.consumers.get(numbers, []), {index})):
            return index, share
    return None


def _share(graph: Graph, part: int, whole: int) -> float:
    small, large = graph.reading(part).signal, graph.reading(whole).signal
    return (
        small.rms / large.rms
        if small is not None and large is not None and small.rms > 0.0 and large.rms > 0.0
        else 1.0
    )


def learned(graph: Graph, index: int) -> bool:
    """Whether a trained parameter takes part in what a site makes."""
    below = graph.ancestors([index]) | {index}
    return any(p.trainable and not below.isdisjoint(p.sites) for p in graph.run.parameters)


def shut_entrance(graph: Graph) -> int | None:
    """Return the activation that makes 0 of all that enters, below all layers, first and last, with no other way; None without one."""
    if graph.run.inputs is None or graph.run.inputs.rms == 0.0:
        return None
    for site in graph.run.sites:
        if site.kind != "activation" or site.phase != "model" or learned(graph, site.order):
            continue
        signals = [each.reading(site.order).signal for each in (graph.first, graph.last)]
        shut = all(signal is not None and 0 < signal.count == signal.zeros for signal in signals)
        if shut and not passes(graph, {site.order}):
            return site.order
    return None


def passes(graph: Graph, closed: Collection[int]) -> bool:
    """Whether something of the batch reaches an output past these sites."""
    return not set(graph.run.outputs).isdisjoint(_reached(graph, graph.consumers.get(INPUT, []), closed))


def _reached(graph: Graph, starts: Collection[int], closed: Collection[int]) -> set[int]:
    open_now = [index for index in starts if index not in closed]
    allowed = {site.order for site in graph.run.sites if site.order not in closed}
    return {*open_now, *graph.descendants_among(open_now, allowed)}
