"""Whether a short training shows that the network learns, and by what the first loss was."""

from __future__ import annotations

import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import adaptive, setting
from photic.diagnosis.words import number


def learns(training: Training | None, share: float = 0.9) -> bool:
    """Whether the loss fell to `share` of what it was, and below that of chance, of the classes' frequencies, or of the targets' mean.

    A loss that falls to chance has learned how often the classes come, or what the targets are on the mean, and nothing of the
    inputs. False without training, and for losses that are not positive.
    """
    if training is None or not training.first > 0.0 or not training.losses[0] > 0.0:
        return False
    return training.last < share * training.first and all(training.last < 0.98 * known for known in training.ignorant)


def nothing_learned(training: Training) -> str:
    """Say what was seen of a training that teaches nothing: its loss stands, or comes down to what one answer for all examples costs."""
    if training.ignorant and training.last < 0.9 * training.first:
        costs = number(min(training.ignorant))
        return f"{training.steps} steps take the loss down to {number(training.last)}, and one answer for all examples costs {costs}"
    return f"{training.steps} steps do not lower the loss"


def learns_a_third(training: Training | None) -> bool:
    """Whether at least a third of what there is to learn has been learned: below that `treat` takes a network to learn little."""
    return learns(training) and training is not None and all(training.last < 2.0 / 3.0 * k for k in training.ignorant)


def solved(training: Training | None) -> bool:
    """Whether the loss fell to a fiftieth of what it was, and below a twentieth of what it takes to know nothing, where that is known.

    What looks ill in such a network, units that are sure of themselves, is how it ended, not what stops it. The two numbers are
    ours: a network that came so far needs no cure.
    """
    if training is None or not learns(training, 0.02):
        return False
    return all(training.last < 0.05 * known for known in training.ignorant)


def arriving(training: Training | None) -> bool:
    """Whether the loss began far above that of chance and comes down so fast that what is learned cannot be seen yet.

    At the pace at which it fell so far it would be below chance after as many steps again, last * last / first < chance; it
    is not there yet, and the last quarter still lies a tenth below the one before. False where chance is not known.
    """
    if training is None or training.chance is None or len(training.losses) < 8 or not training.first > 0.0:
        return False
    quarter = len(training.losses) // 4
    before, after = sum(training.losses[-2 * quarter : -quarter]), sum(training.losses[-quarter:])
    paced = training.last * training.last / training.first < training.chance
    return paced and training.last > 1.05 * training.chance and after < 0.9 * before


def worsens(training: Training | None) -> bool:
    """Whether the loss ends above where it began, or stops being finite."""
    return training is not None and not training.last <= training.first


def uphill(graph: Graph, beyond: float = 0.5) -> tuple[int, int]:
    """Return how many weight matrices were moved along their gradient instead of against it, and of how many."""
    known = [
        reading.against
        for held in graph.parameters.values()
        for parameter, reading in held
        if len(parameter.shape) > 1 and reading.against is not None
    ]
    return sum(value > beyond for value in known), len(known)


def matrix_updates(graph: Graph) -> list[float]:
    """Return |update| / |weight| of every trained weight matrix that moved by a known amount."""
    return [
        reading.update_ratio
        for held in graph.parameters.values()
        for parameter, reading in held
        if len(parameter.shape) > 1 and parameter.trainable and reading.update_ratio is not None
    ]


def median_update(graph: Graph) -> float | None:
    """Return the median of the finite ones among them; None where none is known."""
    known = sorted(value for value in matrix_updates(graph) if math.isfinite(value))
    return known[len(known) // 2] if known else None


def rescued(graph: Graph, arrival: float) -> bool:
    """Whether an adaptive optimizer, which divides by the gradient's size, still trains layers that get `arrival` of it.

    Measured on random networks (`dev.py bench strangers`): down to 1e-8 it does, if slowly; with logistic sigmoids, whose
    mean of 0.5 drowns the signal as well, down to 1e-3.
    """
    drowned = any(graph.site(index).operation in ("sigmoid", "hardsigmoid") for index in graph.main_path())
    return adaptive(graph.run) and arrival >= (1e-3 if drowned else 1e-8)


def shrinking(graph: Graph) -> float | None:
    """Return the largest factor by which a trained weight matrix changed its size from the first step to the last; None where it is not known."""
    factors = [
        late.weight.rms / early.weight.rms
        for parameter, early, late in zip(
            graph.run.parameters,
            graph.run.steps[0].parameters,
            graph.run.steps[-1].parameters,
            strict=True,
        )
        if parameter.trainable and parameter.sites and len(parameter.shape) > 1 and early.weight.rms > 0.0
    ]
    return max(factors) if factors and len(graph.run.steps) > 1 else None


def decayed(graph: Graph, shrunk: float = 0.5) -> float | None:
    """Return to what share of its size the weight matrix shrank that shrank least, if that is below `shrunk` under weight decay."""
    share = shrinking(graph)
    under_decay = (setting(graph.run, "weight_decay") or 0.0) > 0.0
    return share if under_decay and share is not None and share < shrunk else None
