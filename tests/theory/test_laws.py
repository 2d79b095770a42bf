"""The closed laws, against simulated weights: widths and repetitions give the tolerances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from photic.activations import find
from photic.theory import attention, laws, memory, padding, spectra

RELU, TANH, GELU = (find(name) for name in ("relu", "tanh", "gelu"))
assert RELU is not None and TANH is not None and GELU is not None


def draw(generator: np.random.Generator, rows: int, columns: int, variance: float) -> np.ndarray:
    return generator.normal(0.0, math.sqrt(variance), (rows, columns))


@pytest.mark.parametrize("fan", ["in", "out"])
def test_fan_in_keeps_norms_and_fan_out_keeps_entries(fan: str) -> None:
    """20 repetitions of widths >= 100: relative error of a mean square about sqrt(5 / 100 / 20) = 0.05 per layer."""
    widths = [300, 1000, 200, 800, 400]
    generator = np.random.default_rng(0)
    entries, norms = [], []
    for _ in range(40):
        h, masks, weights = generator.normal(size=widths[0]), [], []
        for n, m in zip(widths, widths[1:]):
            w = draw(generator, m, n, 2.0 / (n if fan == "in" else m))
            z = w @ h
            masks.append(z > 0)
            weights.append(w)
            h = np.maximum(z, 0.0)
        delta = generator.normal(size=widths[-1]) * masks[-1]
        start = delta
        for w, mask in zip(reversed(weights[1:]), reversed(masks[:-1])):
            delta = (w.T @ delta) * mask
        entries.append(np.mean(delta**2) / np.mean(start**2))
        norms.append(np.sum(delta**2) / np.sum(start**2))
    predicted_entry = predicted_norm = 1.0
    for n, m in zip(widths[1:], widths[2:]):
        variance = 2.0 / (n if fan == "in" else m)
        predicted_entry *= laws.entry_gain(RELU, fan_out=m, variance=variance, length=1.0)
        predicted_norm *= laws.norm_gain(RELU, fan_in=n, variance=variance, length=1.0)
    assert np.mean(entries) == pytest.approx(predicted_entry, rel=0.12)
    assert np.mean(norms) == pytest.approx(predicted_norm, rel=0.12)


def test_residual_growth_and_pre_norm() -> None:
    assert laws.residual_growth(10) == 1024
    assert laws.residual_growth(10_000, branch_scale=0.01) == pytest.approx(math.e, rel=1e-3)
    assert laws.pre_norm_gradient(10) == pytest.approx(3.3166, rel=1e-4)


def test_normalisation_gains() -> None:
    assert laws.normalised_gain(RELU) == pytest.approx(1.0)
    assert laws.normalised_gain(TANH) == pytest.approx(1.0853, rel=1e-4)
    assert laws.normalised_gain(GELU) == pytest.approx(1.0354, rel=1e-4)
    assert laws.batch_norm_gain(RELU) == pytest.approx(math.pi / (math.pi - 1), rel=1e-3)
    assert laws.linear_batch_norm_gain(32) == pytest.approx(30 / 29)
    with pytest.raises(ValueError, match="at least 4"):
        laws.linear_batch_norm_gain(3)


def test_linear_batch_norm_explodes_as_the_law_says() -> None:
    """Mean over 30 layers of width 400 and 4 seeds; one layer's log has deviation about sqrt(2 / 400)."""
    import torch
    import torch.nn.functional as F

    gains = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(32, 400, generator=generator, dtype=torch.float64, requires_grad=True)
        h: torch.Tensor = x
        for _ in range(30):
            w = torch.randn(400, 400, generator=generator, dtype=torch.float64) / 20.0
            h = F.batch_norm(h @ w, None, None, training=True, eps=1e-12)
        direction = torch.randn(h.shape, generator=generator, dtype=torch.float64)
        (g,) = torch.autograd.grad((h * direction).sum(), x)
        gains.append(float(g.norm() / direction.norm()) ** (2 / 30))
    # the first of 30 layers projects a random direction onto 30 of 32 dimensions: (30/32)^(1/30) = 0.998
    assert np.mean(gains) == pytest.approx(laws.linear_batch_norm_gain(32) * (30 / 32) ** (1 / 30), rel=6e-3)


