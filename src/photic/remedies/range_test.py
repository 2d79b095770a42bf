"""Range test: which factor on the learning rate lowers the loss most in a few steps."""

from __future__ import annotations

import math
from dataclasses import replace

from photic.checkups.training import train
from photic.probes.generators import seeded
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.treated import treated_setup

WAYS = (0.1, 10.0)  # a decade down, a decade up; the better one is followed
MOST = 6  # decades
EQUAL = 0.02  # what ends within 2 % of the lowest counts as equal, and then the user's own rate is the nearer


def with_rate(
    prescription: Prescription, material: Material, *, seed: int, steps: int = 15
) -> tuple[Prescription, int]:
    """Return the prescription with the factor on the learning rate that ends lowest, and the steps that took.

    From the user's rate a decade down and a decade up are tried on copies; the better way is followed until the loss
    ends higher again, and the best factor is refined by 3 either way.

    Raises:
        ValueError: if no rate keeps the loss finite.
    """
    steps = max(10, steps)
    ends: dict[float, float] = {}

    def end(factor: float) -> float:
        if factor not in ends:
            setup = treated_setup(material, replace(prescription, rate=factor, search_rate=False), seed=seed)
            with seeded(seed):
                losses = train(setup, material.under(prescription).stream(seed), steps)
            tail = losses[-max(1, steps // 5) :]
            whole = len(losses) == steps and math.isfinite(losses[-1])
            ends[factor] = sum(tail) / len(tail) if whole else math.inf
        return ends[factor]

    own, down, up = end(1.0), end(WAYS[0]), end(WAYS[1])
    way = WAYS[1] if up < down and up < own else WAYS[0]
    factor = way if min(up, down) <= own else 1.0
    for power in range(2, MOST + 1):
        if factor == 1.0 or (end(factor) > min(ends.values()) and math.isfinite(end(factor))):
            break
        factor = way**power
        end(factor)
    lowest = min(ends, key=lambda f: (ends[f], abs(math.log(f))))
    if not math.isfinite(ends[lowest]):
        raise ValueError(
            f"no learning rate keeps the loss finite; tried were {len(ends)} factors from {min(ends):g} to {max(ends):g}"
        )
    end(lowest / 3.0)
    end(lowest * 3.0)
    best = min(ends.values())
    chosen = min((f for f, value in ends.items() if value <= best + EQUAL * abs(best)), key=lambda f: abs(math.log(f)))
    why = f"{chosen:.3g} times the learning rate: of {len(ends)} factors it lowered the loss most in {steps} steps"
    return replace(prescription, rate=chosen, search_rate=False, why=why), steps * len(ends)
