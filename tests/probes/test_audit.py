"""The audit sees every operation, measures exact gains, and leaves no trace."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.audit import look, measure
from tests import zoo


class DeepSigmoid(nn.Module):
    def __init__(self, depth: int = 10, width: int = 128) -> None:
        super().__init__()
        sizes = [64, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sigmoid(layer(x))  # the line of every sigmoid
        return self.head(x)


def digits_like(count: int = 32, features: int = 64, classes: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, features, generator=generator), torch.randint(classes, (count,), generator=generator)


def seeded(build: Any, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def hand_written_gains(model: DeepSigmoid, x: Tensor, y: Tensor) -> dict[str, float]:
    """Back-propagation through the network written out in float64, without autograd."""
    weights = [layer.weight.detach().double().numpy() for layer in [*model.layers, model.head]]
    biases = [layer.bias.detach().double().numpy() for layer in [*model.layers, model.head]]
    h = x.double().numpy()
    outputs = []
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        h = 1 / (1 + np.exp(-(h @ weight.T + bias)))
        outputs.append(h)
    logits = h @ weights[-1].T + biases[-1]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    delta = (p - np.eye(10)[y.numpy()]) / len(y)
    gains = {}
    for depth in range(len(outputs), 0, -1):
        back = delta @ weights[depth]
        name = "head" if depth == len(outputs) else f"layers.{depth}"
        gains[name] = np.linalg.norm(back) / np.linalg.norm(delta)
        s = outputs[depth - 1]
        delta = back * s * (1 - s)
        gains[f"/sigmoid#{depth}"] = np.linalg.norm(delta) / np.linalg.norm(back)
    return gains


def test_gains_equal_back_propagation_written_out_by_hand() -> None:
    model = seeded(DeepSigmoid)
    x, y = digits_like()
    run = measure(model, (x, y), F.cross_entropy)
    truth = hand_written_gains(model, x, y)
    assert len(truth) == 20
    for name, gain in truth.items():
        assert run.reading(name).gain == pytest.approx(gain, rel=1e-5), name


def test_functional_calls_are_sites_with_their_line() -> None:
    run = measure(seeded(DeepSigmoid), digits_like(), F.cross_entropy)
    sigmoids = [site for site in run.sites if site.operation == "sigmoid"]
    assert [site.name for site in sigmoids] == [f"/sigmoid#{k}" for k in range(1, 11)]
    line = DeepSigmoid.forward.__code__.co_firstlineno + 2
    assert {site.where.rsplit("/", 1)[-1] for site in sigmoids} == {f"test_audit.py:{line}"}
    assert [site.order for site in run.sites] == list(range(len(run.sites)))


def test_along_a_chain_the_gains_multiply_to_the_measured_ratio() -> None:
    run = measure(seeded(DeepSigmoid), digits_like(), F.cross_entropy)
    chain = [site for site in run.sites if site.phase == "model" and site.order > 0]
    product = math.prod(run.reading(site.name).gain or 0.0 for site in chain)
    first, last = run.reading("layers.0").gradient, run.reading("head").gradient
    assert first is not None and last is not None
    assert product == pytest.approx(first.norm / last.norm, rel=1e-9)


class Residual(nn.Module):
    """Convolutions with everything that breaks module hooks: in-place ReLU, `+=`, shared activation, dict output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        skip = self.relu(self.norm(self.first(x)))
        out = self.second(skip)
        out += skip
        return {"logits": self.head(self.relu(out).mean((2, 3)))}


def image_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 3, 8, 8, generator=generator), torch.randint(5, (4,), generator=generator)


def dict_loss(output: dict[str, Tensor], targets: Tensor) -> Tensor:
    return F.cross_entropy(output["logits"], targets)


def test_a_residual_sum_has_two_edges_and_each_has_its_own_gradient() -> None:
    model = seeded(Residual)
    run = measure(model, image_batch(), dict_loss)
    edges = {
        (run.sites[e.source].name if e.source >= 0 else "input", run.sites[e.target].name): reading
        for e, reading in zip(run.edges, run.steps[0].edges, strict=True)
    }
    skip, branch = edges["relu", "/add#1"], edges["second", "/add#1"]
    assert skip.gain == pytest.approx(1.0) and branch.gain == pytest.approx(1.0)
    # The whole gradient at the skip is the sum of two vectors: the law of cosines joins their norms.
    through = edges["relu", "second"]
    whole = run.reading("relu").gradient
    assert whole is not None and through.gradient_norm is not None and skip.gradient_norm is not None
    assert through.cosine is not None and skip.cosine is not None
    projected = through.gradient_norm * through.cosine + skip.gradient_norm * skip.cosine
    assert projected == pytest.approx(whole.norm, rel=1e-5)