@pytest.mark.parametrize(("keep", "end"), [(0.99, 0.766), (0.95, 0.509), (0.9, 0.356), (0.5, 0.048)])
def test_dropout_lets_equal_inputs_drift_apart(keep: float, end: float) -> None:
    q, c = 1.0, 1.0
    for _ in range(400):
        q = laws.dropout_length(TANH, weight_variance=1.76095, bias_variance=0.05, keep=keep, length=q)
    for _ in range(200):
        c = laws.dropout_correlation(
            TANH, weight_variance=1.76095, bias_variance=0.05, keep=keep, length=q, correlation=c
        )
    assert c == pytest.approx(end, abs=2e-3)


def test_relu_correlations_converge_as_an_inverse_square() -> None:
    c = 0.0
    for _ in range(1000):
        c = laws.relu_correlation(c)
    assert (1 - c) * 2 * 1000**2 / (9 * math.pi**2) == pytest.approx(0.97, abs=0.01)


@pytest.mark.parametrize(("depth", "value"), [(1, 0.5), (2, 0.30), (5, 0.105), (10, 0.034), (20, 0.0082), (50, 0.0009)])
def test_gradients_of_he_relu_networks_shatter(depth: int, value: float) -> None:
    assert laws.shattering(depth) == pytest.approx(value, rel=0.03)


