"""Optimizers: rates that are too large or too small, parameters nobody moves, gradients nobody clears."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam, he, sgd, stack, xavier

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def _digits(seed: int, make: Make) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    return Setup(model, samples.digits(seed), F.cross_entropy, make(list(model.parameters())))


@case(
    "adam-rate-one", label="learning-rate-too-large", root="", steps=200, fixes=("lower-learning-rate",),
    source="TheDeepChecker, fault high learning rate",
    why="Adam moves every weight by about 1 per step; the weights are about 0.2.",
)  # fmt: skip
def adam_rate(seed: int, rate: float = 1.0) -> Setup:
    return _digits(seed, lambda held: torch.optim.Adam(held, lr=rate))


@case(
    "descent-rate-ten", label="learning-rate-too-large", root="", steps=200, fixes=("lower-learning-rate",),
    source="cs231n, notes on learning rates",
    why="Gradient descent with a rate of 10 jumps over the valley at each step.",
)  # fmt: skip
def descent_rate(seed: int, rate: float = 10.0) -> Setup:
    return _digits(seed, lambda held: torch.optim.SGD(held, lr=rate))


@case(
    "momentum-too-strong", label="learning-rate-too-large", root="", steps=200, fixes=("lower-learning-rate", "less momentum"),
    source="AUTOTRAINER, oscillating loss",
    why="A momentum of 0.99 multiplies a rate of 0.3 by a hundred.",
)  # fmt: skip
def heavy_momentum(seed: int, rate: float = 0.3) -> Setup:
    return _digits(seed, lambda held: torch.optim.SGD(held, lr=rate, momentum=0.99))


@case(
    "line-rate-beyond-curvature", label="diverging", root="", steps=200, fixes=("lower-learning-rate", "scale the input"),
    source="TheDeepChecker, program IPS-5",
    why="A straight line through points up to 8: the rate exceeds twice the inverse of the curvature, the error grows.",
)  # fmt: skip
def line(seed: int, rate: float = 0.1) -> Setup:
    x = torch.rand(256, 1) * 16 - 8
    y = 3 * x + 1 + torch.rand(256, 1) - 0.5
    return sgd(nn.Linear(1, 1), samples.stream(x, y, seed), F.mse_loss, rate=rate)


@case(
    "ascent", label="diverging", root="", steps=200, fixes=("descend: maximize=False",),
    source="TheDeepChecker, fault flipped sign",
    why="The optimizer climbs: the sign of the step is wrong.",
)  # fmt: skip
def ascent(seed: int, *, maximize: bool = True) -> Setup:
    return _digits(seed, lambda held: torch.optim.SGD(held, lr=0.1, maximize=maximize))


@case(
    "rate-typed-wrong", label="stalled-training", root="", steps=300, fixes=("higher learning rate",),
    source="TheDeepChecker, fault low learning rate",
    why="A rate of 1e-7: all is well but the steps.",
)  # fmt: skip
def tiny_rate(seed: int, rate: float = 1e-7) -> Setup:
    return adam(stack([10, 32, 32, 1], nn.ReLU, he), samples.diabetes(seed), F.mse_loss, rate=rate)


@case(
    "decay-too-strong", label="stalled-training", root="", steps=300, fixes=("less weight decay",),
    source="TheDeepChecker, fault over-regularised",
    why="A weight decay of 1 pulls the weights to 0 faster than the loss can push them out.",
)  # fmt: skip
def strong_decay(seed: int, decay: float = 1.0) -> Setup:
    return _digits(seed, lambda held: torch.optim.SGD(held, lr=0.1, weight_decay=decay))


def scaled_loss(factor: float) -> Callable[[Any, Any], Tensor]:
    """Return the cross entropy times a factor."""
    return lambda output, targets: factor * F.cross_entropy(output, targets)


@case(
    "loss-below-epsilon", label="frozen-by-epsilon", root="", steps=300, fixes=("smaller epsilon", "loss in larger units"),
    source="kingma2015, section 2; wortsman2023",
    why="A loss in units of 1e-11: the gradients lie below Adam's epsilon, which then sets the steps.",
)  # fmt: skip
def below_epsilon(seed: int, eps: float = 1e-8) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=eps)
    return Setup(model, samples.digits(seed), scaled_loss(1e-11), optimizer)


@case(
    "epsilon-of-one", label="frozen-by-epsilon", root="", steps=300, fixes=("smaller epsilon",),
    source="kingma2015, section 2",
    why="An epsilon of 1 is far above all gradients: Adam is gradient descent with a rate of 0.001.",
)  # fmt: skip
def large_epsilon(seed: int, eps: float = 1.0) -> Setup:
    return _digits(seed, lambda held: torch.optim.Adam(held, lr=1e-3, eps=eps))


@case(
    "no-epsilon", label="zero-epsilon", root="0", steps=100, fixes=("an epsilon of 1e-8",),
    source="google-deepmind/optax#1754",
    why="Some pixels are 0 in every image, so their weights' gradient is exactly 0, and 0/0 is nan.",
)  # fmt: skip
def no_epsilon(seed: int, eps: float = 0.0) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=eps)
    return Setup(model, samples.digit_pixels(seed), F.cross_entropy, optimizer)


class Forgetful(torch.optim.SGD):
    """Gradient descent in a loop where nobody clears the gradients."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing."""


