"""Losses: outputs that a loss cannot move, terms that carry no gradient, and derivatives that are nan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam, he, normal, sgd, stack


@case(
    "double-softmax", label="loss-saturation", root="6", steps=300, fixes=("drop the softmax",),
    source="discuss.pytorch.org, thread 43814",
    why="A softmax in front of a cross entropy that has its own: the loss cannot fall below 1.46.",
)  # fmt: skip
def double_softmax(seed: int, last: Callable[[], nn.Module] = lambda: nn.Softmax(-1)) -> Setup:
    return sgd(nn.Sequential(*stack([64, 64, 64, 10], nn.ReLU), nn.Identity(), last()), samples.digits(seed), rate=0.05)


@case(
    "softmax-one-unit", label="loss-saturation", root="3", steps=300, fixes=("sigmoid in its place",),
    source="Stack Overflow 45337371, and six posts like it",
    why="A softmax over one unit is 1 whatever the unit says; all gradients are exactly 0.",
)  # fmt: skip
def softmax_one_unit(seed: int, last: Callable[[], nn.Module] = lambda: nn.Softmax(-1)) -> Setup:
    model = nn.Sequential(*stack([30, 32, 1], nn.ReLU), last())
    return adam(model, samples.cancer(seed, column=True), F.binary_cross_entropy, rate=1e-2)


@case(
    "softmax-one-unit-regression", label="loss-saturation", root="3", steps=300, fixes=("drop the softmax",),
    source="TheDeepChecker, fault softmax on one output",
    why="The same in a regression: the output is the constant 1.",
)  # fmt: skip
def softmax_regression(seed: int, last: Callable[[], nn.Module] = lambda: nn.Softmax(-1)) -> Setup:
    model = nn.Sequential(*stack([10, 64, 1], nn.ReLU), last())
    return adam(model, samples.diabetes(seed), F.mse_loss, rate=1e-2)


@case(
    "sigmoid-before-logits", label="loss-saturation", root="3", steps=300, fixes=("drop the sigmoid",),
    source="AmazingDD/daisyRec#15, UNet3plus#23",
    why="A sigmoid in front of a loss that expects logits: it sees 0 to 1 alone, and says yes to all.",
)  # fmt: skip
def sigmoid_before_logits(seed: int, last: Callable[[], nn.Module] = nn.Sigmoid) -> Setup:
    model = nn.Sequential(*stack([30, 32, 1], nn.ReLU), last())
    return adam(model, samples.cancer(seed, column=True), F.binary_cross_entropy_with_logits, rate=1e-2)


def squared_softmax(output: Tensor, targets: Tensor) -> Tensor:
    """Return the squared distance between softmax(output) and the one-hot target, summed over classes."""
    return (output.softmax(-1) - F.one_hot(targets, output.shape[-1])).square().sum(-1).mean()


@case(
    "squared-error-of-softmax", label="loss-saturation", root="", steps=300, fixes=("cross entropy", "smaller first weights"),
    source="Stack Overflow 34673164; lecun1998, section 4.4",
    why="Squared error behind a softmax that is surely wrong has no slope; cross entropy has.",
)  # fmt: skip
def sure_and_wrong(seed: int, loss: LossFunction = squared_softmax) -> Setup:
    return sgd(stack([64, 64, 10], nn.Tanh, normal(200.0)), samples.digits(seed), loss)


class Generator(nn.Module):
    """A generator with the discriminator behind it, which is frozen and sure of itself."""

    def __init__(self, judge: nn.Module) -> None:
        super().__init__()
        self.generator = stack([8, 32, 32, 2])
        self.judge = judge.requires_grad_(False)

    def forward(self, noise: Tensor) -> Tensor:
        """Return the logits with which the discriminator believes what is made of noise [batch, 8]."""
        return self.judge(self.generator(noise))


def minimax(output: Tensor, _: Tensor) -> Tensor:
    """Return log(1 - D), with the probability taken first, as the game's formula says."""
    return torch.log1p(-torch.sigmoid(output)).mean()


@case(
    "minimax-generator", label="loss-saturation", root="", steps=300, fixes=("the loss -log D", "Wasserstein loss"),
    source="soumith/ganhacks#36",
    why="The discriminator is sure; log(1 - D) is flat there, so the generator gets no gradient.",
)  # fmt: skip
def minimax_generator(seed: int, loss: LossFunction = minimax) -> Setup:
    noise = torch.randn(640, 8)
    model = Generator(stack([2, 32, 1]))
    real = 0.1 * torch.randn(256, 2) + torch.tensor([3.0, 3.0])
    judge = torch.optim.Adam(model.judge.requires_grad_(True).parameters(), lr=0.03)
    for _ in range(150):  # a discriminator that has won
        judge.zero_grad()
        fake = model.generator(noise[:256]).detach()
        gap = F.softplus(-model.judge(real)).mean() + F.softplus(model.judge(fake)).mean()
        gap.backward()
        judge.step()
    model.judge.requires_grad_(False)
    return sgd(model, samples.stream(noise, torch.ones(640, 1), seed), loss, rate=0.01)


