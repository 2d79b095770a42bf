"""Scales, factors and numbers that hold a network where it starts: found where they are, not where they only look so."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from photic.probes.mixing import mixing
from photic.records.findings import Checkup
from tests.diagnosis.held import (
    BATCHES,
    KINDS,
    SICK,
    Branch,
    ByHand,
    Codes,
    Corrected,
    Cut,
    Factors,
    LeftOut,
    Normalised,
    Products,
    Snakes,
    Tables,
    Threshold,
    alarms,
    alike,
    asked,
    classes,
    drawn,
    field,
    halves,
    matching,
    noise,
    normal,
    numbers,
    pairs,
    plain,
    positive,
    scaled,
    seldom,
    shuffled,
    sure,
    waves,
    welsch,
)
from tests.diagnosis.held_answers import (
    Averaged,
    Ordered,
    Views,
    alike_and_named,
    tones,
    uneven,
    weighted,
    words,
)


def told(checkup: Checkup) -> list[str]:
    return [finding.problem for finding in checkup.findings]


def hard(checkup: Checkup) -> Any:
    return next(f for f in checkup.findings if f.problem == "idle-layer")


def test_a_branch_times_a_fixed_zero_is_idle() -> None:
    found = hard(asked(Branch(0.0), shuffled))
    assert found.severity == "warning" and set(found.sites) == {"branch", "head"}


def test_a_gate_that_a_relu_holds_at_zero_never_opens() -> None:
    assert "idle-layer" in alarms(asked(Cut(-0.5, learned=True), shuffled))


def test_a_learned_factor_of_zero_opens() -> None:
    assert "idle-layer" not in [f.problem for f in asked(Branch(0.0, learned=True), shuffled).findings]


def test_a_branch_left_out_at_random_is_not_idle() -> None:
    assert "idle-layer" not in [f.problem for f in asked(LeftOut(0.0), shuffled).findings]


def test_a_correction_scaled_by_zero_is_idle_and_not_two_zeros() -> None:
    assert alarms(asked(Corrected(0.0)))[:1] == ["idle-layer"]
    assert alarms(asked(Corrected(1.0, both=True)))[:1] == ["zero-times-zero"]
    assert "idle-layer" not in alarms(asked(Corrected(1.0)))


def test_a_threshold_above_all_of_the_signal_kills_the_layer_below() -> None:
    assert alarms(asked(Threshold(9.0)))[:1] == ["dead-units"]
    assert not alarms(asked(Threshold(0.0)))


def test_an_epsilon_far_above_the_variance_is_found_in_every_normalisation() -> None:
    for kind in KINDS:
        assert alarms(asked(Normalised(kind, SICK[kind]), classes(1e-6)))[:1] == ["frozen-by-epsilon"], kind


def test_an_epsilon_below_the_variance_is_no_finding() -> None:
    for kind in KINDS:
        assert not alarms(asked(Normalised(kind, 1e-19), classes(1e-6))), kind
        assert not alarms(asked(Normalised(kind, SICK[kind]))), kind


def test_a_normalisation_written_out_takes_the_scale_of_the_input_away() -> None:
    for scale in (1e-6, 300.0):
        assert not [f for f in alarms(asked(ByHand(divided=True), classes(scale))) if f != "learning-rate-too-small"]
    assert "unscaled-input" in alarms(asked(ByHand(divided=False), classes(300.0)))


def test_matrices_of_products_drawn_too_large_are_found() -> None:
    for start in (normal, positive):
        assert alarms(asked(Products(start), numbers, F.mse_loss))[:1] == ["weights-too-large"]
    assert not alarms(asked(Products(scaled), numbers, F.mse_loss))


def test_tables_of_deviation_one_are_too_large_for_their_products() -> None:
    assert alarms(asked(Tables(1.5), pairs, F.mse_loss))[:1] == ["weights-too-large"]
    assert not alarms(asked(Tables(0.2), pairs, F.mse_loss))


def test_cosines_times_the_temperature_keep_the_loss_up() -> None:
    found = asked(Codes(), halves, matching(0.1), rate=3e-3)
    assert alarms(found)[:1] == ["loss-saturation"]
    assert not alarms(asked(Codes(), halves, matching(10.0), rate=3e-3))


def test_a_robust_loss_narrow_beside_the_errors_is_flat() -> None:
    assert alarms(asked(plain(), numbers, welsch(0.1)))[:1] == ["loss-saturation"]
    assert not alarms(asked(plain(), numbers, welsch(2.0)))
    assert "loss-saturation" not in alarms(asked(plain(), noise, F.mse_loss))  # nothing to learn, and yet a slope


def test_a_sigmoid_that_begins_at_a_prior_is_flat_under_a_squared_error() -> None:
    assert alarms(asked(sure(-11.0), seldom, F.mse_loss))[:1] == ["loss-saturation"]
    assert not alarms(asked(sure(-1.5), seldom, F.mse_loss))
    assert not alarms(asked(sure(-4.0), seldom, F.binary_cross_entropy))


def test_a_deep_network_whose_gradients_are_noise_is_told_of_while_it_learns_a_little() -> None:
    assert "shattered-gradient" in told(asked(Snakes(5.0), field, F.mse_loss, rate=1e-3))
    assert "shattered-gradient" not in told(asked(Snakes(0.0), field, F.mse_loss, rate=1e-3))


def test_waves_of_the_input_bend_the_gradient_without_harm() -> None:
    found = asked(Snakes(0.0, encoded=True), waves, F.mse_loss, rate=1e-3)
    assert found.run.neighbours is not None and found.run.neighbours < 0.25
    assert "shattered-gradient" not in told(found)


def test_the_factors_of_constant_tables_stay_one_factor() -> None:
    assert alarms(asked(Factors(alike), pairs, F.mse_loss))[:1] == ["rank-collapse"]
    assert not alarms(asked(Factors(drawn), pairs, F.mse_loss))
    assert "rank-collapse" not in alarms(asked(Factors(alike, head=True), pairs, F.mse_loss))


def test_a_mean_over_what_was_centred_says_nothing() -> None:
    found = asked(Averaged(last=True), tones)
    assert alarms(found)[:1] == ["class-prior-only"] and found.findings[0].severity == "warning"
    assert not alarms(asked(Averaged(last=False), tones))


def test_answers_in_the_order_of_the_lengths_are_found() -> None:
    found = asked(Ordered(back=False), words, rate=3e-3)
    assert alarms(found)[:1] in (["class-prior-only"], ["mixed-examples"]) and (found.run.moved_answers or 0.0) > 0.5
    assert not alarms(asked(Ordered(back=True), words, rate=3e-3))
    for model in (Ordered(back=True), Ordered(back=False, sorts=False), Branch(1.0)):
        assert mixing(model, next(words()) if isinstance(model, Ordered) else BATCHES[0]).moved == 0.0


def test_examples_that_speak_to_each_other_are_not_said_to_be_moved() -> None:
    class Mixing(Branch):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.cumsum(0))

    assert mixing(Mixing(1.0), BATCHES[0]).moved is None
    model = Branch(1.0).train()
    model.branch.eval()
    mixing(model, BATCHES[0])
    assert model.training and not model.branch.training


def test_codes_that_both_move_towards_each_other_become_one() -> None:
    found = asked(Views(stop=False), loss=alike_and_named, rate=3e-3, steps=60)
    assert alarms(found)[:1] == ["rank-collapse"]
    assert "rank-collapse" not in alarms(asked(Views(stop=True), loss=alike_and_named, rate=3e-3, steps=60))


def test_class_weights_that_grow_with_the_counts_are_the_wrong_way_round() -> None:
    assert alarms(asked(plain(), uneven, weighted(2.0)))[:1] == ["class-prior-only"]
    for power in (-1.0, -0.5, 0.0):
        assert not alarms(asked(plain(), uneven, weighted(power)))