def test_shattering_is_seen_in_a_network() -> None:
    """Width 500, 12 seeds, 5 layers: the cosine of two gradients has deviation about 1/sqrt(500 x 12) = 0.013."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(12):
        h = np.linalg.qr(generator.normal(size=(500, 2)))[0].T * math.sqrt(500)
        weights, masks = [], []
        for _ in range(5):
            w = draw(generator, 500, 500, 2 / 500)
            z = h @ w.T
            weights.append(w)
            masks.append(z > 0)
            h = np.maximum(z, 0)
        delta = np.repeat(generator.normal(size=(1, 500)), 2, axis=0)
        for w, mask in zip(reversed(weights), reversed(masks)):
            delta = (delta * mask) @ w
        found.append(np.sum(delta[0] * delta[1]) / np.linalg.norm(delta[0]) / np.linalg.norm(delta[1]))
    assert np.mean(found) == pytest.approx(laws.shattering(5), abs=0.04)


@pytest.mark.parametrize(("depth", "edge"), [(1, 4.0), (5, 14.93), (20, 55.7)])
def test_the_largest_singular_value_of_gaussian_products(depth: int, edge: float) -> None:
    assert spectra.gaussian_product_edge(depth) == pytest.approx(edge, rel=1e-3)


def test_singular_values_of_gaussian_products() -> None:
    """n = 400: the edge fluctuates by n^(-2/3) = 2 %, and lies below its limit by about as much."""
    generator = np.random.default_rng(0)
    product = np.eye(400)
    for _ in range(5):
        product = draw(generator, 400, 400, 1 / 400) @ product
    squares = np.linalg.svd(product, compute_uv=False) ** 2
    assert squares[0] == pytest.approx(spectra.gaussian_product_edge(5), rel=0.1)
    assert squares.mean() == pytest.approx(1.0, rel=0.1)
    assert squares.var() == pytest.approx(5.0, rel=0.2)  # a linear network: mu_2 = mu_1 = 1, so L
    one = np.linalg.svd(draw(generator, 400, 400, 1 / 400), compute_uv=False)
    assert one.mean() == pytest.approx(spectra.quarter_circle_mean(), rel=0.01)
    assert np.exp(np.log(one).mean()) == pytest.approx(math.exp(-0.5), rel=0.02)


def test_no_weights_make_relu_isometric_but_orthogonal_ones_nearly_do_so_for_small_tanh() -> None:
    spread = spectra.squared_singular_value_variance
    assert spread(RELU, length=1.0, depth=20, orthogonal=True) == pytest.approx(20.0)
    assert spread(TANH, length=0.01, depth=20, orthogonal=True) < 0.02
    assert spread(TANH, length=0.01, depth=20, orthogonal=False) == pytest.approx(20.0, rel=0.01)


def test_the_spread_of_tanh_jacobians_is_the_law() -> None:
    """Orthogonal weights of width 300 at q = 0.1, 4 layers: mean-field takes q as equal in all layers."""
    generator = np.random.default_rng(3)
    q = 0.1
    jacobian = np.eye(300)
    for _ in range(4):
        z = generator.normal(0.0, math.sqrt(q), 300)
        orthogonal = np.linalg.qr(generator.normal(size=(300, 300)))[0]
        jacobian = (1 - np.tanh(z) ** 2)[:, None] * orthogonal @ jacobian
    squares = np.linalg.svd(jacobian, compute_uv=False) ** 2
    law = spectra.squared_singular_value_variance(TANH, length=q, depth=4, orthogonal=True)
    assert (squares / squares.mean()).var() == pytest.approx(law, rel=0.25)


def test_padding_loses_at_the_border() -> None:
    assert padding.over_depth(padding.Taps(16, 3, padding=1), depth=1) == pytest.approx(((16 - 2 / 3) / 16) ** 2)
    assert padding.over_depth(padding.Taps(4, 3, padding=1), depth=1) == pytest.approx(0.694, abs=1e-3)
    deep = padding.over_depth(padding.Taps(16, 3, padding=1), depth=200)
    deeper = padding.over_depth(padding.Taps(16, 3, padding=1), depth=201)
    assert deeper / deep == pytest.approx(((1 + 2 * math.cos(math.pi / 17)) / 3) ** 2, rel=1e-9)
    assert math.sqrt(padding.over_depth(padding.Taps(16, 3, padding=1), depth=28)) == pytest.approx(0.627, abs=2e-3)


def test_without_padding_nothing_is_lost_forward_and_the_border_is_read_less_backward() -> None:
    factor, shape = padding.forward((), [padding.Taps(10, 3)])
    assert (factor, shape[0].size) == (pytest.approx(1.0), 8)
    factor, shape = padding.backward((), [padding.Taps(10, 3)])
    assert factor == pytest.approx(1.0)
    assert shape[0][0] < shape[0][5]
    with pytest.raises(ValueError, match="does not fit"):
        padding.box(padding.Taps(2, 5))


def test_memory_of_gated_cells() -> None:
    assert memory.forget_retention(0.0, steps=100) == pytest.approx(7.9e-31, rel=0.01)
    assert memory.forget_retention(3.0, steps=100) == pytest.approx(7.8e-3, rel=0.01)
    assert memory.memory_time(3.0) == pytest.approx(math.exp(3) + 0.5, rel=1e-2)
    low, high = memory.chrono_bias(100)
    assert memory.memory_time(high) == pytest.approx(99.5, rel=1e-3)
    assert memory.memory_time(low) == pytest.approx(1 / math.log(2))


def test_torchs_default_recurrent_matrix() -> None:
    generator = np.random.default_rng(0)
    w = generator.uniform(-1, 1, (400, 400)) / 20.0
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(memory.uniform_spectral_radius(400), rel=0.05)
    assert np.linalg.svd(w, compute_uv=False)[0] == pytest.approx(2 * memory.uniform_spectral_radius(400), rel=0.05)
    assert memory.vanishes_for_certain(TANH, largest_singular_value=0.99)
    assert not memory.vanishes_for_certain(TANH, largest_singular_value=1.15)


@pytest.mark.parametrize("variance", [0.0, 0.25, 1.0])
def test_attention_makes_tokens_alike(variance: float) -> None:
    """512 tokens of dimension 256, normal scores: the concentration fluctuates by sqrt(Var a^2 / T), below 6 %."""
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(512, 256))
    scores = generator.normal(0.0, math.sqrt(variance), (512, 512))
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.mean(np.sum(weights**2, 1)) == pytest.approx(
        attention.concentration(tokens=512, score_variance=variance), rel=0.06
    )
    out = weights @ tokens
    unit = out / np.linalg.norm(out, axis=1, keepdims=True)
    cosine = (np.sum(unit @ unit.T) - 512) / 512 / 511
    assert cosine == pytest.approx(attention.token_cosine(0.0, tokens=512, score_variance=variance), abs=0.05)
    mean_square = attention.output_square(0.0, tokens=512, score_variance=variance)
    assert np.mean(out**2) == pytest.approx(mean_square, rel=0.3)  # of 256 numbers: three times sqrt(2 / 256)


def test_rank_collapse_is_fast_without_a_skip_and_slower_with_one() -> None:
    plain = skip = 0.05
    for _ in range(3):
        plain = attention.token_cosine(plain, tokens=32, score_variance=1.0)
        skip = attention.residual_token_cosine(skip, tokens=32, score_variance=1.0, branch_share=0.5)
    assert plain > 0.98
    assert skip < plain
