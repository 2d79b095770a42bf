"""Moments: what one pass over a tensor tells, in numbers that do not lie when small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MASKS = ("masked_fill", "where")  # operations that write -inf before a softmax


@dataclass(frozen=True, slots=True)
class Moments:
    """Statistics of the elements of one tensor.

    Sums run over the finite elements only; `nonfinite` counts the others. An empty tensor, or one
    without a finite element, has mean, rms and maximum 0.

    Attributes:
        count: number of elements.
        mean: mean of the finite elements.
        rms: root of their mean square; accumulated so that 1e-300 is not read as 0.
        maximum: largest magnitude.
        zeros: elements that are exactly 0.
        subnormals: nonzero elements below the smallest normal number of the tensor's dtype.
        nonfinite: elements that are nan or infinite.
    """

    count: int
    mean: float
    rms: float
    maximum: float
    zeros: int = 0
    subnormals: int = 0
    nonfinite: int = 0

    @property
    def norm(self) -> float:
        """Euclidean norm of the finite elements."""
        return self.rms * math.sqrt(max(self.count - self.nonfinite, 0))

    @property
    def told_norm(self) -> float:
        """The norm as a course shows it: infinite where an element is not finite, because then it has none."""
        return math.inf if self.nonfinite else self.norm

    @property
    def told_rms(self) -> float:
        """The rms as a course shows it: infinite where an element is not finite."""
        return math.inf if self.nonfinite else self.rms

    @property
    def deviation(self) -> float:
        """Standard deviation of the finite elements around their mean."""
        if abs(self.mean) >= self.rms:
            return 0.0
        ratio = self.mean / self.rms
        return self.rms * math.sqrt(1.0 - ratio * ratio)

    @property
    def of_one_number(self) -> bool:
        """Whether all finite elements are one number, to 1 part in 100,000 of it.

        Of numbers that differ the mean lies below the largest. Their deviation says it worse: a small difference of large sums,
        it is 1e-3 of them by rounding alone on some processors.
        """
        return abs(self.mean) >= (1.0 - 1e-5) * self.maximum

    @property
    def zero_fraction(self) -> float:
        """Share of elements that are exactly 0; 0 for an empty tensor."""
        return self.zeros / self.count if self.count else 0.0


def told_signal(operation: str, signal: Moments | None) -> float:
    """Return the rms of an operation's output as a course shows it: nan says that nothing was read.

    A mask writes -inf on purpose; there the finite elements are told.
    """
    if signal is None:
        return math.nan
    return signal.rms if operation in MASKS else signal.told_rms


def combined(parts: Sequence[Moments]) -> Moments | None:
    """Return the moments of several tensors taken as one; None of none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    finite = sum(part.count - part.nonfinite for part in parts)
    maximum = max(part.maximum for part in parts)
    if finite and maximum:
        mean = sum(part.mean * (part.count - part.nonfinite) for part in parts) / finite
        rms = maximum * math.sqrt(
            sum((part.rms / maximum) ** 2 * (part.count - part.nonfinite) for part in parts) / finite
        )
    else:
        mean = rms = 0.0
    return Moments(
        count=sum(part.count for part in parts),
        mean=mean,
        rms=rms,
        maximum=maximum,
        zeros=sum(part.zeros for part in parts),
        subnormals=sum(part.subnormals for part in parts),
        nonfinite=sum(part.nonfinite for part in parts),
    )