class Reconstruction(nn.Module):
    """An encoder with two heads: the image again, and its class."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = stack([64, 4])
        self.decoder, self.classes = stack([4, 64]), stack([4, 64, 10])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction [batch, 64] and the logits [batch, 10]."""
        code = self.encoder(x)
        return self.decoder(code), self.classes(code)


def with_number(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """Return the sum of both terms, the second turned into a number on the way."""
    return output[0].square().mean() + float(F.cross_entropy(output[1], targets).detach())


def with_tensor(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """Return the sum of both terms."""
    return output[0].square().mean() + F.cross_entropy(output[1], targets)


@case(
    "term-turned-into-number", label="severed-gradient", root="", steps=300, fixes=("keep the term a tensor",),
    source="guopengf/FL-MRCM#10",
    why="A term of the loss becomes a float before it is added: its value counts, its gradient does not.",
)  # fmt: skip
def number_term(seed: int, loss: Callable[[Any, Any], Tensor] = with_number) -> Setup:
    return adam(Reconstruction(), samples.digits(seed), loss, rate=3e-3)


class Distances(nn.Module):
    """Class scores as distances to prototypes, the first of which is exactly the code of an empty image."""

    def __init__(self, small: float) -> None:
        super().__init__()
        self.encoder = nn.Linear(64, 16, bias=False)
        self.prototypes = nn.Parameter(torch.zeros(10, 16))
        self.small = small
        with torch.no_grad():
            self.prototypes[1:].normal_()

    def forward(self, x: Tensor) -> Tensor:
        """Return minus the distances [batch, 10]."""
        code = self.encoder(x)
        return -((code[:, None] - self.prototypes).square().sum(-1) + self.small).sqrt()


@case(
    "root-at-zero", label="non-finite", root="/sqrt#1", steps=300, fixes=("add a small number inside the root",),
    source="pytorch/pytorch#2421",
    why="A distance of exactly 0: the forward pass is finite, the root's derivative is not.",
)  # fmt: skip
def root_at_zero(seed: int, small: float = 0.0) -> Setup:
    x, y = samples.digit_table()
    x, y = torch.cat([x, torch.zeros(200, 64)]), torch.cat([y, torch.zeros(200, dtype=torch.long)])
    return adam(Distances(small), samples.stream(x, y, seed), rate=1e-2)


class Guarded(nn.Module):
    """The root of what is positive, chosen by `where`; `clamped` guards its input as well."""

    def __init__(self, *, clamped: bool) -> None:
        super().__init__()
        self.lower, self.upper, self.clamped = nn.Linear(64, 64), nn.Linear(64, 10), clamped

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        z = self.lower(x)
        inside = z.clamp_min(1e-3) if self.clamped else z
        return self.upper(torch.where(z > 1e-3, inside.sqrt(), torch.zeros_like(z)))


@case(
    "unused-branch-of-where", label="non-finite", root="/sqrt#1", steps=300, fixes=("guard the input of the root too",),
    source="pytorch/pytorch#68425",
    why="`where` drops the nan of the branch it does not use going up, but 0 times nan comes back down.",
)  # fmt: skip
def unused_branch(seed: int, *, clamped: bool = False) -> Setup:
    return adam(Guarded(clamped=clamped), samples.digits(seed))


def plain_formula(output: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross entropy as the textbook writes it, with bare logarithms."""
    p = torch.sigmoid(output)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p)).mean()


@case(
    "logarithm-of-zero", label="non-finite", root="", steps=300, fixes=("binary cross entropy from logits", "smaller first weights"),
    source="pytorch/pytorch#16317, the same with a logarithm",
    why="A sigmoid in float32 is exactly 1 above 17; log(1 - 1) is minus infinity.",
)  # fmt: skip
def logarithm(seed: int, loss: LossFunction = plain_formula) -> Setup:
    return adam(stack([30, 32, 1], nn.ReLU, normal(100.0)), samples.cancer(seed, column=True), loss, rate=1e-2)


@case(
    "hinge-beyond-margin", label="loss-saturation", root="", steps=300, fixes=("logistic loss", "normalised scores"),
    source="generated",
    why="A loss clamped at 1 is flat where the score is wrong by more than that, which is nearly everywhere.",
)  # fmt: skip
def clamped_hinge(seed: int, *, clamped: bool = True) -> Setup:
    def hinge(output: Tensor, targets: Tensor) -> Tensor:
        value = F.relu(1 - output * (2 * targets - 1))
        return (value.clamp_max(1.0) if clamped else value).mean()

    model = stack([30, 32, 1], nn.ReLU, he)
    nn.init.constant_(_last(model).bias, -60.0)
    return adam(model, samples.cancer(seed, column=True), hinge, rate=1e-2)


def _last(model: nn.Sequential) -> nn.Linear:
    layer = model[-1]
    assert isinstance(layer, nn.Linear)
    return layer
