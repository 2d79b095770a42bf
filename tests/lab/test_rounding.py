"""Rounding: a stack trains each network as it would train alone, as long as a last bit does not decide the run."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from photic.lab.datasets.digits import batches, digits
from photic.lab.rounding import APART, alone, parting, verdict
from photic.lab.stacks import Plain, accuracies, train

STEPS, EXAMPLES, DEPTH = 300, 16, 20


def networks(variances: list[float]) -> list[Plain]:
    """The networks of `benchmarks/sweep.py` at width 16."""
    return [
        Plain("tanh", DEPTH, 16, 64, 10, variance, 0.05, learning_rate=0.01, seed=seed)
        for seed, variance in enumerate(variances)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)])
def test_in_the_ordered_phase_a_stack_equals_training_alone_to_its_rounding_at_every_step(
    dtype: torch.dtype,
) -> None:
    """Two products of each of 21 layers, of 64 terms at most, round by half a last bit 300 times: errors of random sign add
    up to sqrt(300 x 42 x 64) = 900 of them. That is 5.4e-5 in float32 and 1.0e-13 in float64, if nothing amplifies them."""
    tolerance = math.sqrt(STEPS * 2 * (DEPTH + 1) * 64) * torch.finfo(dtype).eps / 2
    calm = networks([0.5, 0.75, 1.0, 1.25, 1.5])  # critical: 1.761
    trained = train(calm, batches(STEPS, size=EXAMPLES), dtype=dtype)
    right = accuracies(calm, trained, digits()[1])
    for net, losses, accuracy in zip(calm, trained.losses, right.tolist(), strict=True):
        own = alone(net, batches(STEPS, size=EXAMPLES), digits()[1], dtype=dtype)
        assert losses.dtype == dtype
        assert float(((losses - own.losses) / own.losses).abs().max()) < tolerance, net.weight_variance
        assert accuracy == pytest.approx(own.accuracy, abs=1 / 297)


@pytest.mark.slow
def test_where_a_stack_parts_from_training_alone_it_does_so_as_a_last_bit_does() -> None:
    """In the chaotic phase, fan_in Var[w] = 3, an error that grows by e^(r t) reaches APART after ln(APART / error) / r steps.
    A fault of the stack would be as large in float64, and part the runs at the same step. Rounding has 29 bits further to
    go: ln(1e-3 / 1.1e-16) / ln(1e-3 / 6e-8) = 3.1 times the steps; half as much again is asked for. And a twin, which
    has one error where a stack makes many at every step, may last longer by a factor of two, not more."""
    wild = networks([3.0] * 8)
    found: dict[torch.dtype, list[int]] = {}
    twins: dict[torch.dtype, list[int]] = {}
    for dtype in (torch.float32, torch.float64):
        trained = train(wild, batches(100, size=EXAMPLES), dtype=dtype)
        found[dtype], twins[dtype] = [], []
        for net, losses in zip(wild, trained.losses, strict=True):
            own = alone(net, batches(100, size=EXAMPLES), digits()[1], dtype=dtype)
            twin = alone(net, batches(100, size=EXAMPLES), digits()[1], dtype=dtype, twin=True)
            found[dtype].append(parting(own.losses, losses))
            twins[dtype].append(parting(own.losses, twin.losses))
        assert max(found[dtype]) < 100, "not chaotic: nothing parts"
        assert 0.5 < statistics.median(found[dtype]) / statistics.median(twins[dtype]) < 2.0
    for short, long in zip(found[torch.float32], found[torch.float64], strict=True):
        assert long > 1.5 * short


def test_a_parting_is_the_first_step_that_differs_by_a_thousandth() -> None:
    course = torch.tensor([2.0, 1.0, 0.5, 0.25])
    assert parting(course, course) == 4
    assert parting(course, course * torch.tensor([1.0, 1 + APART / 2, 1 + 2 * APART, 1.0])) == 2
    lost = torch.tensor([2.0, math.nan, math.nan, math.nan])
    assert parting(course, lost) == 1 and parting(lost, lost) == 4


def test_a_verdict_is_left_open_within_two_standard_errors_of_the_threshold() -> None:
    """sqrt(0.25 / 297) = 2.90 points: two of them reach from 44.2 to 55.8 %."""
    assert [verdict(a, 297) for a in (0.0, 0.44, 0.445, 0.5, 0.555, 0.56, 1.0)] == [
        *["not trained"] * 2, *["undecided"] * 3, *["trained"] * 2,
    ]  # fmt: skip
    assert verdict(0.51, 100_000) == "trained"
    assert verdict(0.17, 297, threshold=0.1) == "trained"