def retained_gradients(model: Residual, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Gradients of intermediate values by autograd alone, on a twin without in-place operations."""
    kept: dict[str, Tensor] = {}
    x, y = batch
    kept["first"] = model.first(x)
    kept["norm"] = model.norm(kept["first"])
    kept["relu"] = torch.relu(kept["norm"])
    kept["second"] = model.second(kept["relu"])
    kept["/add#1"] = kept["second"] + kept["relu"]
    kept["head"] = model.head(torch.relu(kept["/add#1"]).mean((2, 3)))
    gradients = torch.autograd.grad(F.cross_entropy(kept["head"], y), list(kept.values()))
    return dict(zip(kept, gradients, strict=True))


def test_in_place_operations_do_not_disturb_the_gradients_that_are_read() -> None:
    batch = image_batch()
    run = measure(seeded(Residual), batch, dict_loss)
    for name, gradient in retained_gradients(seeded(Residual), batch).items():
        read = run.reading(name).gradient
        assert read is not None
        assert read.norm == pytest.approx(float(gradient.double().norm()), rel=1e-5), name


def test_no_trace_is_left() -> None:
    model = seeded(Residual)
    before = copy.deepcopy(model.state_dict())
    attributes = {name: dict(vars(module)) for name, module in model.named_modules()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    measure(model, image_batch(), dict_loss)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, module in model.named_modules():
        assert vars(module).keys() == attributes[name].keys()
        assert not module._forward_hooks and not module._forward_pre_hooks and not module._backward_hooks
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.overrides._get_current_function_mode_stack()
    assert torch.nn.functional.has_torch_function is torch.overrides.has_torch_function


@pytest.mark.parametrize("build", [DeepSigmoid, Residual])
def test_parameter_gradients_are_bit_identical_to_a_plain_pass(build: Any) -> None:
    batch = digits_like() if build is DeepSigmoid else image_batch()
    loss = F.cross_entropy if build is DeepSigmoid else dict_loss
    seen: dict[str, Tensor] = {}
    watched = seeded(build)
    for name, parameter in watched.named_parameters():
        parameter.register_hook(lambda gradient, name=name: seen.__setitem__(name, gradient.clone()))
    measure(watched, batch, loss)
    plain = seeded(build)
    loss(plain(batch[0]), batch[1]).backward()
    for name, parameter in plain.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(seen[name], parameter.grad), name


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.mul(x, 2.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * 2.0


class Odd(nn.Module):
    """A custom function, a cut, a module in a plain list, a module called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Linear(4, 4)
        self.upper = nn.Linear(4, 4)
        self.hidden = [nn.Linear(4, 4)]

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.lower(x)).detach()
        x = Double.apply(self.upper(self.upper(x)))
        return self.hidden[0](x)


def test_custom_functions_cuts_lists_and_repeated_modules_are_seen() -> None:
    run = measure(seeded(Odd), (torch.randn(3, 4), torch.randint(4, (3,))), F.cross_entropy)
    names = [site.name for site in run.sites]
    assert names[:6] == ["lower", "/tanh#1", "/detach#1", "upper", "upper#2", "/Double#1"]
    assert "hidden.0" in names
    assert run.reading("/Double#1").gain == pytest.approx(2.0)
    assert not run.site("/detach#1").differentiable
    assert run.reading("lower").gradient is None
    lower = next(i for i, parameter in enumerate(run.parameters) if parameter.name == "lower.weight")
    assert run.steps[0].parameters[lower].gradient is None
    assert any("hidden.0" in unseen.what for unseen in run.unseen)


def test_tied_weights_are_listed_once_with_their_aliases() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    run = measure(model, (torch.randn(3, 4), torch.randn(3, 4)), F.mse_loss)
    tied = next(parameter for parameter in run.parameters if parameter.name == "0.weight")
    assert tied.aliases == ("2.weight",) and tied.sites == (0, 2)


def test_a_forward_that_raises_gives_the_run_up_to_there() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(5, 2))
    run = measure(model, (torch.randn(3, 4), torch.randint(2, (3,))), F.cross_entropy)
    assert [site.name for site in run.sites] == ["0", "1"]
    assert run.stopped.startswith("RuntimeError in 2") and run.unseen[0].what == "2"


