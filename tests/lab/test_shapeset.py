"""Shapeset-3x2: shares of the classes, occlusion, contrast, and that a seed says all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from photic.lab.datasets.shapeset import CHANCE_ERROR, CLASSES, PROBABILITIES, shapeset, shapeset_parts


def test_classes_come_as_two_fair_draws_say_and_chance_errs_in_five_of_six() -> None:
    """A share p of n images deviates by sqrt(p (1 - p) / n); five of them for nine classes."""
    _, labels = shapeset(20_000, seed=3)
    shares = np.bincount(labels, minlength=9) / len(labels)
    assert len(CLASSES) == 9 and math.isclose(sum(PROBABILITIES), 1.0)
    assert math.isclose(CHANCE_ERROR, 5 / 6)
    for share, p in zip(shares, PROBABILITIES, strict=True):
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / len(labels))


def test_the_second_object_hides_at_most_half_of_the_first_and_only_in_pairs() -> None:
    _, labels, hidden = shapeset_parts(5000, seed=1)
    assert 0.4 < hidden.max() <= 0.5
    assert (hidden[labels < 3] == 0).all()
    assert (hidden[labels >= 3] > 0).mean() > 0.3


def test_a_single_shape_has_two_greys_apart_by_a_tenth_and_a_free_margin() -> None:
    images, labels, _ = shapeset_parts(500, seed=2)
    for image in images[labels < 3].reshape(-1, 32, 32):
        greys = np.unique(image)
        assert len(greys) == 2 and greys[1] - greys[0] >= 0.0999
        assert (image[0] == image[0, 0]).all() and (image[:, -1] == image[0, 0]).all()
        assert np.allclose(greys * 255, np.round(greys * 255), atol=1e-4)


def test_areas_are_those_of_the_shapes() -> None:
    """A regular n-gon of radius 1/2 has area n sin(2 pi / n) / 8; the axes are U(0.2, 0.8) of 32, so E product = 256.

    Pixels on the edge are counted by their centres, so the mean is unbiased; areas spread by about 0.55 of their mean.
    """
    images, labels, _ = shapeset_parts(30_000, seed=5)
    for kind, corners in enumerate((3, 4, 20)):
        chosen = images[labels == kind]
        background = chosen[:, :1]
        area = (chosen != background).sum(1)
        expected = corners * math.sin(2 * math.pi / corners) / 8 * 256
        assert abs(area.mean() / expected - 1) < 0.05, kind


def test_a_seed_gives_the_same_images_and_another_seed_others() -> None:
    first, labels = shapeset(50, seed=7)
    again, same = shapeset(50, seed=7)
    assert (first == again).all() and (labels == same).all()
    assert not (first == shapeset(50, seed=8)[0]).all()
    assert first.min() >= -1.0 and first.max() <= 1.0
    assert shapeset(50, seed=7, low=0.0)[0].min() >= 0.0
    with pytest.raises(ValueError, match="at least 0"):
        shapeset(-1)
