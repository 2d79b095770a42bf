"""Stacks: the same initial values as alone, the same training up to rounding, no disturbance between networks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from photic.lab.datasets.digits import batches, digits
from photic.lab.stacks import Optimizer, Plain, accuracies, initial, make_optimizer, module, train


def network(seed: int, **changes: object) -> Plain:
    settings = {
        "activation": "tanh",
        "depth": 4,
        "width": 16,
        "inputs": 64,
        "outputs": 10,
        "weight_variance": 1.5,
        "seed": seed,
    }
    return Plain(**{**settings, **changes})  # type: ignore[arg-type]


def alone(net: Plain, steps: int) -> list[float]:
    """Train one network the ordinary way: nn.Sequential, F.cross_entropy, torch.optim."""
    model = module(net)
    optimizer = make_optimizer(net, model.parameters())
    losses: list[float] = []
    for x, y in batches(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_a_stack_trains_each_network_as_if_it_were_alone(activation: str, optimizer: Optimizer) -> None:
    """The order of sums differs: products of 64 terms round to 64 x 2^-24 = 4e-6 of their size at worst. Small steps
    carry that through 30 updates without amplifying it; a hundred times as much is allowed."""
    rate = 1e-3 if optimizer == "adam" else 0.02
    nets = [
        network(
            seed,
            activation=activation,
            optimizer=optimizer,
            learning_rate=rate,
            weight_variance=0.5 + seed,
            bias_variance=0.05,
        )
        for seed in range(5)
    ]
    together = train(nets, batches(30)).losses
    for net, losses in zip(nets, together, strict=True):
        assert torch.allclose(losses, torch.tensor(alone(net, 30)), rtol=4e-4, atol=4e-4)


def test_a_stack_gives_the_verdict_of_training_alone() -> None:
    """Trained or not, from far below to far above the critical variance, after 150 steps: rounding that chaos amplifies
    changes a loss, not whether a network learned."""
    nets = [
        network(seed, depth=10, weight_variance=variance, bias_variance=0.05, learning_rate=0.02)
        for seed, variance in enumerate((0.25, 0.5, 1.0, 1.76, 3.0))
    ]
    images, labels = digits()[1]
    together = accuracies(nets, train(nets, batches(150)), (images, labels))
    verdicts: list[bool] = []
    for net, accuracy in zip(nets, together.tolist(), strict=True):
        model = module(net)
        optimizer = make_optimizer(net, model.parameters())
        for x, y in batches(150):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        own = float((model(images).argmax(1) == labels).double().mean())
        verdicts.append(own > 0.5)
        assert (accuracy > 0.5) == verdicts[-1], (net.weight_variance, accuracy, own)
    assert True in verdicts and False in verdicts


def test_a_network_has_the_same_initial_values_in_every_stack_and_as_a_module() -> None:
    net = network(3, bias_variance=0.1)
    weights, biases = initial(net)
    again = initial(net)
    parameters = list(module(net).parameters())
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        assert torch.equal(weight, again[0][layer]) and torch.equal(parameters[2 * layer], weight.T)
        assert torch.equal(parameters[2 * layer + 1], bias)
    assert weights[1].shape == (16, 16) and math.isclose(float(weights[0].var()) * 64, 1.5, rel_tol=0.2)
    orthogonal = initial(network(0, weights="orthogonal", weight_variance=4.0))[0][1]
    assert torch.allclose(orthogonal @ orthogonal.T, 4.0 * torch.eye(16), atol=1e-5)


def test_one_that_diverges_disturbs_no_other() -> None:
    calm = [network(seed, activation="relu", learning_rate=0.5) for seed in range(3)]
    wild = network(9, activation="relu", learning_rate=0.5, weight_variance=1e6)
    trained = train([*calm, wild], batches(20))
    expected = train([*calm, network(9, activation="relu", learning_rate=0.5)], batches(20))
    assert not trained.losses[3, -1].isfinite()
    assert torch.equal(trained.losses[:3], expected.losses[:3])
    assert float(accuracies([*calm, wild], trained, digits()[1])[3]) == 0.0


def test_networks_of_several_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        train([network(0), network(1, depth=5)], batches(1))
    with pytest.raises(ValueError, match="no activation"):
        module(network(0, activation="wobble"))


def test_nothing_is_drawn_from_torchs_own_generator() -> None:
    before = torch.get_rng_state()
    module(network(0))
    train([network(0)], batches(2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_digits_have_mean_square_one_and_no_image_on_both_sides() -> None:
    (images, labels), (held_back, answers) = digits()
    assert torch.allclose(images.square().mean(1), torch.ones(len(images)), atol=1e-5)
    assert len(images) == len(labels) == 1500 and len(held_back) == len(answers) == 297
    known = {tuple(image.tolist()) for image in images}
    assert not [image for image in held_back if tuple(image.tolist()) in known]
