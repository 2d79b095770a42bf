"""Sealed, first part: losses. Written without the rules; the rules were written without these. All are held out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, sgd, stack


def _one_hot_digits(seed: int) -> Batches:
    x, y = samples.digit_table()
    return samples.stream(x, F.one_hot(y, 10).float(), seed)


def _f1(output: Tensor, targets: Tensor, *, decided: bool) -> Tensor:
    share = torch.sigmoid(output)
    chosen = (share > 0.5).float() if decided else share
    hits = (chosen * targets).sum(0)
    return (1 - 2 * hits / (chosen.sum(0) + targets.sum(0) + 1e-8)).mean()


@case(
    "f1-of-decisions", label="severed-nondifferentiable", root="", steps=300, fixes=("use the shares, not the decisions",),
    source="Stack Overflow, F1 score as a loss in PyTorch",
    why="The loss counts decisions, share > 0.5: a comparison has no derivative, and the loss no history.",
)  # fmt: skip
def f1_score(seed: int, *, decided: bool = True) -> Setup:
    return adam(stack([64, 64, 10], nn.ReLU, he), _one_hot_digits(seed), partial(_f1, decided=decided), rate=3e-3)


cured("f1-of-decisions", why="The soft score, from the shares.")(partial(f1_score, decided=False))


def _noise_and_mean(output: Tensor, targets: Tensor, *, positive: bool) -> Tensor:
    mean, variance = output.chunk(2, -1)
    if positive:
        variance = F.softplus(variance) + 1e-3
    return 0.5 * (torch.log(variance) + (targets - mean).square() / variance).mean()


@case(
    "variance-without-bound", label="non-finite", root="", steps=300, fixes=("softplus of the variance", "predict the logarithm"),
    source="nix1994; discuss.pytorch.org on Gaussian negative log-likelihood",
    why="The second output is taken as a variance as it is; where it is below 0 the logarithm is nan.",
)  # fmt: skip
def unbounded_variance(seed: int, *, positive: bool = False) -> Setup:
    loss = partial(_noise_and_mean, positive=positive)
    return adam(stack([10, 32, 2], nn.ReLU, he), samples.diabetes(seed), loss, rate=3e-3)


cured("variance-without-bound", why="A softplus of it.")(partial(unbounded_variance, positive=True))


def _percentage(output: Tensor, targets: Tensor) -> Tensor:
    return ((output - targets) / targets).abs().mean()


def _rentals(seed: int) -> Batches:
    draw = samples.generator(31)
    x = torch.randn(960, 6, generator=draw)
    rate = torch.exp(0.5 + 0.8 * x[:, :1] - 0.6 * x[:, 1:2])
    return samples.stream(x, torch.poisson(rate, generator=draw), seed, size=32)


@case(
    "percentage-of-nothing", label="non-finite", root="", steps=300, fixes=("mean absolute error", "add a small number below"),
    source="Stack Overflow, MAPE loss is inf with zeros in the target",
    why="A percentage error of counts, and some hours count 0: the loss is infinite in the first batch.",
)  # fmt: skip
def percentage(seed: int, loss: LossFunction = _percentage) -> Setup:
    return adam(stack([6, 32, 32, 1], nn.ReLU, he), _rentals(seed), loss, rate=3e-3)


cured("percentage-of-nothing", why="The absolute error.")(partial(percentage, loss=F.l1_loss))


def _bare_likelihood(output: Tensor, targets: Tensor) -> Tensor:
    return F.nll_loss(output, targets)


@case(
    "likelihood-of-raw-scores", label="diverging", root="", steps=300, fixes=("cross_entropy", "log_softmax before it"),
    source="Stack Overflow, nll_loss gives negative values",
    why="nll_loss of scores that no log_softmax has seen: minus a score has no lower bound, and all scores race upwards.",
)  # fmt: skip
def raw_scores(seed: int, loss: LossFunction = _bare_likelihood, classes: int = 10) -> Setup:
    return sgd(stack([64, 64, 64, classes], nn.ReLU, he), samples.digits(seed), loss, rate=0.1)


cured("likelihood-of-raw-scores", why="The cross entropy.")(partial(raw_scores, loss=F.cross_entropy))


class Blurred(nn.Module):
    """A variational autoencoder whose noise comes with the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = stack([64, 64, 8], nn.Tanh), stack([4, 64, 64], nn.Tanh)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and log variance [batch, 4] and the image again [batch, 64]."""
        mean, wide = self.encoder(x).chunk(2, -1)
        return mean, wide, self.decoder(mean + torch.exp(0.5 * wide) * noise)


def _evidence(output: tuple[Tensor, Tensor, Tensor], x: Tensor, *, sign: float) -> Tensor:
    mean, wide, image = output
    divergence = 0.5 * (mean.square() + wide.exp() - 1 - wide).sum(-1).mean()
    return (image - x).square().sum(-1).mean() + sign * divergence


@case(
    "divergence-taken-off", label="diverging", root="", steps=300, fixes=("add the divergence",),
    source="discuss.pytorch.org on the sign of the KL term; kingma2014, equation 10",
    why="The divergence is subtracted, not added: the more the code blows up, the better the loss, without end.",
)  # fmt: skip
def taken_off(seed: int, sign: float = -1.0) -> Setup:
    draw = samples.generator(33)
    x, _ = samples.digit_table()
    parts = [part for part in x[torch.randperm(len(x), generator=draw)].split(64) if len(part) == 64]
    kept = [((part, torch.randn(64, 4, generator=draw)), part) for part in parts]
    return sgd(Blurred(), lambda: iter(kept), partial(_evidence, sign=sign), rate=3e-3)


cured("divergence-taken-off", why="It is added.")(partial(taken_off, sign=1.0))


class Pairs(nn.Module):
    """Two encoders to the unit sphere and the similarity of everything with everything."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.left, self.right, self.scale = stack([64, 64, 32]), stack([64, 64, 32]), scale

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits [batch, batch]."""
        a, b = F.normalize(self.left(first), dim=-1), F.normalize(self.right(second), dim=-1)
        return a @ b.T * self.scale


@case(
    "temperature-multiplied", label="loss-saturation", root="", steps=300, fixes=("divide by the temperature",),
    source="radford2021, figure 3; mlfoundations/open_clip, questions on logit_scale",
    why="Similarities are multiplied by the temperature 0.07 instead of divided: logits between -0.07 and 0.07 cannot say anything.",
)  # fmt: skip
def temperature(seed: int, scale: float = 0.07) -> Setup:
    draw = samples.generator(37)
    x, _ = samples.digit_table()
    parts = [part for part in x[torch.randperm(len(x), generator=draw)].split(64) if len(part) == 64]
    kept = [((part, part + 0.3 * torch.randn(part.shape, generator=draw)), torch.arange(64)) for part in parts]
    return sgd(Pairs(scale), lambda: iter(kept), rate=0.1)


cured("temperature-multiplied", why="Divided by 0.07.")(partial(temperature, scale=1 / 0.07))


def _pendulum(seed: int) -> Batches:
    draw = samples.generator(39)
    angle = (torch.rand(960, 1, generator=draw) * 2 - 1) * 3.1
    speed = torch.randn(960, 1, generator=draw)
    seen = torch.cat([angle.cos(), angle.sin(), speed], -1)
    return samples.stream(seen, -0.25 * (angle.square() + 0.1 * speed.square()), seed, size=32)


@case(
    "critic-above-zero", label="dying-output", root="5", steps=300, fixes=("linear output",),
    source="Stack Overflow, critic with ReLU in the output on Pendulum",
    why="All returns are below 0 and the critic ends in a ReLU: once it says 0 everywhere no gradient is left.",
)  # fmt: skip
def critic(seed: int, last: Callable[[], nn.Module] = nn.ReLU) -> Setup:
    return adam(nn.Sequential(*stack([3, 64, 64, 1], nn.ReLU, he), last()), _pendulum(seed), F.mse_loss, rate=3e-3)


cured("critic-above-zero", why="No ReLU at the end.")(partial(critic, last=nn.Identity))


@case(
    "rectified-scores", label="dying-output", root="5", steps=300, fixes=("drop the last ReLU",),
    source="Stack Overflow, ReLU before the softmax",
    why="A ReLU on the scores of a classifier, which a loose bias starts below 0: those classes get no gradient, ever.",
)  # fmt: skip
def rectified(seed: int, last: Callable[[], nn.Module] = nn.ReLU) -> Setup:
    body = stack([64, 64, 64, 10], nn.ReLU, he)
    nn.init.constant_(body[4].bias, -6.0)  # pyright: ignore[reportArgumentType]
    return adam(nn.Sequential(*body, last()), samples.digits(seed), rate=1e-3)


cured("rectified-scores", why="The scores as they are.")(partial(rectified, last=nn.Identity))


def _clamped_error(output: Tensor, targets: Tensor) -> Tensor:
    return (output - targets).clamp(-1.0, 1.0).square().mean()


def _returns(seed: int) -> Batches:
    draw = samples.generator(43)
    x = torch.randn(960, 4, generator=draw)
    value = 12.0 + 3.0 * x[:, :1] - 3.0 * x[:, 1:2] * x[:, 2:3]
    return samples.stream(x, value, seed, size=32)


@case(
    "error-clamped-then-squared", label="loss-saturation", root="", steps=300, fixes=("Huber loss",),
    source="mnih2015, methods, on clipping the error term; openai/baselines, notes on DQN's bugs",
    why="The error is clamped to -1 to 1 and then squared: beyond 1 the loss is flat, and at first every error is.",
)  # fmt: skip
def clamped_error(seed: int, loss: LossFunction = _clamped_error) -> Setup:
    return adam(stack([4, 64, 64, 1], nn.ReLU, he), _returns(seed), loss, rate=3e-3)


cured("error-clamped-then-squared", why="The Huber loss, whose slope is clamped.")(
    partial(clamped_error, loss=F.smooth_l1_loss)
)


def _angle(output: Tensor, targets: Tensor, *, most: float) -> Tensor:
    cosine = (output * targets).sum(-1).abs()
    return 2 * torch.acos(cosine.clamp(max=most)).mean()


class Pose(nn.Module):
    """A quaternion of norm 1 that starts at the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.body = stack([3, 64, 64, 4], nn.Tanh)
        nn.init.zeros_(self.body[4].weight)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.body[4].bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """Return quaternions [batch, 4]."""
        return F.normalize(self.body(x) + torch.tensor([1.0, 0.0, 0.0, 0.0]), dim=-1)


def _turns(seed: int) -> Batches:
    draw = samples.generator(41)
    axis = F.normalize(torch.randn(960, 3, generator=draw), dim=-1)
    half = 1.5 * torch.rand(960, 1, generator=draw)
    half[::10] = 0.0  # some have not turned at all
    return samples.stream(axis * half, torch.cat([half.cos(), half.sin() * axis], -1), seed, size=32)


@case(
    "angle-of-no-turn", label="non-finite", root="", steps=300, fixes=("clamp the cosine below 1", "chordal distance"),
    source="pytorch/pytorch#8069; discuss.pytorch.org on acos and nan",
    why="The angle is an arc cosine, whose slope at 1 is infinite, and some poses are guessed exactly right at the start.",
)  # fmt: skip
def angle(seed: int, most: float = 1.0) -> Setup:
    return adam(Pose(), _turns(seed), partial(_angle, most=most), rate=3e-3)


cured("angle-of-no-turn", why="The cosine is clamped to 1 - 1e-6.")(partial(angle, most=1 - 1e-6))
