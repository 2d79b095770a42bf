"""Remedies that change structure, recurrence or precision: the law that each keeps, and a network that it cures."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.lab.clinic.case import cases
from photic.lab.examples import deep_sigmoid
from photic.probes.audit import measure
from photic.remedies import choosing as module
from photic.remedies.carry_out import carry_out
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from photic.remedies.treat import Treatment, treat
from photic.remedies.treated import treated_setup
from tests import zoo

CATALOGUE = {remedy.name: remedy for remedy in remedies()}


def digits() -> list[Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return list(deep_sigmoid.batches())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prescribed(name: str, model: nn.Module, batch: Any, loss: Any) -> Prescription:
    given = CATALOGUE[name].prescribe(Graph.of(measure(model, batch, loss)))
    assert isinstance(given, Prescription), given
    return given


def only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = module.remedies_for
    monkeypatch.setattr(module, "remedies_for", lambda found: tuple(r for r in plain(found) if r.name == name))
    monkeypatch.setattr(module, "remedies", tuple)


def cured(name: str, monkeypatch: pytest.MonkeyPatch, *given: Any, **options: Any) -> Treatment:
    only(name, monkeypatch)
    treatment = treat(*given, **{"seeds": (0,), **options})
    assert treatment.remedy == name, treatment.report()
    assert treatment.patch or treatment.paste
    return treatment


def healed(treatment: Treatment) -> bool:
    """Whether something was found before, and nothing of it is left."""
    before, after = treatment.record.before, treatment.record.after
    sick = {finding.problem for finding in before.findings if finding.severity != "info"}
    left = set() if after is None else {finding.problem for finding in after.findings if finding.severity != "info"}
    return after is not None and bool(sick) and sick.isdisjoint(left)


@pytest.mark.parametrize(
    ("case", "remedy"),
    [
        ("forgetful-lstm", "forget-bias"),
        ("relu-recurrence-half", "identity-recurrence"),
        ("half-tiny-loss", "bfloat16"),
        pytest.param("post-norm-16-no-warm-up", "pre-norm", marks=pytest.mark.slow),
        pytest.param("post-norm-16-no-warm-up", "deepnorm", marks=pytest.mark.slow),
        ("residual-without-norm", "skip-init"),
        pytest.param("residual-without-norm", "rms-normalisation", marks=pytest.mark.slow),
        pytest.param("sigmoid-convolutions", "batch-normalisation", marks=pytest.mark.slow),
        ("neighbours-sixteen-hops", "initial-residual"),
    ],
)
def test_each_cures_a_network_of_the_clinic(case: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = next(one for one in cases() if one.name == case)
    made: list[Any] = []

    def build() -> nn.Module:
        made[:] = [chosen.build(torch.initial_seed() % 2**31)]
        return made[0].model

    setup = chosen.build(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        treatment = cured(
            remedy,
            monkeypatch,
            build,
            setup.batches,
            setup.loss,
            optimizer=lambda _: made[0].optimizer,
            steps=100,
            seeds=(0,),
        )
        assert treatment.accepted


class PostNorm(nn.Module):
    def __init__(self, depth: int = 4, width: int = 16) -> None:
        super().__init__()
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        for up, down, norm in zip(self.up, self.down, self.norms):
            x = norm(x + down(torch.relu(up(x))))
        return self.head(x)


def post_norm() -> tuple[PostNorm, Tensor, Tensor]:
    model = zoo.seeded(PostNorm)
    with torch.no_grad():
        for place, norm in enumerate(model.norms):  # weights of its own, so that a mix-up shows
            norm.weight.copy_(normal(16, seed=place) + 1.0)
    return model, normal(8, 16), torch.arange(8)


def test_pre_norm_takes_each_normalisation_with_its_weights_before_its_branch() -> None:
    model, x, y = post_norm()
    prescription = prescribed("pre-norm", model, (x, y), F.cross_entropy)
    h = x
    first, *rest = zip(model.up, model.down, model.norms)
    h = first[2](h + first[1](torch.relu(first[0](h))))  # the input itself is no site: the first block stays as it is
    for up, down, norm in rest[:-1]:
        h = h + down(torch.relu(up(norm(h))))
    up, down, norm = rest[-1]
    h = h + down(torch.relu(up(norm(h))))
    expected = model.head(F.layer_norm(h, (16,)))
    assert len(prescription.pre_norm) == 3
    carry_out(prescription, model, seed=0)
    torch.testing.assert_close(model(x), expected)
    torch.testing.assert_close(copy.deepcopy(model)(x), expected)


def test_a_pre_norm_encoder_of_torch_is_the_same_as_with_norm_first() -> None:
    def encoder(first: bool) -> nn.Module:
        layers = [nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=first) for _ in range(3)]
        return nn.Sequential(nn.Linear(8, 16), *layers, nn.Linear(16, 10))

    model, other = zoo.seeded(lambda: encoder(False)), zoo.seeded(lambda: encoder(True))
    x, y = normal(4, 5, 8), torch.zeros(4, 10)

    def loss(output: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(output.mean(1), targets)

    prescription = prescribed("pre-norm", model, (x, y), loss)
    carry_out(prescription, model, seed=0)
    h = other[0](x)
    for layer in list(other)[1:-1]:
        h = layer(h)
    torch.testing.assert_close(model(x), other[-1](F.layer_norm(h, (16,))))


def test_deepnorm_multiplies_the_stream_and_draws_the_branches() -> None:
    model, x, y = post_norm()
    prescription = prescribed("deepnorm", model, (x, y), F.cross_entropy)
    alpha = (2.0 * 1) ** 0.25  # three sums with a site below, a block has two
    carry_out(prescription, model, seed=0, batch=(x, y))
    h = x
    for place, (up, down, norm) in enumerate(zip(model.up, model.down, model.norms)):
        h = norm((alpha if place else 1.0) * h + down(torch.relu(up(h))))
    torch.testing.assert_close(model(x), model.head(h))


def test_batch_normalisation_is_that_of_torch_in_training_and_in_evaluation() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.sigmoid, 2, width=16))
    twin, norms = copy.deepcopy(model), [nn.BatchNorm1d(16, affine=False) for _ in range(2)]
    x, y = normal(32, 64), torch.arange(32) % 10
    carry_out(prescribed("batch-normalisation", model, (x, y), F.cross_entropy), model, seed=0)

    def expected(given: Tensor, training: bool) -> Tensor:
        for layer, norm in zip(twin.layers, norms):
            given = torch.sigmoid(norm.train(training)(layer(given)))
        return twin.head(given)

    for seed in range(3):
        torch.testing.assert_close(model(normal(32, 64, seed=seed)), expected(normal(32, 64, seed=seed), True))
    torch.testing.assert_close(model.eval()(x[:3]), expected(x[:3], False))
    torch.testing.assert_close(copy.deepcopy(model)(x[:3]), expected(x[:3], False))


def test_rms_normalisation_gives_unit_size_and_keeps_the_mean() -> None:
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        return torch.relu(x)

    model = zoo.seeded(lambda: zoo.Mlp(watched, 2, width=16))
    x, y = normal(8, 64), torch.arange(8)
    carry_out(prescribed("rms-normalisation", model, (x, y), F.cross_entropy), model, seed=0)
    model.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(x)
    before = model.layers[1](torch.relu(F.rms_norm(model.layers[0](x), (16,))))
    torch.testing.assert_close(seen[0], torch.relu(F.rms_norm(before, (16,))))


class Last(nn.Module):
    def __init__(self, kind: Callable[..., nn.Module] = nn.RNN, batch_first: bool = True) -> None:
        super().__init__()
        self.layer = kind(8, 32, batch_first=batch_first)
        self.head = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.layer(x)
        return self.head(output[:, -1] if self.layer.batch_first else output[-1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_truncation_keeps_the_values_and_ends_the_gradient(kind: type[nn.RNNBase]) -> None:
    model = zoo.seeded(lambda: Last(kind))
    x = normal(4, 22, 8).requires_grad_()
    plain = model(x)
    carry_out(Prescription(truncated=5), model, seed=0)
    value = model(x)
    torch.testing.assert_close(value, plain)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert bool((gradient[:, :20] == 0).all()) and bool((gradient[:, 20:] != 0).any())


@pytest.mark.slow
def test_truncation_cures_a_gradient_that_explodes_along_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        model = Last(lambda *given, **named: nn.RNN(*given, nonlinearity="relu", **named))
        nn.init.orthogonal_(model.layer.weight_hh_l0, gain=2.0)
        return model

    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(160):
        y = torch.randint(8, (32,), generator=generator)
        x = 0.01 * torch.randn(32, 40, 8, generator=generator)
        x[torch.arange(32), -2, y] += 1.0  # shown near the end
        batches.append((x, y))
    treatment = cured(
        "truncated-time", monkeypatch, build, batches, F.cross_entropy, optimizer=adam, steps=100, seeds=(0,)
    )
    assert treatment.accepted


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 5e-3)


def shown_first(length: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(200):
        y = torch.randint(8, (32,), generator=generator)
        x = 0.3 * torch.randn(32, length, 8, generator=generator)
        x[torch.arange(32), 0, y] += 2.0
        batches.append((x, y))
    return batches


@pytest.mark.slow
def test_a_gru_takes_the_place_of_a_plain_recurrence_and_learns_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        model = Last()
        nn.init.orthogonal_(model.layer.weight_hh_l0, gain=0.3)
        return model

    treatment = cured(
        "gated-recurrence", monkeypatch, build, shown_first(12), F.cross_entropy, optimizer=adam, steps=190, seeds=(0,)
    )
    model, _, _, optimizer = treatment.setup()
    assert isinstance(model.layer, nn.GRU)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters()}


class Bare(nn.Module):
    """Attention and feed-forward blocks without normalisation."""

    def __init__(self, depth: int = 10, width: int = 32, gain: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Linear(8, width)
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 10)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=(gain / layer.in_features) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for qkv, out, up, down in zip(self.qkv, self.out, self.up, self.down):
            q, k, v = qkv(x).chunk(3, -1)
            x = x + out((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v)
            x = x + down(torch.relu(up(x)))
        return self.head(x.mean(1))


def rows() -> list[Any]:
    return [(x.view(-1, 8, 8), y) for x, y in digits()]


@pytest.mark.slow
def test_t_fixup_cures_a_transformer_without_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured(
        "t-fixup", monkeypatch, lambda: Bare(depth=6, gain=4.0), rows(), F.cross_entropy, optimizer=adam, steps=100
    )
    assert treatment.accepted


@pytest.mark.slow
def test_a_quiet_output_cures_a_loud_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        model = zoo.Mlp(torch.tanh, 3, width=64, variance=1.0)
        nn.init.normal_(model.head.weight, std=4.0)
        return model

    treatment = cured("quiet-output", monkeypatch, build, digits(), F.cross_entropy, optimizer=sgd, steps=100)
    weight = treatment.setup().model.head.weight.detach()
    assert float(weight.var()) == pytest.approx(1.0 / 64**2, rel=0.3)  # 640 draws: deviation sqrt(2 / 640) = 6 %


class Judge(nn.Module):
    """A generator with the fixed discriminator that judges it; it is sure that what comes is false."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        self.real = nn.Parameter(torch.tensor([3.0, 3.0]), requires_grad=False)

    def forward(self, z: Tensor) -> Tensor:
        return 3.0 - 0.6 * (self.make(z) - self.real).square().sum(-1)


