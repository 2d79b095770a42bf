"""Fixed points, depth scales and the critical line, against numbers computed independently and against simulation."""

from __future__ import annotations

import math

import pytest

from photic.activations import find
from photic.activations.activation import Activation
from photic.theory.depth_scales import critical_at, fixed_point
from photic.theory.maps import correlation_map
from photic.theory.moments import length_slope, mean_square, pair_mean


def known(name: str, **settings: float) -> Activation:
    found = find(name, settings)
    assert found is not None
    return found


# (weight variance, xi_q, xi_c) of tanh at bias variance 0.05: adaptive quadrature of scipy, to the digits shown.
TANH = [
    (1.0, 1.75, 3.63), (1.3, 1.79, 7.83), (1.5, 1.68, 15.8), (1.7, 1.56, 74.9), (1.76, 1.52, 4912), (2.0, 1.39, 25.2),
    (2.5, 1.18, 11.8), (3.0, 1.04, 9.05), (4.0, 0.873, 6.98),
]  # fmt: skip


@pytest.mark.parametrize(("weight_variance", "length_scale", "correlation_scale"), TANH)
def test_depth_scales_of_tanh(weight_variance: float, length_scale: float, correlation_scale: float) -> None:
    point = fixed_point(known("tanh"), weight_variance=weight_variance, bias_variance=0.05)
    assert point.length_scale == pytest.approx(length_scale, rel=5e-3)
    assert point.correlation_scale == pytest.approx(correlation_scale, rel=5e-3)
    assert point.length_slope < 1.0
    assert point.phase == ("ordered" if weight_variance < 1.761 else "chaotic")
    assert (point.correlation == 1.0) == (point.phase == "ordered")


def test_in_the_ordered_phase_correlation_and_gradient_persist_equally_long() -> None:
    point = fixed_point(known("tanh"), weight_variance=1.4, bias_variance=0.05)
    assert point.correlation_scale == pytest.approx(point.gradient_scale)


# (bias variance, q*, weight variance) on the critical line.
CRITICAL = {
    "tanh": [
        (0.0, 0.0, 1.0),
        (0.01, 0.2733, 1.4242),
        (0.05, 0.5701, 1.76095),
        (0.5, 1.9710, 2.8432),
        (4.0, 7.9475, 5.4057),
    ],
    "erf": [(0.0, 0.0, math.pi / 4), (0.05, 0.5172, 1.3758), (1.0, 2.7449, 2.7184)],
    "softsign": [(0.0, 0.0, 1.0), (0.1, 0.6419, 3.6941), (1.0, 3.0983, 7.1151)],
    "hardtanh": [(0.0, 0.0, 1.0), (0.05, 0.4639, 1.1656), (1.0, 2.3879, 2.0728)],
    "sigmoid": [(0.0, 45.624, 103.008), (1.0, 47.800, 105.370)],
    "elu": [(0.0, 0.0, 1.0), (0.1, 2.2128, 1.6067)],
    "selu": [(0.05, 0.8270, 0.9017), (1.0, 8.3953, 1.3176)],
    "gelu": [(0.05, 0.7220, 2.3025)],
    "silu": [(0.05, 0.8266, 2.7286)],
}


@pytest.mark.parametrize("name", CRITICAL)
def test_the_critical_line(name: str) -> None:
    for bias_variance, length, weight_variance in CRITICAL[name]:
        point = critical_at(known(name), bias_variance=bias_variance)
        assert point is not None
        assert point.weight_variance == pytest.approx(weight_variance, rel=2e-4)
        assert point.length == pytest.approx(length, rel=6e-4)
        if length > 0.0:
            end = fixed_point(
                known(name), weight_variance=point.weight_variance, bias_variance=bias_variance, start=length
            )
            assert end.gain == pytest.approx(1.0, abs=1e-6) or not point.holds


def test_relu_has_one_critical_point_and_softplus_none() -> None:
    point = critical_at(known("relu"), bias_variance=0.0)
    assert point is not None
    assert point.weight_variance == pytest.approx(2.0)
    assert critical_at(known("relu"), bias_variance=0.1) is None
    assert critical_at(known("leaky_relu", negative_slope=0.2), bias_variance=0.0) == pytest.approx(
        (1.0, 2 / 1.04, 0.0, True)
    )
    assert critical_at(known("softplus"), bias_variance=0.0) is None


@pytest.mark.parametrize("name", ["gelu", "silu", "mish"])
def test_smooth_relatives_of_relu_have_no_stable_critical_length_near_one(name: str) -> None:
    for bias_variance in (0.0, 0.05):
        point = critical_at(known(name), bias_variance=bias_variance)
        assert point is not None
        assert not point.holds


@pytest.mark.parametrize(
    ("name", "slope"),
    [("tanh", 0.461), ("erf", 0.409), ("softsign", 0.477), ("hardtanh", 0.385), ("sigmoid", 0.106), ("elu", 0.891),
     ("selu", 0.783), ("gelu", 1.144), ("silu", 1.173), ("mish", 1.076)],
)  # fmt: skip
def test_slope_of_the_length_map_at_length_one(name: str, slope: float) -> None:
    activation = known(name)
    weight_variance = 1.0 / mean_square(activation, variance=1.0).value
    assert weight_variance * length_slope(activation, variance=1.0) == pytest.approx(slope, abs=6e-4)


@pytest.mark.parametrize("name", ["tanh", "gelu", "relu", "hardtanh"])
def test_the_slope_of_the_length_map_is_its_derivative(name: str) -> None:
    activation, h = known(name), 1e-4
    for q in (0.1, 1.0, 10.0):
        between = (
            mean_square(activation, variance=q * (1 + h)).value - mean_square(activation, variance=q * (1 - h)).value
        )
        assert length_slope(activation, variance=q) == pytest.approx(between / (2 * h * q), rel=1e-5)


@pytest.mark.parametrize("c", [-0.9, -0.3, 0.0, 0.5, 0.9, 0.99])
def test_pair_means_equal_the_closed_forms_of_relu_and_erf(c: float) -> None:
    relu = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi / 2
    assert pair_mean(known("relu").value, variance=1.0, correlation=c) == pytest.approx(relu, abs=2e-4)
    erf = 2 / math.pi * math.asin(2 * c / 3)
    assert pair_mean(known("erf").value, variance=1.0, correlation=c) == pytest.approx(erf, abs=1e-9)
    assert correlation_map(
        known("relu"), weight_variance=2.0, bias_variance=0.0, length=3.0, correlation=c
    ) == pytest.approx(2 * relu, abs=4e-4)


def test_sigmoid_times_four_is_not_critical_and_tanh_with_five_thirds_explodes() -> None:
    point = fixed_point(known("sigmoid"), weight_variance=16.0)
    assert (point.length, point.gain) == pytest.approx((5.855, 0.3989), rel=1e-3)
    point = fixed_point(known("tanh"), weight_variance=25 / 9)
    assert (point.length, point.gain) == pytest.approx((1.1785, 1.2098), rel=1e-3)


def test_where_signals_die_out_the_limit_is_told() -> None:
    point = fixed_point(known("relu"), weight_variance=1.0)
    assert (point.length, point.gain, point.phase) == (0.0, 0.5, "ordered")
    assert point.gradient_scale == pytest.approx(1 / math.log(2))
    assert math.isinf(fixed_point(known("relu"), weight_variance=3.0).length)
