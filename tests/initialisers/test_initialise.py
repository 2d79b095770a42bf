"""Each scheme does by its law what its source says, on modules and on functional code."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.activations import find
from photic.initialisers.branches import deepnorm_skip
from photic.initialisers.initialise import initialise, names, summary
from photic.initialisers.roles import layers_of
from photic.initialisers.tailored import deep_kernel_shaping, looks_linear, tailored_leaky_relu, tailored_smooth
from photic.initialisers.width import mup_groups
from photic.theory.laws import relu_correlation
from tests.zoo import Mlp, Residual, seeded, vectors


def plain(activation: Callable[[], nn.Module], depth: int = 20, width: int = 256) -> nn.Sequential:
    hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), activation())]
    return nn.Sequential(*hidden, nn.Linear(width, width))


def transport(model: nn.Sequential, width: int = 256) -> float:
    """Log of |gradient at the first layer| / |at the last| for a random direction of the output.

    A squared loss would not do: its gradient contains the output itself, which goes along with the weights.
    """
    batch = seeded(lambda: (torch.randn(32, width), torch.randn(32, width)))
    run = photic.measure(model, batch, lambda output, direction: (output * direction).sum())
    top, first = run.reading(str(len(model) - 1)).gradient, run.steps[0].sites[0].gradient
    assert top is not None and first is not None
    return math.log(first.norm / top.norm)


@pytest.mark.parametrize(
    ("scheme", "activation", "kappa"),
    [
        ("he", nn.ReLU, 5.0),
        ("he", lambda: nn.LeakyReLU(0.25), 4.3),
        ("orthogonal", nn.ReLU, 5.0),
        ("critical", nn.Tanh, 2.0),
    ],
)
def test_gradients_keep_their_size_over_twenty_layers(
    scheme: str, activation: Callable[[], nn.Module], kappa: float
) -> None:
    """beta = 20 kappa / 256; the log of the norm lies at -beta / 4 with deviation sqrt(1.4 beta) / 2, mean of three seeds."""
    beta = 20 * kappa / 256
    logs = []
    for seed in range(3):
        model = plain(activation)
        initialise(model, scheme, seed=seed)
        logs.append(transport(model))
    decay = 0.5 * math.log(0.71 / 20) if activation is nn.Tanh else 0.0  # critical tanh decays as 0.71 / L
    spread = 3 * math.sqrt(1.4 * beta) / 2 / math.sqrt(3)
    assert np.mean(logs) == pytest.approx(-beta / 4 + decay, abs=spread + (0.5 if activation is nn.Tanh else 0.0))


def test_torchs_default_and_xavier_lose_what_he_keeps() -> None:
    model = plain(nn.ReLU)
    initialise(model, "xavier", seed=0)
    assert transport(model) == pytest.approx(-10 * math.log(2), abs=1.5)  # 1/sqrt(2) per layer


@pytest.mark.parametrize(
    ("scheme", "variance"), [("lecun", 1 / 64), ("xavier", 2 / (64 + 256)), ("he", 2 / 64), ("he_fan_out", 2 / 256)]
)
def test_variances(scheme: str, variance: float) -> None:
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    initialise(model, scheme, seed=0)
    assert float(model[0].weight.detach().double().var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / 64 / 256))
    assert float(model[0].bias.detach().abs().max()) == 0.0


def test_functional_activations_are_seen_through_a_batch_and_asked_for_without() -> None:
    model = seeded(lambda: Mlp(F.relu, 4))
    done = photic.initialise(model, "he", batch=vectors()[0], seed=0)
    assert float(model.layers[1].weight.detach().var()) == pytest.approx(2 / 128, rel=0.1)
    assert float(model.head.weight.detach().var()) == pytest.approx(1 / 128, rel=0.2)
    assert "layers.1.weight" in done.drawn
    with pytest.raises(ValueError, match="pass a batch"):
        photic.initialise(model, "he")


def test_the_same_seed_draws_the_same_weights_and_leaves_torchs_generator() -> None:
    models = [plain(nn.Tanh, 2) for _ in range(2)]
    state = torch.get_rng_state()
    for model in models:
        initialise(model, "orthogonal", seed=7)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters()))


def test_a_centred_logistic_network_is_a_tanh_network() -> None:
    """sigmoid(z) = 1/2 + tanh(z/2)/2: with the same draws the outputs agree to float rounding."""
    sigmoid = nn.Sequential(
        *[m for _ in range(6) for m in (nn.Linear(64, 64), nn.Sigmoid())], nn.Linear(64, 10)
    ).double()
    initialise(sigmoid, "centred_logistic", seed=0)
    x = seeded(lambda: torch.randn(8, 64, dtype=torch.float64))
    h: Tensor = x
    linear = [m for m in sigmoid if isinstance(m, nn.Linear)]
    for index, layer in enumerate(linear):
        # in units of tanh: first weights / 2, hidden / 4, last / 2
        scale = 0.5 if index in (0, len(linear) - 1) else 0.25
        h = h @ (layer.weight * scale).T
        h = torch.tanh(h) if index < len(linear) - 1 else h
    torch.testing.assert_close(sigmoid(x), h, rtol=1e-9, atol=1e-9)
    assert float((linear[1].weight / 4).detach().var()) == pytest.approx(1 / 64, rel=0.1)


@pytest.mark.parametrize("scheme", ["fixup", "skip_init"])
def test_blocks_start_as_the_identity(scheme: str) -> None:
    model = seeded(lambda: Residual(6, norm=False))
    initialise(model, scheme, batch=vectors()[0], seed=0)
    x = vectors()[0]
    stem = model.stem(x)
    assert all(float(layer.weight.detach().abs().max()) == 0.0 for layer in model.down)
    torch.testing.assert_close(model.head(stem), model(x))


def test_fixup_scales_the_first_layers_by_depth() -> None:
    for depth in (4, 16):
        model = seeded(lambda d=depth: Residual(d, norm=False))
        initialise(model, "fixup", batch=vectors()[0], seed=0)
        variance = float(model.up[0].weight.detach().var())
        assert variance == pytest.approx(2 / 64 / depth, rel=0.1)  # L^(-1/2) in the deviation for two layers


def test_gpt2_scales_branch_ends_by_the_number_of_branches() -> None:
    model = seeded(lambda: Residual(9, norm=True))
    initialise(model, "gpt2", batch=vectors()[0], seed=0)
    assert float(model.down[0].weight.detach().std()) == pytest.approx(0.02 / 3, rel=0.05)
    assert float(model.up[0].weight.detach().std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("scheme", "factor"), [("t_fixup", 0.67 * 3**-0.25), ("deepnorm", 24**-0.25)])
def test_transformers_scale_values_and_not_queries(scheme: str, factor: float) -> None:
    layer = nn.TransformerEncoderLayer(64, 4, 64, batch_first=True, dropout=0.0)
    model = nn.Sequential(nn.TransformerEncoder(layer, 3, enable_nested_tensor=False))
    initialise(model, scheme, batch=seeded(lambda: torch.randn(2, 5, 64)), seed=0)
    inner = model[0].layers[0]
    query, key, value = inner.self_attn.in_proj_weight.detach().split(64)
    base = math.sqrt(2 / 128)
    assert float(query.std()) == pytest.approx(base, rel=0.06)
    assert float(key.std()) == pytest.approx(base, rel=0.06)
    assert float(value.std()) == pytest.approx(base * factor, rel=0.06)
    assert float(inner.linear1.weight.detach().std()) == pytest.approx(base * factor, rel=0.06)


def test_deepnorms_skip() -> None:
    assert deepnorm_skip(8) == 2.0
    with pytest.raises(ValueError, match="at least one"):
        deepnorm_skip(0)


def test_a_plain_network_has_no_branches_to_scale() -> None:
    with pytest.raises(ValueError, match="no residual branch"):
        initialise(plain(nn.ReLU, 2), "fixup", batch=torch.randn(2, 256))


def test_lsuv_gives_every_layer_unit_deviation() -> None:
    model = plain(nn.GELU, 8, 64)
    x = seeded(lambda: torch.randn(256, 64))
    initialise(model, "lsuv", batch=x, seed=0)
    h = x
    for module in model:
        h = module(h)
        if isinstance(module, nn.Linear):
            assert float(h.detach().std()) == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ValueError, match="learns from data"):
        initialise(model, "lsuv")


def test_mup_makes_the_change_of_the_output_independent_of_the_width() -> None:
    """One Adam step changes the output by as much at width 64 as at 1024; by default it grows about with the width."""

    def change(width: int, *, mup: bool) -> float:
        changes = []
        for seed in range(4):
            model = seeded(
                lambda: nn.Sequential(
                    nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 8)
                ),
                seed,
            )
            initialise(model, "mup" if mup else "he", seed=seed)
            groups = (
                mup_groups(model, layers_of(model), rate=1e-3, base_width=64)
                if mup
                else [{"params": list(model.parameters()), "lr": 1e-3}]
            )
            optimizer = torch.optim.Adam(groups)
            x, y = seeded(lambda: (torch.randn(64, 32), torch.randn(64, 8)))
            before = model(x).detach()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
            changes.append(float((model(x).detach() - before).std()))
        return float(np.mean(changes))

    assert change(1024, mup=True) / change(64, mup=True) == pytest.approx(1.0, abs=0.35)
    assert change(1024, mup=False) / change(64, mup=False) > 4.0


def test_meta_init_lowers_the_gradient_quotient_and_grad_init_the_loss_after_a_step() -> None:
    x, y = seeded(lambda: (torch.randn(64, 16), torch.randint(4, (64,))))

    def built() -> nn.Sequential:
        return nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(16, 16), nn.Tanh())], nn.Linear(16, 4))

    def after_a_step(model: nn.Module) -> float:
        loss = F.cross_entropy(model(x), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients):
                parameter -= 0.1 * gradient
            return float(F.cross_entropy(model(x), y))

    def quotient(model: nn.Sequential) -> float:
        weights = [m.weight for m in model if isinstance(m, nn.Linear)]
        first = torch.autograd.grad(F.cross_entropy(model(x), y), weights, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first) / 2, weights)
        parts = [((g - h) / (g + 1e-5 * torch.where(g < 0, -1.0, 1.0)) - 1).abs().sum() for g, h in zip(first, second)]
        return float(sum(parts).detach() / sum(w.numel() for w in weights))

    plainly, meta, grad = built(), built(), built()
    for model, scheme in ((plainly, "he"), (meta, "meta_init"), (grad, "grad_init")):
        initialise(model, scheme, seed=0, batch=(x, y), loss=F.cross_entropy)
    assert quotient(meta) < 0.5 * quotient(plainly)
    assert after_a_step(grad) < after_a_step(plainly)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
def test_the_forget_gate_has_the_bias(kind: type[nn.Module]) -> None:
    model = nn.Sequential(kind(4, 8))
    initialise(model, "lstm_forget", bias=3.0)
    added = sum(p.detach() for name, p in model.named_parameters() if "bias" in name)
    assert isinstance(added, Tensor)
    assert torch.equal(added[8:16], torch.full((8,), 3.0))
    with pytest.raises(ValueError, match="holds no LSTM"):
        initialise(nn.Linear(2, 2), "lstm_forget")


def test_chrono_lets_the_gradient_live_a_hundred_steps() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(8, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)[0][-1]

    model = seeded(Last)
    batch = seeded(lambda: (torch.randn(100, 4, 8), torch.randn(4, 64)))

    def kept() -> float:
        times = photic.measure(model, batch, F.mse_loss).reading("layer").times
        assert times is not None
        return times.gradient_norms[0] / times.gradient_norms[-1]

    assert kept() < 1e-12
    initialise(model, "chrono", longest=100, seed=0)
    assert kept() > 1e-3


def test_recurrent_matrices_become_orthogonal_or_the_identity() -> None:
    model = seeded(lambda: nn.Sequential(nn.GRU(4, 8), nn.RNN(4, 8, nonlinearity="relu")))
    initialise(model, "orthogonal_recurrence", seed=0)
    for gate in model[0].weight_hh_l0.detach().split(8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8))
    initialise(model, "identity_recurrence")
    torch.testing.assert_close(model[1].weight_hh_l0.detach(), torch.eye(8))


def test_looks_linear_is_exactly_linear() -> None:
    generator = np.random.default_rng(0)
    w, x = generator.normal(size=(5, 7)), generator.normal(size=7)
    concatenated = np.concatenate((np.maximum(x, 0), np.maximum(-x, 0)))
    np.testing.assert_allclose(looks_linear(w) @ concatenated, w @ x)


@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu", "silu", "sigmoid"])
def test_deep_kernel_shaping_meets_its_four_conditions(name: str) -> None:
    activation = find(name)
    assert activation is not None
    shaped = deep_kernel_shaping(activation, depth=50)
    z = np.linspace(-12, 12, 400_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    value, slope = shaped.value(activation, z), shaped.slope(activation, z)
    assert np.trapezoid(density * value**2, z) == pytest.approx(1.0, abs=1e-6)  # Q(1) = 1
    assert np.trapezoid(density * value * slope * z, z) == pytest.approx(1.0, abs=1e-5)  # Q'(1) = 1
    assert np.trapezoid(density * value, z) == pytest.approx(0.0, abs=1e-7)  # C(0) = 0
    assert np.trapezoid(density * slope**2, z) ** 50 == pytest.approx(1.5, rel=1e-4)  # C'(1)^depth = zeta


@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu", "silu"])
def test_tailored_smooth_activations_meet_their_four_conditions(name: str) -> None:
    activation = find(name)
    assert activation is not None
    shaped = tailored_smooth(activation, depth=50)
    z = np.linspace(-12, 12, 400_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    value, slope = shaped.value(activation, z), shaped.slope(activation, z)
    bend = np.gradient(slope, z)
    assert np.trapezoid(density * value**2, z) == pytest.approx(1.0, abs=1e-5)  # Q(1) = 1
    assert np.trapezoid(density * value * slope * z, z) == pytest.approx(1.0, abs=1e-5)  # Q'(1) = 1
    assert np.trapezoid(density * slope**2, z) == pytest.approx(1.0, abs=1e-5)  # C'(1) = 1
    assert 50 * np.trapezoid(density * bend**2, z) == pytest.approx(0.3, rel=1e-3)  # C''(1) = tau / depth


def test_relu_cannot_be_shaped_but_tailored() -> None:
    relu = find("relu")
    assert relu is not None
    with pytest.raises(ValueError, match="tailored_leaky_relu"):
        deep_kernel_shaping(relu, depth=10)
    slope = tailored_leaky_relu(depth=50, eta=0.9)
    c = 0.0
    for _ in range(50):
        c = relu_correlation(c, slope=slope)
    assert c == pytest.approx(0.9, abs=1e-9)


def test_unknown_schemes_and_options_are_answered_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="did you mean he"):
        initialise(plain(nn.ReLU, 1), "hee")
    with pytest.raises(ValueError, match="no option 'longest'"):
        initialise(plain(nn.ReLU, 1), "he", longest=3)
    assert len(names()) >= 20
    assert all(summary(name) for name in names())


class Gated(nn.Module):
    """A gate made by one hidden ReLU unit, which the batch may leave off."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.squeeze, self.excite, self.head = (
            nn.Linear(4, 8),
            nn.Linear(8, 1),
            nn.Linear(1, 8),
            nn.Linear(8, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.head(hidden * torch.sigmoid(self.excite(torch.relu(self.squeeze(hidden.abs())))))


def test_lsuv_draws_anew_what_leaves_a_gate_off_and_refuses_a_network_that_is() -> None:
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    off = 0
    for seed in range(8):  # what is drawn first has one sign or the other
        model = Gated()
        initialise(model, "orthogonal", batch=x, seed=seed)
        off += not bool((model.squeeze(torch.tanh(model.first(x)).abs()) > 0.0).any())
        said = initialise(model, "lsuv", batch=x, seed=seed).drawn
        deviations = [float(line.rsplit(" ", 1)[1]) for line in said.values()]
        assert len(deviations) == 4 and all(abs(deviation - 1.0) < 0.1 for deviation in deviations)
    assert 0 < off < 8
    dead = nn.Sequential(nn.ReLU(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match="does not vary"):
        initialise(dead, "lsuv", batch=-x.abs(), seed=0)


class Sent(nn.Module):
    """Two layers, of which each row goes to one, by the sign of its first number."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above, self.head = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        made = torch.zeros(len(x), 8)
        for rows, layer in ((x[:, 0] < 0.0, self.below), (x[:, 0] >= 0.0, self.above)):
            made[rows] = layer(x[rows])
        return self.head(made)


def test_lsuv_leaves_a_layer_alone_that_gets_no_row() -> None:
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0] = x[:, 0].abs()
    model = Sent()
    said = initialise(model, "lsuv", batch=x, seed=0).drawn
    assert "no row of this batch" in said["below.weight"] and "deviation" in said["above.weight"]
    rows = model.below.weight.detach()
    assert torch.allclose(rows.T @ rows, torch.eye(4), atol=1e-5)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert abs(float(model(x).detach().std()) - 1.0) < 0.1
