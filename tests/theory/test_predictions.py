"""Theory against measurement: whole networks within the band, closed forms against the literature's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ndtri
from torch import Tensor, nn

from photic.activations import find, names
from photic.probes.audit import measure
from photic.theory.finite_width import kappa
from photic.theory.maps import (
    correlation_map,
    critical_point,
    depth_scale,
    fixed_length,
    gradient_gain,
    length_map,
)
from photic.theory.moments import mean, mean_square, slope_square
from photic.theory.network import predict_run


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("q", [0.01, 1.0, 100.0])
def test_closed_forms_and_quadrature_agree_with_a_dense_trapezoid(name: str, q: float) -> None:
    activation = find(name)
    assert activation is not None
    z = np.linspace(-13.0, 13.0, 1_000_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    x = math.sqrt(q) * z
    value, slope = activation.value(x), activation.slope(x)
    # The trapezoid's own error is half a step times the integrand's jump at a kink: 1.3e-5 times its size.
    for ours, truth in (
        (mean(activation, variance=q).value, np.trapezoid(density * value, z)),
        (mean_square(activation, variance=q).value, np.trapezoid(density * value**2, z)),
        (slope_square(activation, variance=q).value, np.trapezoid(density * slope**2, z)),
    ):
        assert ours == pytest.approx(truth, rel=2e-5, abs=2e-5 * max(1.0, float(np.abs(value * density).max())))


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("q", [0.01, 0.1, 1.0, 10.0, 100.0])
def test_maps_agree_with_a_simulated_layer(name: str, q: float) -> None:
    """2^20 quantiles of the normal in place of random draws; they end at 4.9 deviations, beyond which lies 1e-6."""
    activation = find(name)
    assert activation is not None
    x = math.sqrt(q) * QUANTILES
    square, slope = np.mean(activation.value(x) ** 2), np.mean(activation.slope(x) ** 2)
    assert length_map(activation, weight_variance=1.0, bias_variance=0.0, length=q) == pytest.approx(
        square, rel=0.01, abs=1e-6
    )
    assert gradient_gain(activation, weight_variance=1.0, length=q) == pytest.approx(slope, rel=0.01, abs=1e-6)


QUANTILES = ndtri((np.arange(1 << 20) + 0.5) / (1 << 20))


@pytest.mark.parametrize("name", [n for n in names() if n not in ("identity", "clamp", "clamp_min", "clamp_max")])
def test_value_and_slope_are_those_of_torch(name: str) -> None:
    activation = find(name)
    function: Callable[..., torch.Tensor] | None = getattr(F, name, None) or getattr(torch, name, None)
    assert activation is not None and function is not None
    x = torch.linspace(-7.3, 7.1, 301, dtype=torch.float64, requires_grad=True)
    if name == "threshold":
        y = F.threshold(x, 0.0, 0.0)
    elif name == "prelu":
        y = F.prelu(x, torch.tensor([0.25], dtype=torch.float64))
    else:
        y = function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(activation.value(x.detach().numpy()), y.detach().numpy(), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(activation.slope(x.detach().numpy()), slope.numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "first", "square", "slope"),
    [  # moments under a standard normal; ReLU and ELU also by hand
        ("tanh", 0.0, 0.394294, 0.464403),
        ("sigmoid", 0.5, 0.293379, 0.044836),
        ("relu", 0.398942, 0.5, 0.5),
        ("gelu", 0.282095, 0.425221, 0.455851),
        ("silu", 0.206621, 0.355776, 0.379482),
        ("softplus", 0.806059, 0.921246, 0.293379),
    ],
)
def test_moments_at_unit_length(name: str, first: float, square: float, slope: float) -> None:
    activation = find(name)
    assert activation is not None
    assert mean(activation, variance=1.0).value == pytest.approx(first, abs=1e-6)
    assert mean_square(activation, variance=1.0).value == pytest.approx(square, abs=1e-6)
    assert slope_square(activation, variance=1.0).value == pytest.approx(slope, abs=1e-6)


def test_four_times_xavier_does_not_make_the_sigmoid_critical() -> None:
    sigmoid = find("sigmoid")
    assert sigmoid is not None
    q = fixed_length(sigmoid, weight_variance=16.0)
    assert q == pytest.approx(5.8554, abs=1e-3)
    assert gradient_gain(sigmoid, weight_variance=16.0, length=q) == pytest.approx(0.3989, abs=1e-4)
    weight, bias = critical_point(sigmoid, length=45.624)
    assert weight == pytest.approx(103.008, rel=1e-4) and bias == pytest.approx(0.0, abs=2e-2)


def test_the_folklore_gain_five_thirds_makes_tanh_explode() -> None:
    tanh = find("tanh")
    assert tanh is not None
    q = fixed_length(tanh, weight_variance=25.0 / 9.0)
    assert gradient_gain(tanh, weight_variance=25.0 / 9.0, length=q) == pytest.approx(1.2098, abs=1e-4)


def test_the_critical_line_of_tanh_passes_through_the_published_point() -> None:
    tanh = find("tanh")
    assert tanh is not None  # schoenholz2017, figure 1: sigma_b^2 = 0.05 meets sigma_w^2 = 1.76
    assert critical_point(tanh, length=0.5701) == pytest.approx((1.7610, 0.05), abs=1e-4)


def test_relu_maps_have_their_closed_forms() -> None:
    relu = find("relu")
    assert relu is not None
    assert length_map(relu, weight_variance=2.0, bias_variance=0.1, length=3.0) == pytest.approx(3.1)
    assert depth_scale(gradient_gain(relu, weight_variance=1.0, length=1.0)) == pytest.approx(1.0 / math.log(2.0))
    c = 0.5  # cho2009's arc-cosine kernel of degree one
    truth = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
    ours = correlation_map(relu, weight_variance=2.0, bias_variance=0.0, length=1.0, correlation=c)
    assert ours == pytest.approx(truth, abs=4e-4)  # a kink on a tensor grid of 288 x 288 nodes


def test_kappa_of_relu_is_five_and_of_a_linear_layer_two() -> None:
    relu, identity = find("relu"), find("identity")
    assert relu is not None and identity is not None
    assert kappa(relu, length=1.0) == pytest.approx(5.0)
    assert kappa(identity, length=1.0) == pytest.approx(2.0)


@pytest.mark.parametrize("name", names())
def test_kappa_is_a_number_wherever_float32_can_take_a_length(name: str) -> None:
    activation = find(name)
    assert activation is not None
    for power in range(-80, 78):
        assert math.isfinite(kappa(activation, length=10.0**power)), power


def mlp(depth: int, width: int, activation: type[nn.Module], gain: float | None, seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Linear(64 if index == 0 else width, width), activation()]
        model = nn.Sequential(*layers, nn.Linear(width, 10))
        if gain is not None:
            for module in model:
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=gain / math.sqrt(module.in_features))
                    nn.init.zeros_(module.bias)
    return model


@pytest.mark.parametrize("width", [128, 1024])
@pytest.mark.parametrize(
    ("activation", "gain"),
    [(nn.Sigmoid, None), (nn.ReLU, None), (nn.ReLU, math.sqrt(2.0)), (nn.Tanh, 1.0), (nn.Tanh, None), (nn.SELU, 1.0)],
)
def test_measured_transport_lies_in_the_predicted_band(
    activation: type[nn.Module], gain: float | None, width: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(64, 64, generator=generator), torch.randint(10, (64,), generator=generator)
    outside = total = 0
    for seed in range(3):
        run = measure(mlp(12, width, activation, gain, seed), batch, F.cross_entropy)
        prediction = predict_run(run)
        top = run.reading(prediction.top).gradient
        assert top is not None
        for site in run.sites:
            read, expected = run.steps[0].sites[site.order].gradient, prediction.sites[site.order]
            if site.phase == "model" and expected.low is not None and expected.high is not None and read is not None:
                total += 1
                outside += not expected.low <= read.norm / top.norm <= expected.high
    # A band of three standard deviations leaves out 0.3 %; sites along one network move together, so allow one network in five.
    assert total >= 60 and outside <= 0.1 * total


def test_the_first_layers_gradient_of_a_default_sigmoid_network_is_predicted_within_a_fifth() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(64, 64, generator=generator), torch.randint(10, (64,), generator=generator)
    ratios = []
    for seed in range(5):
        run = measure(mlp(10, 256, nn.Sigmoid, None, seed), batch, F.cross_entropy)
        first, top = run.reading("0").gradient, run.reading("20").gradient
        expected = predict_run(run).sites[0].transport
        assert first is not None and top is not None and expected is not None
        ratios.append(math.log(first.norm / top.norm / expected))
    # Each log has deviation sqrt(10 * 2 / 256) / 2 = 0.14; the mean of five 0.06, three of them 0.19.
    assert abs(float(np.mean(ratios))) < 0.19


def test_batch_norm_makes_the_gradient_of_a_relu_network_grow_by_pi_over_pi_minus_one() -> None:
    layers: list[nn.Module] = [nn.Linear(64, 512)]
    torch.manual_seed(0)
    for _ in range(4):
        layers += [nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 512)]
    run = measure(nn.Sequential(*layers), (torch.randn(256, 64), torch.randn(256, 512)), F.mse_loss)
    prediction = predict_run(run)
    for index in (4, 7, 10):  # BatchNorm, ReLU and Linear of an inner block
        gains = [prediction.sites[i].gain or 0.0 for i in (index, index + 1, index - 1)]
        assert math.prod(gains) ** 2 == pytest.approx(math.pi / (math.pi - 1.0), rel=0.02)  # yang2019, ReLU


def test_what_theory_cannot_model_is_said_and_restarts_from_the_measured_signal() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    run = measure(model, (torch.randn(4, 8), torch.randint(2, (4,))), F.cross_entropy)
    softmax, after = predict_run(run).sites[1:3]
    assert "softmax" in softmax.not_predicted and softmax.signal_rms is None
    read = run.reading("2").signal
    assert read is not None and after.signal_rms == pytest.approx(read.rms, rel=0.5)


def padded(circular: bool, seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for index in range(16):
            mode = "circular" if circular else "zeros"
            conv = nn.Conv2d(
                3 if index == 0 else 64, 64, 3, padding=1, padding_mode=mode, stride=2 if index == 8 else 1
            )
            nn.init.kaiming_normal_(conv.weight)
            layers += [conv, nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 64, 10))


@pytest.mark.parametrize("circular", [False, True])
def test_convolutions_with_padding_and_stride_lie_in_the_band(circular: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(4, 3, 16, 16, generator=generator), torch.randint(10, (4,), generator=generator)
    logs = []
    for seed in range(3):
        run = measure(padded(circular, seed), batch, F.cross_entropy)
        prediction = predict_run(run)
        expected, top = prediction.sites[0 if not circular else 1], run.reading(prediction.top).gradient
        read = run.steps[0].sites[0 if not circular else 1].gradient
        assert None not in (expected.transport, expected.low, expected.high) and read is not None and top is not None
        assert (expected.low or 0) <= read.norm / top.norm <= (expected.high or 0)
        logs.append(math.log(read.norm / top.norm / (expected.transport or 1)))
    # beta = 16 x 5 / 576 = 0.14: the log of the norm deviates by sqrt(0.14) / 2 = 0.19; three of a mean of three: 0.32.
    assert abs(float(np.mean(logs))) < 0.32


class Gated(nn.Module):
    """SwiGLU blocks: a product of two independent signals."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(64, width), nn.Linear(64, width), nn.Linear(width, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.down(F.silu(self.gate(x)) * self.up(x)))