@case(
    "gradients-never-cleared", label="never-zeroed-gradients", root="", steps=300, fixes=("zero_grad once a step",),
    source="paszke2017, gradients are accumulated",
    why="Each step follows the sum of all gradients so far.",
)  # fmt: skip
def never_cleared(seed: int, kind: type[torch.optim.SGD] = Forgetful) -> Setup:
    model = stack([30, 32, 1], nn.ReLU, he)
    batches = samples.cancer(seed, column=True)
    return Setup(model, batches, F.binary_cross_entropy_with_logits, kind(model.parameters(), lr=0.3))


@case(
    "optimizer-of-another-model", label="unowned-parameters", root="", steps=200, fixes=("make the optimizer after the model is final",),
    source="huggingface/accelerate#2665",
    why="The optimizer was made before the model was wrapped, here copied: it moves tensors nobody uses.",
)  # fmt: skip
def stale(seed: int, *, copied: bool = True) -> Setup:
    blocks = [nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
    model = nn.Sequential(*blocks, nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Setup(copy.deepcopy(model) if copied else model, samples.digits(seed), F.cross_entropy, optimizer)


@case(
    "narrow-layer-left-out", label="unowned-parameters", root="2", steps=300, fixes=("give the optimizer all parameters",),
    source="paszke2017; discuss.pytorch.org, thread 84911",
    why="The optimizer was given all layers but one by hand; that one, 2 units wide, keeps its random weights.",
)  # fmt: skip
def left_out(seed: int, *, complete: bool = False) -> Setup:
    model = stack([64, 64, 2, 64, 10], nn.Tanh, xavier)
    with torch.no_grad():
        narrow = model[2]
        assert isinstance(narrow, nn.Linear)
        narrow.weight[1] = narrow.weight[0]  # as good as one unit
        narrow.weight *= 0.02
    kept = [module for index, module in enumerate(model) if complete or index != 2]
    held = [parameter for module in kept for parameter in module.parameters()]
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.Adam(held, lr=3e-3))


@case(
    "frozen-head-owned", label="unowned-parameters", root="", steps=200, fixes=("unfreeze the head",),
    source="discuss.pytorch.org, thread 84911",
    why="All but the normalisation is frozen, and the optimizer holds the frozen head alone: nothing can move.",
)  # fmt: skip
def frozen_head(seed: int, *, unfrozen: bool = False) -> Setup:
    head = nn.Linear(64, 10).requires_grad_(unfrozen)
    body = nn.Sequential(nn.Linear(64, 64).requires_grad_(False), nn.BatchNorm1d(64), nn.ReLU())
    return Setup(
        nn.Sequential(body, head), samples.digits(seed), F.cross_entropy, torch.optim.SGD(head.parameters(), lr=0.1)
    )


class Clipping(torch.optim.SGD):
    """Gradient descent that clips the norm of all gradients to a limit, 1e-4, before each step."""

    limit = 1e-4

    def step(self, closure: Any = None) -> Any:
        """Clip, then descend."""
        held = [parameter for group in self.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(held, self.limit)
        return super().step(closure)


class GentleClipping(Clipping):
    """The same with a limit of 1."""

    limit = 1.0


@case(
    "clipped-to-nothing", label="useless-clipping", root="", steps=300, fixes=("a limit of a few times the usual norm",),
    source="Lightning-AI/pytorch-lightning#9599; pascanu2013, section 3.2",
    why="A limit of 1e-4 where the norm is about 1, as when scaled gradients are clipped: every step is cut.",
)  # fmt: skip
def clipped(seed: int, kind: type[torch.optim.SGD] = Clipping) -> Setup:
    return _digits(seed, lambda held: kind(held, lr=0.1))


@case(
    "transformer-rate", label="learning-rate-too-large", root="", steps=200, fixes=("lower-learning-rate", "warm-up"),
    source="huang2020, section 3",
    why="A rate of 3 with Adam in a small pre-norm transformer.",
)  # fmt: skip
def transformer_rate(seed: int, rate: float = 3.0) -> Setup:
    from photic.lab.clinic.cases_transformer import language_model

    model, batches, loss = language_model(seed, pre=True, depth=2)
    return adam(model, batches, loss, rate=rate)
