"""Steadiness: whether a training that learns keeps what it learned, and does not climb on its way."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

UNSTEADY = "unsteady"
WILD = 10.0  # in the second half of the steps no loss lies so many times above the largest of the untrained ones
BLOCKS = 10  # the losses are compared in so many blocks of steps
LOST = 0.75  # a training that has lost more than this share of what it had gained at the end is no cure
NOISE = 0.05  # of the loss: what gains no more has nothing to lose
FALTERS = 0.25  # one that lost this share on its way is repeated to the end with the other seeds
SLIGHTLY = 0.05  # and one that does not end deep where it lost this one
LATE = 1 / 3  # of its gain a training has at half of its steps, if it does not stand first and break through later


def wild(losses: Sequence[float], untrained: float) -> str:
    """Say so where the largest loss of the second half lies far above all of the first steps, however the training ends; else ''."""
    part = max(1, len(losses) // 20)
    peak, first = max(losses[len(losses) // 2 :], default=0.0), max(map(abs, losses[:part]), default=0.0)
    if peak <= WILD * max(first, abs(untrained)):
        return ""
    return f"{UNSTEADY}: the training loss climbs to {peak:.3g} in the second half of the steps"


def falls_back(losses: Sequence[float], beginning: float = math.inf) -> str:
    """Say so where the last tenth of the steps has lost most of what an earlier tenth had gained; else ''.

    The gain counts from the first tenth, or from `beginning` (the untrained loss, or that of chance) where that is lower.
    """
    blocks = _blocks(losses, beginning)
    if not blocks or blocks[0] - min(blocks) <= NOISE * abs(blocks[0]) or _lost(blocks, len(blocks) - 1) <= LOST:
        return ""
    return f"{UNSTEADY}: the training loss comes down to {min(blocks):.3g} and ends at {blocks[-1]:.3g}"


def falters(losses: Sequence[float], beginning: float = math.inf, *, deep: bool) -> bool:
    """Whether a tenth of the steps lost again a share of what had been gained before it: a small one where the loss ends deep.

    What ends deep may have jumped on its way. What has come half way, and stood or rose at times, may not get there with another seed.
    """
    blocks = _blocks(losses, beginning)
    return any(_lost(blocks, place) > (FALTERS if deep else SLIGHTLY) for place in range(1, len(blocks)))


def breaks_through(losses: Sequence[float]) -> bool:
    """Whether a training stood for the first half of its steps and made most of its gain afterwards.

    When such a one begins to learn is a matter of the seed: with another it may be after the last step.
    """
    blocks = _blocks(losses, math.inf)
    if not blocks or not all(map(math.isfinite, blocks)):
        return False
    gained, half = blocks[0] - blocks[-1], blocks[0] - min(blocks[: BLOCKS // 2])
    return gained > NOISE * abs(blocks[0]) and half < LATE * gained


def _blocks(losses: Sequence[float], beginning: float) -> list[float]:
    size = len(losses) // BLOCKS
    start = len(losses) - size * BLOCKS
    means = [statistics.fmean(losses[start + size * k : start + size * (k + 1)]) for k in range(BLOCKS)] if size else []
    return [min(means[0], beginning), *means[1:]] if means and math.isfinite(beginning) else means


def _lost(means: Sequence[float], place: int) -> float:
    """Return the share of the gain, from the first block to the lowest before `place`, that is lost again there."""
    lowest = min(means[:place])
    gained = means[0] - lowest
    return (means[place] - lowest) / gained if gained > 0.0 and all(map(math.isfinite, means)) else 0.0