class Two(nn.Module):
    """Takes two inputs."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right


def test_a_call_that_does_not_fit_says_how_it_was_made_and_what_was_expected() -> None:
    one = torch.ones(3, 3, requires_grad=True)
    alone = measure(Two(), (one, one), F.mse_loss)
    assert "the model was called with a tensor (3, 3)" in alone.stopped and "((x1, x2), targets)" in alone.stopped
    assert not measure(Two(), ((one, one), one), F.mse_loss).stopped
    of_the_network = measure(nn.Linear(3, 3), one, lambda net, x: net(x).mean())
    assert "loss(output, targets) with a tensor (3, 3) and None" in of_the_network.stopped
    assert "photic run" in of_the_network.stopped
    inside = measure(nn.Linear(3, 3), (torch.ones(3, 4), one), F.mse_loss)
    assert inside.stopped and "called" not in inside.stopped


@pytest.mark.parametrize("scale", [1e-5, 65536.0])
def test_gains_do_not_depend_on_the_scale_of_the_loss(scale: float) -> None:
    plain = measure(seeded(DeepSigmoid), digits_like(), F.cross_entropy)
    scaled = measure(
        seeded(DeepSigmoid), digits_like(), lambda output, targets: scale * F.cross_entropy(output, targets)
    )
    for site in plain.sites[1:]:
        if site.phase == "model":
            assert scaled.reading(site.name).gain == pytest.approx(plain.reading(site.name).gain, rel=1e-5)


def test_gradients_far_below_float32_squares_are_measured_and_not_read_as_zero() -> None:
    model = seeded(lambda: DeepSigmoid(depth=30, width=32))
    read = measure(model, digits_like(), F.cross_entropy).reading("layers.0").gradient
    assert read is not None and 0.0 < read.norm < 1e-23


def test_a_forward_only_look_has_the_same_sites_and_signals_as_the_audit() -> None:
    model, batch = seeded(Residual), image_batch()
    audited, looked = measure(model, batch, dict_loss), look(model, batch)
    inside = [site for site in audited.sites if site.phase == "model"]
    assert [site.name for site in looked.sites] == [site.name for site in inside]
    for site in inside:
        assert looked.reading(site.name).signal == audited.reading(site.name).signal
        assert looked.reading(site.name).gradient is None


def test_weight_facts_are_those_of_the_matrix() -> None:
    layer = seeded(lambda: nn.Linear(50, 30))
    facts = measure(layer, (torch.randn(4, 50), torch.randn(4, 30)), F.mse_loss).steps[0].sites[0].weight
    assert facts is not None
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    assert (facts.fan_in, facts.fan_out) == (50, 30)
    assert facts.row_square_sum == pytest.approx(float(weight.square().sum(1).mean()))
    assert facts.row_sum_bias == pytest.approx(float((weight.sum(1) * bias).mean()))


def test_units_tell_the_dead_and_the_saturated() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 8)
            with torch.no_grad():
                self.linear.bias.copy_(torch.tensor([-99.0] * 6 + [99.0] * 2))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.linear(x)).sum(1, keepdim=True) + torch.tanh(self.linear(x)).sum(1, keepdim=True)

    run = measure(Half(), (torch.randn(16, 4), torch.randn(16, 1)), F.mse_loss)
    relu, tanh = run.reading("/relu#1").units, run.reading("/tanh#1").units
    assert relu is not None and tanh is not None
    assert relu.dead_fraction == pytest.approx(0.75)
    assert tanh.saturated_fraction == 1.0 and tanh.slope_rms < 1e-6


def test_a_loss_that_is_no_scalar_is_refused_with_its_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 2\)"):
        measure(nn.Linear(4, 2), (torch.randn(3, 4), torch.randn(3, 2)), lambda output, targets: output - targets)


def test_no_module_is_refused_with_what_was_given() -> None:
    with pytest.raises(TypeError, match="got function"):
        measure(digits_like, digits_like(), F.cross_entropy)  # pyright: ignore


def test_three_thousand_layers_are_audited() -> None:
    model = zoo.seeded(lambda: nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(3_000)]))
    for layer in model:
        nn.init.orthogonal_(layer.weight)
    run = measure(model, (torch.eye(4), torch.zeros(4, 4)), F.mse_loss)
    assert len(run.sites) == 3_001 and run.unseen == ()
    first, last = run.reading("0").gradient, run.reading("2999").gradient
    assert first is not None and last is not None
    assert first.norm == pytest.approx(last.norm, rel=1e-3)  # orthogonal: rounding alone, 3,000 times 6e-8 at random


def test_what_two_complex_branches_pass_back_is_read_with_both_parts() -> None:
    z = torch.randn(4, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(z[:1].clone())

        def forward(self, x: Tensor) -> Tensor:
            h = x * self.weight
            return ((h * 1j) + h * 2.0).abs().sum(1, keepdim=True)

    run = measure(Turned(), (z, torch.zeros(4, 1)), F.mse_loss)
    passed = zip(run.edges, run.steps[0].edges, strict=True)
    back = {run.sites[edge.target].name: reading.cosine for edge, reading in passed if edge.source == 0}
    # g (2 - i) in all: the parts -i g and 2 g lie at 1 and 2 over its length
    assert back == {"/mul#2": pytest.approx(5.0**-0.5, abs=1e-6), "/mul#3": pytest.approx(2.0 * 5.0**-0.5, abs=1e-6)}
