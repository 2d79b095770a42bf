"""Merge what the ranks read of one step: weighted sums of everything, exchanged at once."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from photic.records.moments import Moments
from photic.records.runs import EdgeReading, ParameterReading, Run, SiteReading, TimeFacts, UnitFacts, WeightFacts

Exchange = Callable[[Tensor], None]  # sums a float64 vector over the ranks, in place
Facts = TypeVar("Facts", WeightFacts, UnitFacts)
ROOM = 1 << 13  # numbers; the vector's length is a power of two from here on
ROOM_FOR_TIMES = 1 << 16  # the same where time steps are read


@dataclass(frozen=True)
class Merged:
    """The run of all ranks.

    Attributes:
        run: the same on every rank.
        noise: by parameter, the estimated deviation of one rank's gradient from the expected one, over the norm of the
            mean gradient; empty where the ranks' own gradients were not read.
    """

    run: Run
    noise: dict[str, float]


def merge(
    run: Run,
    exchange: Exchange,
    *,
    ranks: int,
    batches: int,
    shards: Mapping[str, int],
    own_norms: Mapping[str, float] | None = None,
) -> Merged:
    """Return the run as one process would have read it on the batches of all ranks together.

    Every statistic is a sum or a mean with weights, so one exchange suffices. A parameter in `shards` parts counts with
    weight shards / ranks, so replicas are not counted twice. The loss of all is the mean of the ranks' losses, so an error
    gradient at an operation counts 1 / batches. Of maxima and of the share of dead units the mean over the ranks is
    taken. Time steps are left out where the ranks had sequences of different lengths. float64 squares end at 1e-154, far below float32.

    Args:
        exchange: sums a vector over the ranks, in place; called once.
        batches: how many ranks see different data: all of them under DDP and FSDP, 1 under pure tensor parallelism.
        shards: into how many parts each parameter is cut, by name.
        own_norms: norm of this rank's own gradient of each parameter, before the ranks were averaged.

    Raises:
        ValueError: if the ranks ran different operations.
    """
    late = _Sums()
    sums = _Sums(late)
    marks = _mark([(s.name, s.operation) for s in run.sites], run.edges), _mark(_lengths(run))
    _walk(run, sums, marks, ranks, batches, shards, own_norms)
    length = _length(len(sums.numbers), times=bool(late.numbers))
    fits = len(sums.numbers) + len(late.numbers) <= length
    numbers = sums.numbers + (late.numbers if fits else [])
    vector = torch.tensor(numbers + [0.0] * (length - len(numbers)), dtype=torch.float64)
    exchange(vector)
    totals = vector.tolist()
    given = _Totals(totals, _Totals(totals[len(sums.numbers) :]) if fits else None)
    return _walk(run, given, marks, ranks, batches, shards, own_norms)


def _length(numbers: int, *, times: bool) -> int:
    """Return the length of the vector: the same on every rank, whatever the lengths of its sequences.

    A power of two, so that ranks that ran different operations mostly agree on it too, and are told so instead of waiting.
    """
    return max(ROOM_FOR_TIMES, 2 << numbers.bit_length()) if times else max(ROOM, 1 << (numbers - 1).bit_length())


def _mark(*form: object) -> float:
    """Return a number that is another one on ranks whose form differs."""
    return float(int.from_bytes(hashlib.sha256(repr(form).encode()).digest()[:3]))


def _lengths(run: Run) -> list[tuple[int, int]]:
    times = [reading.times for reading in run.steps[0].sites]
    return [(len(t.signal_norms), len(t.gradient_norms)) for t in times if t is not None]


class _Sums:
    """First walk: collects this rank's numbers; `late` those of time steps, of which ranks may have different ones."""

    ready = False  # whether what is handed out are the sums of all ranks

    def __init__(self, late: _Sums | None = None) -> None:
        self.numbers: list[float] = []
        self.late = late

    def total(self, value: float) -> float:
        self.numbers.append(value)
        return value

    def totals(self, *values: float) -> Iterable[float]:
        self.numbers.extend(values)
        return values

    def mean(self, value: float | None, weight: float) -> float | None:
        """A mean with weights; None, where nothing was read or it is not finite, does not count."""
        known = value is not None and math.isfinite(value)
        self.numbers.extend((value * weight, weight) if value is not None and known else (0.0, 0.0))
        return value


class _Totals(_Sums):
    """Second walk, in the same order: hands out the sums of all ranks."""

    ready = True

    def __init__(self, numbers: list[float], late: _Sums | None = None) -> None:
        super().__init__(late)
        self._rest = iter(numbers)

    def total(self, value: float) -> float:
        return next(self._rest)

    def totals(self, *values: float) -> Iterable[float]:
        return islice(self._rest, len(values))

    def mean(self, value: float | None, weight: float) -> float | None:
        total, weights = next(self._rest), next(self._rest)
        return total / weights if weights > 0.0 else None


