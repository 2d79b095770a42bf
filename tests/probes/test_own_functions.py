"""Hand-written backwards beside the derivative of their forward, in whatever way they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.probes.own_functions import backwards
from photic.records.documents import from_plain, to_plain
from photic.records.runs import Run
from tests.zoo import seeded

Forward = Callable[..., Any]


def kept(ctx: Any, x: Tensor) -> None:
    if ctx is not None:
        ctx.save_for_backward(x)


def plainly(ctx: Any, x: Tensor) -> Tensor:
    kept(ctx, x)
    return x / (1.0 + x.abs())


def by_numpy(ctx: Any, x: Tensor) -> Tensor:
    kept(ctx, x)
    numbers = x.detach().numpy()
    return torch.from_numpy(numbers / (1.0 + np.abs(numbers)))


def unrecorded(ctx: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return plainly(ctx, x)


def in_place(ctx: Any, x: Tensor) -> Tensor:
    kept(ctx, x.clone())
    ctx.mark_dirty(x)
    return x.div_(1.0 + x.abs())


def two_results(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    return plainly(ctx, x), x > 0.0


def right(ctx: Any, g: Tensor, *_: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return g / (1.0 + x.abs()) ** 2


def wrong(ctx: Any, g: Tensor, *_: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return g * (1.0 + x.abs()) ** 2


def as_it_comes(_: Any, g: Tensor, *__: Tensor) -> Tensor:
    return 3.0 * g


def function(forward: Forward, backward: Forward, *, apart: bool = False) -> Any:
    parts: dict[str, Any] = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    if apart:
        parts["forward"] = staticmethod(lambda x: forward(None, x))
        parts["setup_context"] = staticmethod(lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    return type("Squash", (torch.autograd.Function,), parts)


class Net(nn.Module):
    """Layers with a function of the user's between them."""

    def __init__(self, kind: Any, depth: int = 1, width: int = 16, spread: float = 1.0) -> None:
        super().__init__()
        self.kind, self.enter, self.head = kind, nn.Linear(64, width), nn.Linear(width, 10)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for layer in self.layers:
            layer.weight.data *= spread  # pyright: ignore

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.enter, *self.layers):
            made = self.kind.apply(layer(x))
            x = made[0] if isinstance(made, tuple) else made
        return self.head(x)


