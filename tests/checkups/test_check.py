"""Check: a copy is trained, the user's things stay as they are, and what was assumed is said."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.check import check
from photic.checkups.setup import as_batches, copy_together
from tests import zoo


def test_nothing_of_the_users_changes() -> None:
    model = zoo.seeded(zoo.cnn)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    checkup = check(model, [zoo.images()] * 3, F.cross_entropy, optimizer, steps=6)
    assert len(checkup.run.losses) == 6 and len(checkup.run.steps) == 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert optimizer.state_dict()["state"] == {} and all(p.grad is None for p in model.parameters())


def test_the_losses_are_those_of_a_plain_loop() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.tanh, 3, variance=1.0))
    batches = [zoo.vectors(k) for k in range(4)]
    checkup = check(model, batches, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1), steps=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for (x, y), seen in zip(batches, checkup.run.losses, strict=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        assert float(loss.detach()) == seen  # bit for bit


def test_the_relative_update_is_the_one_that_was_made() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.tanh, 2, variance=1.0))
    checkup = check(model, [zoo.vectors()], F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.3), steps=2)
    F.cross_entropy(model(zoo.vectors()[0]), zoo.vectors()[1]).backward()
    for index, parameter in enumerate(checkup.run.parameters):
        weight = dict(model.named_parameters())[parameter.name]
        ratio = checkup.run.steps[0].parameters[index].update_ratio
        size = float(weight.detach().norm())
        if size > 0 and weight.grad is not None:
            assert ratio == pytest.approx(0.3 * float(weight.grad.norm()) / size, rel=1e-4)


def test_without_an_optimizer_the_assumption_is_said() -> None:
    checkup = check(zoo.seeded(lambda: nn.Linear(64, 10)), [zoo.vectors()], F.cross_entropy, steps=2)
    assert checkup.notes == ("no optimizer was given: the steps were made with SGD(lr=0.1)",)


def test_a_model_that_cannot_be_copied_is_audited_and_that_is_said() -> None:
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("I am one of a kind")

    checkup = check(zoo.seeded(lambda: Stubborn(64, 10)), [zoo.vectors()], F.cross_entropy)
    assert checkup.run.losses == () and "could not be copied" in checkup.notes[0]


def test_copies_share_what_the_originals_share() -> None:
    model = nn.Linear(2, 2)
    foreign = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([{"params": model.parameters()}, {"params": [foreign]}], lr=0.1)
    called: list[int] = []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    twin, _, twin_optimizer = copy_together(model, None, optimizer)
    assert twin_optimizer is not None
    held = [p for group in twin_optimizer.param_groups for p in group["params"]]
    assert held[0] is twin.weight and held[-1] is foreign
    twin_optimizer.step()
    assert called == [1]


def generator() -> Iterator[Any]:
    yield from [zoo.vectors(k) for k in range(3)]


@pytest.mark.parametrize("given", [[1, 2, 3], (lambda: iter([1, 2, 3])), (lambda: [1, 2, 3])])
def test_batches_may_be_read_again_and_again(given: Any) -> None:
    batches = as_batches(given)
    assert list(batches()) == list(batches()) == [1, 2, 3]


def test_a_generator_is_kept_as_it_runs_only_once() -> None:
    batches = as_batches(generator())
    assert len(list(batches())) == len(list(batches())) == 3


@pytest.mark.parametrize(
    ("given", "said"), [(torch.ones(2), "one Tensor"), (zoo.vectors(), "tuple of tensors"), (3, "int")]
)
def test_what_are_no_batches_is_refused(given: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        as_batches(given)


def test_the_public_names_are_there() -> None:
    model, batch = zoo.seeded(zoo.Mlp), zoo.vectors()
    run = photic.measure(model, batch, F.cross_entropy)
    prediction = photic.predict(model, batch)
    diagnosis = photic.diagnose(run, prediction)
    assert diagnosis.findings[0].problem == "vanishing-gradient" and not diagnosis.healthy
    assert [site.site for site in prediction.sites] == [site.name for site in run.sites if site.phase == "model"]
    with pytest.raises(AttributeError, match="has no attribute 'mesure'"):
        _ = photic.mesure  # pyright: ignore


def test_the_untrained_weights_are_asked_for_the_batches_of_the_last_steps() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.tanh, 3, variance=1.0))
    batches = [zoo.vectors(k) for k in range(20)]
    run = check(model, batches, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1)).run
    with torch.no_grad():
        values = [float(F.cross_entropy(model(x), y)) for x, y in batches[-5:]]
    assert run.untrained == pytest.approx(sum(values) / 5, rel=1e-6)


def test_batches_of_unlike_difficulty_do_not_look_like_learning() -> None:
    model = zoo.seeded(lambda: zoo.Mlp(torch.relu, 3, variance=2.0))
    batches = [(scale * x, y) for scale in (4.0, 1.0) for x, y in [zoo.vectors()] * 10]  # the loss of the first is high
    checkup = check(model, batches, F.cross_entropy, torch.optim.Adam(model.parameters(), 1e-8))
    assert checkup.run.losses[0] > 2 * checkup.run.losses[-1]
    assert "stalled-training" in [finding.problem for finding in checkup.findings]


class Spectral(nn.Module):
    """A layer in Fourier space, whose weights are complex."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.out = nn.Linear(1, 8), nn.Linear(8, 3)
        self.modes = nn.Parameter(torch.randn(8, 8, 6, dtype=torch.cfloat) / 8)

    def forward(self, x: Tensor) -> Tensor:
        modes = torch.fft.rfft(self.up(x).transpose(1, 2))
        mixed = torch.zeros_like(modes)
        mixed[:, :, :6] = torch.einsum("bix,iox->box", modes[:, :, :6], self.modes)
        return self.out(torch.relu(torch.fft.irfft(mixed, n=x.shape[1])).mean(-1))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_network_with_complex_weights_is_checked(kind: type[torch.optim.Optimizer]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Spectral()
        x = torch.randn(64, 20, 1)
    batch = (x, (x.squeeze(-1) * torch.arange(20).cos()).sum(1).gt(0).long())
    found = photic.check(model, [batch] * 4, F.cross_entropy, kind(model.parameters(), lr=1e-2))
    assert len(found.run.losses) >= 20 and found.run.losses[-1] < found.run.losses[0]
    (row,) = [index for index, p in enumerate(found.run.parameters) if p.name == "modes"]
    assert 0.0 < found.run.steps[0].parameters[row].update_ratio < 1.0


class Clipped(torch.optim.SGD):
    """Keeps the weights within limits, as a Wasserstein critic's optimizer does, and a lock, which cannot be copied."""

    def __init__(self, parameters: Any, model: nn.Module, limit: float) -> None:
        super().__init__(parameters, lr=0.1)
        self.model, self.limit, self.lock = model, limit, threading.Lock()

    def step(self, closure: Any = None) -> Any:
        with self.lock:
            loss = super().step(closure)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.clamp_(-self.limit, self.limit)
        return loss


def test_what_an_optimizer_of_the_users_keeps_is_copied_with_it() -> None:
    model = zoo.seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)))
    optimizer = Clipped(model.parameters(), model, 0.2)
    twin, _, copied = copy_together(model, None, optimizer)
    assert isinstance(copied, Clipped) and copied.model is twin and (copied.limit, copied.lock) == (0.2, optimizer.lock)
    draw = torch.Generator().manual_seed(0)
    batches = [(torch.randn(16, 8, generator=draw), torch.randint(2, (16,), generator=draw)) for _ in range(20)]
    for given in (optimizer, lambda m: Clipped(m.parameters(), m, 0.2)):  # type: ignore[union-attr]
        assert len(check(model, batches, F.cross_entropy, given, steps=12).run.losses) == 12