def minimax(logit: Tensor, _: Any) -> Tensor:
    return torch.log(1.0 - torch.sigmoid(logit)).mean()


def test_the_mirrored_loss_is_minus_log_p() -> None:
    model = zoo.seeded(Judge)
    z = normal(16, 4)
    material = Material.collect(model, [(z, z), (z, z)], minimax, sgd, steps=2)
    prescription = prescribed("mirrored-loss", model, (z, z), minimax)
    setup = treated_setup(material, prescription, seed=0)
    assert setup.loss is not None
    torch.testing.assert_close(setup.loss(setup.model(z), z), -F.logsigmoid(model(z)).mean())


def test_the_mirrored_loss_frees_a_generator_that_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [(normal(32, 4, seed=s), torch.zeros(32)) for s in range(120)]
    treatment = cured("mirrored-loss", monkeypatch, Judge, batches, minimax, optimizer=sgd, steps=100)
    assert treatment.accepted


REFUSED = (
    "pre-norm", "deepnorm", "t-fixup", "skip-init", "gated-recurrence", "truncated-time", "bfloat16", "forget-bias",
    "identity-recurrence", "mirrored-loss",
)  # fmt: skip


@pytest.mark.parametrize("remedy", REFUSED)
def test_where_there_is_nothing_to_change_they_say_so(remedy: str) -> None:
    model = zoo.seeded(lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    run = measure(model, (normal(16, 64), torch.arange(16) % 10), F.cross_entropy)
    reason = CATALOGUE[remedy].prescribe(Graph.of(run))
    assert isinstance(reason, str) and len(reason) > 15


@pytest.mark.parametrize("remedy", ["batch-normalisation", "rms-normalisation", "t-fixup", "skip-init"])
def test_a_normalised_network_is_not_normalised_again(remedy: str) -> None:
    model = zoo.seeded(
        lambda: nn.Sequential(
            nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
        )
    )
    run = measure(model, (normal(16, 64), torch.arange(16) % 10), F.cross_entropy)
    assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(run)), str)