def test_a_gate_multiplies_second_moments_and_a_swish_by_hand_is_not_mistaken_for_one() -> None:
    torch.manual_seed(0)
    run = measure(Gated(), (torch.randn(64, 64), torch.randint(10, (64,))), F.cross_entropy)
    prediction = predict_run(run)
    product = run.site("/mul#1").order
    read, expected = run.steps[0].sites[product], prediction.sites[product]
    assert read.signal is not None and expected.signal_rms == pytest.approx(read.signal.rms, rel=0.1)
    assert expected.gain == pytest.approx(read.gain, rel=0.1)

    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = nn.Linear(8, 64), nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            z = self.inner(x)
            return self.head(z * torch.sigmoid(z))

    run = measure(Swish(), (torch.randn(16, 8), torch.randint(2, (16,))), F.cross_entropy)
    assert "not independent" in predict_run(run).sites[run.site("/mul#1").order].not_predicted


def test_gradients_through_pooling_follow_exactly() -> None:
    class Pools(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(self.conv(x), 2)
            x = F.avg_pool2d(x, 2)
            return self.head(x.mean((2, 3)))

    run = measure(Pools(), (torch.randn(4, 3, 16, 16), torch.randint(4, (4,))), F.cross_entropy)
    prediction = predict_run(run)
    for name in ("/max_pool2d#1", "/avg_pool2d#1", "/mean#1"):
        assert prediction.sites[run.site(name).order].gain == pytest.approx(run.reading(name).gain, rel=1e-6)


def test_numbers_whose_squares_overflow_are_not_predicted_and_break_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e120)
    prediction = predict_run(
        measure(model, (torch.ones(3, 4, dtype=torch.float64), torch.zeros(3, 4).double()), F.mse_loss)
    )
    assert len(prediction.sites) >= 2