def test_a_scheduler_that_wraps_the_step_does_not_lead_the_copy_to_the_original() -> None:
    model = zoo.seeded(lambda: nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 10)
    twin, _, copied = copy_together(model, None, optimizer)
    assert copied is not None
    before = [parameter.clone() for parameter in model.parameters()]
    twin(torch.ones(4, 8)).sum().backward()
    copied.step()
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert not torch.equal(before[0], next(twin.parameters()))


def test_functions_that_were_put_on_a_layer_mean_the_copy_and_leave_the_original_as_it_is() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(8, 8)
    model = nn.Sequential(layer, nn.Tanh(), nn.Linear(8, 2))
    doubled = lambda: layer.weight * 2.0  # noqa: E731
    layer.forward = lambda x: F.linear(x, doubled(), layer.bias)  # pyright: ignore
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda *_: seen.append(layer.weight.detach().clone()))
    x = torch.randn(64, 8)
    batches = [(x, (x[:, 0] > 0).long())] * 8
    before = layer.weight.detach().clone()
    checkup = check(model, batches, F.cross_entropy, lambda model: torch.optim.Adam(model.parameters(), 1e-2))
    assert checkup.healthy, checkup.findings  # the optimizer moves the weights that are used
    assert torch.equal(layer.weight, before)
    assert any(not torch.equal(weight, before) for weight in seen)  # the hook looks at the copy's layer


def test_weights_of_the_copy_keep_the_hooks_on_their_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    pruned: Any = model[2]
    mask = torch.zeros_like(pruned.weight)
    pruned.weight.data.mul_(mask)
    pruned.weight.register_hook(lambda gradient: gradient * mask)
    x = torch.randn(64, 8)
    checkup = check(
        model, [(x, (x[:, 0] > 0).long())] * 8, F.cross_entropy, lambda m: torch.optim.Adam(m.parameters(), 1e-2)
    )
    after = checkup.run.steps[-1].parameters
    still = dict(zip((p.name for p in checkup.run.parameters), after, strict=True))["2.weight"]
    assert still.update_ratio == 0.0 and still.weight.rms == 0.0  # as in the user's training
    found = next(f for f in checkup.findings if f.problem == "idle-layer")
    assert "nothing is left" in found.reason and "2" in found.sites


def test_a_hook_on_a_gradient_stands_once_on_the_copy_whatever_the_optimizer_keeps() -> None:
    class Keeping(torch.optim.SGD):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, lr=0.1)
            self.first, self.second = [1], {"a": 2}

    model = nn.Linear(4, 2)
    model.weight.register_hook(lambda gradient: gradient * 2.0)
    twin, _, _ = copy_together(model, None, Keeping(model.parameters()))
    other: Any = twin
    for each in (model, other):
        each(torch.ones(3, 4)).sum().backward()
    assert torch.equal(model.weight.grad, other.weight.grad)  # pyright: ignore


def test_a_frozen_weight_with_a_hook_is_copied() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    frozen: Any = model[0].weight
    frozen.register_hook(lambda gradient: gradient * 0.0)
    frozen.requires_grad_(False)
    twin, _, _ = copy_together(model, None, None)
    assert torch.equal(next(twin.parameters()), frozen)