BATCH = (torch.randn(32, 64, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10)


@pytest.mark.parametrize(
    ("forward", "apart"),
    [
        *((forward, False) for forward in (plainly, by_numpy, unrecorded, in_place, two_results)),
        *((forward, True) for forward in (plainly, by_numpy, unrecorded)),
    ],
)
def test_a_backward_that_is_no_derivative_is_told_from_one_that_is(forward: Forward, apart: bool) -> None:
    assert backwards(seeded(lambda: Net(function(forward, right, apart=apart))), BATCH) == ()
    (found,) = backwards(seeded(lambda: Net(function(forward, wrong, apart=apart))), BATCH)
    assert found.name == "Squash" and found.ratio > 1.5


def test_ratio_and_cosine_are_those_of_the_gradients() -> None:
    def turned(ctx: Any, g: Tensor) -> Tensor:
        return -2.0 * right(ctx, g)

    for forward, tolerance in ((plainly, 1e-5), (by_numpy, 1e-3)):
        (found,) = backwards(seeded(lambda forward=forward: Net(function(forward, turned))), BATCH)
        assert found.ratio == pytest.approx(2.0, rel=tolerance) and found.cosine == pytest.approx(-1.0, rel=tolerance)


FLAT: dict[str, Forward] = {
    "rounding": lambda ctx, x: x.round(),
    "threshold": lambda ctx, x: (x > 0.0).float(),
    "identity": lambda ctx, x: x.view_as(x),
    "sign by numpy": lambda ctx, x: torch.from_numpy(np.sign(x.detach().numpy())),
}


def dropped(ctx: Any, x: Tensor) -> Tensor:
    mask = (torch.rand(x.shape) > 0.3).float() / 0.7
    kept(ctx, mask)
    return x * mask


def same_mask(ctx: Any, g: Tensor) -> Tensor:
    return g * ctx.saved_tensors[0]


def as_it_came(_: Any, g: Tensor) -> Tensor:
    return g


def shaken(_: Any, g: Tensor) -> Tensor:
    return g * torch.rand(())


ON_PURPOSE: dict[str, tuple[Forward, Forward]] = {
    "dropout": (dropped, same_mask),
    "a limit, straight through": (lambda ctx, x: x.clamp(-0.2, 0.2), as_it_came),
    "ternary weights": (lambda ctx, x: (x / x.abs().mean()).round().clamp(-1, 1) * x.abs().mean(), as_it_came),
    "signs of a size": (lambda ctx, x: x.sign() * x.abs().mean(1, keepdim=True), as_it_comes),
    "shares drawn anew": (lambda ctx, x: x * torch.rand(()), shaken),
    "a mask for the forward alone": (lambda ctx, x: x * (x.abs() > 0.3), as_it_came),
}


@pytest.mark.parametrize("name", ON_PURPOSE)
def test_another_gradient_on_purpose_is_not_judged(name: str) -> None:
    forward, backward = ON_PURPOSE[name]
    assert backwards(seeded(lambda: Net(function(forward, backward))), BATCH) == ()


def test_what_is_not_finite_where_the_derivative_is_is_told() -> None:
    broken = function(lambda ctx, x: plainly(ctx, x), lambda ctx, g: g * torch.nan)
    (found,) = backwards(seeded(lambda: Net(broken)), BATCH)
    assert found.ratio == float("inf")


def test_gradients_that_a_backward_adds_are_taken_away_again() -> None:
    layer = seeded(lambda: nn.Linear(16, 16))

    def recomputed(ctx: Any, x: Tensor) -> Tensor:
        kept(ctx, x)
        with torch.no_grad():
            return layer(x)

    def again(ctx: Any, g: Tensor) -> Tensor | None:
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            torch.autograd.backward(layer(x), g)
        return x.grad

    model = seeded(lambda: Net(function(recomputed, again)))
    model.layer = layer
    layer.weight.grad = torch.ones(16, 16)
    assert backwards(model, BATCH) == ()
    assert torch.equal(layer.weight.grad, torch.ones(16, 16)) and layer.bias.grad is None


@pytest.mark.parametrize("name", FLAT)
def test_what_has_no_slope_or_changes_nothing_is_not_judged(name: str) -> None:
    assert backwards(seeded(lambda: Net(function(FLAT[name], as_it_comes))), BATCH) == ()


def test_asking_changes_neither_the_model_nor_the_generators() -> None:
    model = seeded(lambda: Net(function(plainly, wrong)))
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    backwards(model, BATCH)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_record_keeps_it_and_the_finding_says_it() -> None:
    checkup = photic.check(seeded(lambda: Net(function(plainly, wrong), 12, spread=2.0)), [BATCH] * 4, F.cross_entropy)
    (finding,) = [f for f in checkup.findings if f.problem == "exploding-gradient"]
    assert "written by hand, the backward of Squash" in finding.reason, finding.reason
    assert from_plain(to_plain(checkup.run), Run).backwards == checkup.run.backwards != ()


def test_what_a_forward_would_use_up_is_not_asked() -> None:
    model = seeded(lambda: Net(function(plainly, wrong)))
    model.scales = iter([1.0, 2.0])
    assert backwards(model, BATCH) == () and list(model.scales) == [1.0, 2.0]


def test_a_forward_that_edits_its_layers_leaves_them_as_they_were() -> None:
    class Edits(Net):
        def forward(self, x: Tensor) -> Tensor:
            self.head.register_forward_hook(lambda module, given, made: None)
            return super().forward(x)

    model = seeded(lambda: Edits(function(plainly, wrong)))
    assert backwards(model, BATCH) and not model.head._forward_hooks
