"""Steadiness: whether a training that learns keeps what it learned, and does not climb on its way."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

UNSTEADY = "unsteady"
WILD = 10.0  # in the second half of the steps no loss lies so many times above the largest of the untrained ones
BLOCKS = 10  # the losses are compared in so many blocks of steps
LOST = 0.75  # a training that has lost more than this share of what it had gained at the end is no cure
FALTERS = 0.25  # one that lost this share on its way is repeated to the end with the other seeds
SURELY = 3.0  # standard errors of the difference between two blocks


def wild(losses: Sequence[float], untrained: float) -> str:
    """Say so where the largest loss of the second half lies far above all of the first steps, however the training ends; else ''."""
    part = max(1, len(losses) // 20)
    peak, first = max(losses[len(losses) // 2 :], default=0.0), max(map(abs, losses[:part]), default=0.0)
    if peak <= WILD * max(first, abs(untrained)):
        return ""
    return f"{UNSTEADY}: the training loss climbs to {peak:.3g} in the second half of the steps"


def falls_back(losses: Sequence[float]) -> str:
    """Say so where the last tenth of the steps has lost most of what an earlier tenth had gained; else ''."""
    blocks = _blocks(losses)
    if len(blocks) < BLOCKS or _lost(blocks, len(blocks) - 1) <= LOST:
        return ""
    lowest = min(statistics.fmean(block) for block in blocks)
    return f"{UNSTEADY}: the training loss comes down to {lowest:.3g} and ends at {statistics.fmean(blocks[-1]):.3g}"


def falters(losses: Sequence[float]) -> bool:
    """Whether in the second half of the steps a tenth of them lost a good part of what had been gained before it."""
    blocks = _blocks(losses)
    return any(_lost(blocks, place) > FALTERS for place in range(len(blocks) // 2, len(blocks)))


def _blocks(losses: Sequence[float]) -> list[Sequence[float]]:
    size = len(losses) // BLOCKS
    start = len(losses) - size * BLOCKS
    return [losses[start + size * k : start + size * (k + 1)] for k in range(BLOCKS)] if size > 1 else []


def _lost(blocks: Sequence[Sequence[float]], place: int) -> float:
    """Return the share of the gain, from the first block to the lowest before `place`, that is lost again there; 0 where that is not sure."""
    means = [statistics.fmean(block) for block in blocks]
    if not all(map(math.isfinite, means)) or place == 0:
        return 0.0
    lowest = min(range(place), key=means.__getitem__)
    gained, back = means[0] - means[lowest], means[place] - means[lowest]
    error = math.hypot(*(statistics.stdev(blocks[k]) / math.sqrt(len(blocks[k])) for k in (lowest, place)))
    return back / gained if gained > 0.0 and back > SURELY * error else 0.0
