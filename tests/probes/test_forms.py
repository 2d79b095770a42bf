"""The forms in which people use networks: adversarial pairs, dataclasses, losses inside, scaled half precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from tests.zoo import Mlp, seeded, vectors


@dataclass
class Answer:
    logits: Tensor
    hidden: list[Tensor]
    loss: Tensor | None = None


class Typed(nn.Module):
    """Returns a dataclass of its own, with the loss inside when it is given targets."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Answer:
        hidden = torch.tanh(self.lower(x))
        logits = self.upper(hidden)
        return Answer(logits, [hidden], None if labels is None else F.cross_entropy(logits, labels))


def test_a_dataclass_is_read_and_a_loss_inside_needs_none_outside() -> None:
    model = seeded(Typed)
    x, y = seeded(lambda: (torch.randn(6, 8), torch.randint(3, (6,))))
    outside = photic.measure(model, (x, y), lambda answer, target: F.cross_entropy(answer.logits, target))
    inside = photic.measure(model, {"x": x, "labels": y})
    assert outside.loss == pytest.approx(inside.loss)
    for name in ("lower", "upper"):
        ours, theirs = outside.reading(name).gradient, inside.reading(name).gradient
        assert ours is not None and theirs is not None and ours.norm == pytest.approx(theirs.norm)


def test_a_generator_is_measured_through_its_critic() -> None:
    generator = seeded(lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8)))
    critic = seeded(lambda: nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)), 1)
    noise = seeded(lambda: torch.randn(32, 4))

    def fooled(fake: Tensor, _: Any) -> Tensor:
        return F.softplus(-critic(fake)).mean()

    run = photic.measure(generator, (noise, None), fooled)
    truth = torch.autograd.grad(fooled(generator(noise), None), generator[0].weight)[0]
    assert run.steps[0].parameters[0].gradient is not None
    assert run.steps[0].parameters[0].gradient.norm == pytest.approx(float(truth.double().norm()), rel=1e-6)
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert photic.diagnose(run).healthy

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.critic = generator, critic

        def forward(self, z: Tensor) -> Tensor:
            return self.critic(self.generator(z).detach())

    run = photic.measure(Pair(), (noise, None), lambda score, _: F.softplus(score).mean())
    norms = {p.name: r.gradient for p, r in zip(run.parameters, run.steps[0].parameters)}
    assert norms["generator.0.weight"] is None and norms["critic.0.weight"] is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_with_a_loss_scale_transport_is_that_of_float32(dtype: torch.dtype) -> None:
    model = seeded(lambda: Mlp(torch.tanh, 4, variance=1.0))
    x, y = vectors()

    def scaled(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output.float(), target) * 1024.0

    with torch.autocast("cpu", dtype=dtype):
        half = photic.measure(model, (x, y), scaled)
    whole = photic.measure(model, (x, y), F.cross_entropy)
    assert half.site("layers.0").dtype == str(dtype).removeprefix("torch.")

    def transport(run: Any) -> float:
        first, top = run.reading("layers.0").gradient, run.reading("head").gradient
        return math.log(first.norm / top.norm)

    # bfloat16 keeps 8 bits: relative error 2^-8 per operation, some ten operations, adding at random
    assert transport(half) == pytest.approx(transport(whole), abs=0.05)


def test_fp16_gradients_that_flush_to_zero_are_counted() -> None:
    model = seeded(lambda: Mlp(torch.tanh, 4, variance=1.0))
    x, y = vectors()
    with torch.autocast("cpu", dtype=torch.float16):
        run = photic.measure(model, (x, y), lambda output, target: F.cross_entropy(output.float(), target) * 1e-5)
    read = run.reading("layers.0").gradient
    assert read is not None
    assert read.zeros + read.subnormals > 0.5 * read.count
