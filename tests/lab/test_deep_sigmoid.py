"""The demonstration's network and data: the article's numbers, and no test image among the training images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from photic.diagnosis.profile import depth_profile
from photic.diagnosis.units_on_curves import units_on_curves
from photic.lab.demonstration import accuracy
from photic.lab.examples import deep_sigmoid
from photic.probes.audit import measure
from photic.probes.generators import seeded


def test_no_test_image_is_a_training_image_and_every_class_is_in_both() -> None:
    images, labels, test_images, test_labels = deep_sigmoid.digits()
    assert len(images) + len(test_images) == 1797
    known = {tuple(image.tolist()) for image in images}
    assert not [image for image in test_images if tuple(image.tolist()) in known]
    assert set(labels.tolist()) == set(test_labels.tolist()) == set(range(10))


def test_one_epoch_shows_every_training_image_once() -> None:
    images, labels, _, _ = deep_sigmoid.digits()
    with seeded(0):
        seen = torch.cat([batch for batch, _ in deep_sigmoid.batches()])
    assert len(seen) == len(labels)
    assert torch.allclose(seen.sum(0), images.sum(0), atol=1e-2)


def test_the_budget_is_a_quarter_of_the_slope_and_a_third_of_the_variance() -> None:
    """PyTorch's default is n Var[w] = 1/3, so a Linear passes 1/sqrt(3); the logistic's slope is at most 1/4.

    |W^T g|^2 / |g|^2 of 128 independent columns spreads by sqrt(2 / 128), its root by half of that, the mean of ten
    layers by 0.02; three deviations are 0.06. The sigmoid loses at most 5 % of 1/4 to units off the centre.
    """
    for seed in range(3):
        with seeded(seed):
            run = measure(deep_sigmoid.build(), next(deep_sigmoid.batches()), F.cross_entropy)
        profile = depth_profile(run)
        assert profile is not None
        weights = [line.gain for line in profile.budget if line.operation == "linear"]
        slopes = [line.gain for line in profile.budget if line.operation == "sigmoid"]
        assert len(weights) == len(slopes) == 10
        assert math.isclose(sum(weights) / 10, 1 / math.sqrt(3), rel_tol=0.06)
        assert all(0.2 < gain <= 0.25 for gain in slopes) and sum(slopes) / 10 > 0.95 * 0.25
        assert profile.reached == 2 and len(profile.layers) == 11


def test_the_curve_shows_the_units_of_all_ten_layers_about_its_centre() -> None:
    with seeded(0):
        run = measure(deep_sigmoid.build(), next(deep_sigmoid.batches()), F.cross_entropy)
    (curve,) = units_on_curves(run)
    assert len(curve.quantiles) == 10
    assert all(-3 < low < high < 3 for low, *_, high in curve.quantiles)
    assert max(curve.slope) == 0.25


def test_an_untrained_network_guesses() -> None:
    with seeded(0):
        assert accuracy(deep_sigmoid.build()) < 0.25
