"""Per-example detail, the Jacobian and shattering, against autograd, linear algebra and the theory."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.probes.jacobian import jacobian
from photic.records.dissections import SiteDissection
from photic.theory.spectra import gaussian_product_edge
from tests.zoo import seeded


def of(found: tuple[SiteDissection, ...], name: str) -> SiteDissection:
    return next(site for site in found if site.site == name)


def test_the_jacobian_of_a_linear_map_is_its_matrix() -> None:
    matrix = seeded(lambda: torch.randn(7, 5, dtype=torch.float64))
    found = jacobian(lambda x: matrix @ x, torch.zeros(5, dtype=torch.float64), top=3, directions=400, steps=60)
    truth = torch.linalg.svdvals(matrix)
    assert found.largest == pytest.approx(truth[:3].tolist(), rel=1e-6)
    assert abs(found.mean_square - float(truth.square().mean())) < 4 * found.error
    assert (found.inputs, found.outputs) == (5, 7)


def test_products_of_gaussian_matrices_have_the_predicted_edge() -> None:
    """Width 200: the edge fluctuates by 200^(-2/3) = 3 % per layer's worth, below its limit."""
    model = nn.Sequential(*[nn.Linear(200, 200, bias=False) for _ in range(5)])
    seeded(lambda: [nn.init.normal_(layer.weight, std=200**-0.5) for layer in model])
    found = photic.dissect(model, (seeded(lambda: torch.randn(1, 200)), torch.zeros(1, 200)), F.mse_loss)
    assert found.jacobian is not None
    assert found.jacobian.largest[0] ** 2 == pytest.approx(gaussian_product_edge(5), rel=0.2)
    assert found.jacobian.mean_square == pytest.approx(1.0, rel=0.3)


def test_orthogonal_weights_keep_every_singular_value() -> None:
    model = nn.Sequential(*[nn.Linear(64, 64) for _ in range(10)])
    seeded(lambda: [nn.init.orthogonal_(layer.weight) for layer in model])
    found = photic.dissect(model, (seeded(lambda: torch.randn(4, 64)), torch.zeros(4, 64)), F.mse_loss)
    assert found.jacobian is not None
    assert found.jacobian.largest == pytest.approx([1.0] * 4, rel=1e-4)


def test_per_example_gradients_are_those_of_autograd() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)))
    x, y = seeded(lambda: (torch.randn(16, 6), torch.randint(3, (16,))))
    hidden = model[0](x)
    hidden.retain_grad()
    F.cross_entropy(model[2](model[1](hidden)), y).backward()
    assert hidden.grad is not None
    norms = hidden.grad.double().norm(dim=1)
    site = of(photic.dissect(model, (x, y), F.cross_entropy).sites, "0")
    assert site.gradient_median == pytest.approx(float(norms.quantile(0.5)), rel=1e-5)
    assert site.gradient_spread == pytest.approx(float(norms.quantile(0.95) / norms.quantile(0.05)), rel=1e-5)
    assert site.gradient_zeros == 0.0


def test_sigmoids_carry_mean_and_tanhs_variation() -> None:
    x, y = seeded(lambda: (torch.randn(64, 32), torch.randint(3, (64,))))
    shares = {}
    for activation in (nn.Sigmoid(), nn.Tanh()):
        model = seeded(lambda a=activation: nn.Sequential(nn.Linear(32, 64), a, nn.Linear(64, 3)))
        shares[type(activation)] = of(photic.dissect(model, (x, y), F.cross_entropy).sites, "1").mean_share
    assert shares[nn.Sigmoid] > 0.9
    assert shares[nn.Tanh] < 0.2


class Attending(nn.Module):
    def __init__(self, skip: bool, depth: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.MultiheadAttention(64, 1, batch_first=True) for _ in range(depth))
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, x, x, need_weights=False)[0] + (x if self.skip else 0.0)
        return x


def test_attention_without_a_skip_collapses_to_rank_one() -> None:
    x = seeded(lambda: torch.randn(4, 32, 64))
    collapsed = photic.dissect(seeded(lambda: Attending(False)), (x, torch.zeros_like(x)), F.mse_loss).sites
    kept = photic.dissect(seeded(lambda: Attending(True)), (x, torch.zeros_like(x)), F.mse_loss).sites
    assert (collapsed[-1].token_cosine or 0) > 0.99
    assert (kept[-1].token_cosine or 1) < 0.5
    assert (collapsed[-1].effective_rank or 99) < 5 < (kept[-1].effective_rank or 0)


@pytest.mark.slow
def test_gradients_of_neighbouring_inputs_shatter_with_depth_and_skips_help() -> None:
    class Net(nn.Module):
        def __init__(self, depth: int, skip: bool) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight)
            self.skip = skip

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = (x + 0.3 * layer(F.relu(x))) if self.skip else F.relu(layer(x))
            return x

    x = seeded(lambda: torch.randn(8, 64))
    near = {
        key: photic.dissect(seeded(lambda k=key: Net(*k)), (x, torch.zeros(8, 64)), F.mse_loss).shattering[1]
        for key in ((2, False), (40, False), (40, True))
    }
    assert near[2, False] > near[40, False] + 0.1
    assert near[40, True] > near[40, False] + 0.1


def test_tokens_have_no_jacobian_and_that_is_said() -> None:
    model = seeded(lambda: nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 3)))
    found = photic.dissect(model, (torch.randint(10, (4, 5)), torch.zeros(4, 5, 3)), F.mse_loss)
    assert found.jacobian is None
    assert "no derivative" in found.not_asked[0]
    assert of(found.sites, "0").token_cosine is not None


def test_the_model_is_left_as_it_was() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    photic.dissect(
        model, (torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(6, 2)), F.mse_loss
    )
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert math.isfinite(sum(float(p.detach().sum()) for p in model.parameters()))