def _walk(
    run: Run,
    sums: _Sums,
    marks: tuple[float, float],
    ranks: int,
    batches: int,
    shards: Mapping[str, int],
    own_norms: Mapping[str, float] | None,
) -> Merged:
    step = run.steps[0]
    differs, differ_in_time = (
        sums.total(mark * mark / ranks) - sums.total(mark / ranks) ** 2 > 0.5 and isinstance(sums, _Totals)
        for mark in marks
    )
    if differs:
        raise ValueError("the ranks ran different operations in this step; what they read cannot be put together")
    parameters: list[ParameterReading] = []
    noise: dict[str, float] = {}
    scale = step.loss_scale or 1.0
    for parameter, reading in zip(run.parameters, step.parameters, strict=True):
        weight = shards.get(parameter.name, 1) / ranks
        merged = _parameter(reading, sums, weight)
        parameters.append(merged)
        own = sums.mean(None if own_norms is None else (own_norms.get(parameter.name, 0.0) / scale) ** 2, 1.0)
        if own is not None and ranks > 1 and merged.before_clipping:
            variance = max(own - merged.before_clipping**2, 0.0) * ranks / (ranks - 1)
            noise[parameter.name] = math.sqrt(variance) / merged.before_clipping
    share = batches / ranks
    late = None if differ_in_time else sums.late
    sites = tuple(_site(reading, sums, late, share, 1.0 / batches) for reading in step.sites)
    edges = tuple(
        _edge(reading, None if edge.target < 0 else step.sites[edge.target].gradient, sums, share, 1.0 / batches)
        for edge, reading in zip(run.edges, step.edges, strict=True)
    )
    whole = dataclasses.replace(
        step,
        loss=sums.mean(step.loss, 1.0),
        sites=sites,
        edges=edges,
        parameters=tuple(parameters),
        leftover_share=sums.mean(step.leftover_share, 1.0),
        clip_norm=sums.mean(step.clip_norm, 1.0),
    )
    inputs = _moments(run.inputs, sums, share, 1.0)
    return Merged(dataclasses.replace(run, steps=(whole,), inputs=inputs, losses=()), noise)


def _moments(read: Moments | None, sums: _Sums, weight: float, scale: float) -> Moments | None:
    here = 0.0 if read is None else weight
    m = read or Moments(0, 0.0, 0.0, 0.0)
    number, largest = here * (m.count - m.nonfinite), m.maximum * scale
    known = read is not None and math.isfinite(largest)
    count, finite, first, squares, largest, ranks, zeros, subnormals, nonfinite = sums.totals(
        here * m.count, number, m.mean * scale * number, (m.rms * scale) ** 2 * number,
        largest if known else 0.0, float(known), here * m.zeros, here * m.subnormals, here * m.nonfinite,
    )  # fmt: skip
    if not sums.ready:
        return read
    if ranks <= 0.0:
        return None
    largest /= ranks
    rms = math.sqrt(squares / finite) if finite > 0.0 else 0.0
    mean = first / finite if finite > 0.0 else 0.0
    return Moments(round(count), mean, rms, max(largest, rms), round(zeros), round(subnormals), round(nonfinite))


def _squared(value: float | None) -> float | None:
    return None if value is None else value * value


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(max(value, 0.0))


def _summed(sums: _Sums, value: float | None, weight: float) -> float | None:
    """The root of the weighted sum of squares over the ranks that read something; None if nobody did."""
    total, anyone = sums.totals(*((0.0, 0.0) if value is None else (weight * value * value, 1.0)))
    return math.sqrt(total) if anyone else None


def _parameter(read: ParameterReading, sums: _Sums, weight: float) -> ParameterReading:
    size, count = weight * read.weight.norm**2, weight * read.weight.count
    values = _moments(read.weight, sums, weight, 1.0)
    assert values is not None
    found = {
        "weight": values,
        "gradient": _moments(read.gradient, sums, weight, 1.0),
        "update_ratio": _root(sums.mean(_squared(read.update_ratio), size)),
        "unchanged_fraction": sums.mean(read.unchanged_fraction, count),
        "before_clipping": _summed(sums, read.before_clipping, weight),
        "epsilon_share": sums.mean(read.epsilon_share, count),
    }
    return dataclasses.replace(read, **found) if sums.ready else read


def _site(read: SiteReading, sums: _Sums, late: _Sums | None, weight: float, scale: float) -> SiteReading:
    arrived = 0.0 if read.gradient is None else weight * read.gradient.norm**2
    return SiteReading(
        signal=_moments(read.signal, sums, weight, 1.0),
        gradient=_moments(read.gradient, sums, weight, scale),
        gain=_root(sums.mean(_squared(read.gain), arrived)),
        weight=None if read.weight is None else _means(read.weight, sums),
        units=None if read.units is None else _means(read.units, sums),
        times=None if read.times is None or late is None else _times(read.times, late, weight, scale),
    )


def _means(read: Facts, sums: _Sums) -> Facts:
    """The mean over the ranks of every number of the facts."""
    found: dict[str, float | int | tuple[float, ...]] = {}
    for item in dataclasses.fields(read):
        value = getattr(read, item.name)
        if value is None:  # not known yet, on no rank: a window of several audits
            continue
        if isinstance(value, tuple):
            found[item.name] = tuple(sums.mean(part, 1.0) or 0.0 for part in value)
        else:
            mean = sums.mean(float(value), 1.0)
            found[item.name] = type(value)(round(mean or 0.0) if isinstance(value, int) else mean or 0.0)
    return dataclasses.replace(read, **found) if sums.ready else read


def _times(read: TimeFacts, sums: _Sums, weight: float, scale: float) -> TimeFacts:
    return TimeFacts(
        tuple(_summed(sums, norm, weight) or 0.0 for norm in read.signal_norms),
        tuple(_summed(sums, norm * scale, weight) or 0.0 for norm in read.gradient_norms),
    )


def _edge(read: EdgeReading, arrived: Moments | None, sums: _Sums, weight: float, scale: float) -> EdgeReading:
    squares = 0.0 if arrived is None else weight * arrived.norm**2
    norm = _summed(sums, None if read.gradient_norm is None else read.gradient_norm * scale, weight)
    gain = _root(sums.mean(_squared(read.gain), squares))
    return EdgeReading(norm, gain, sums.mean(read.cosine, 1.0))
