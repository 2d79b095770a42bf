"""Written without knowledge of the rules: losses that start where they are flat, and units never above 0."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam


def _boxed(seed: int) -> Batches:
    """Images 12 by 12 with one bright rectangle away from the corner, and its box: left, top, right, bottom."""
    draw = samples.generator(seed + 31)
    x, y = 0.2 * torch.randn(512, 1, 12, 12, generator=draw), torch.zeros(512, 4)
    size = torch.randint(2, 4, (512, 2), generator=draw)
    corner = 4 + torch.randint(0, 6, (512, 2), generator=draw)
    for row in range(512):
        (left, top), (wide, high) = corner[row].tolist(), size[row].tolist()
        x[row, 0, top : top + high, left : left + wide] += 1.0
        y[row] = torch.tensor([left, top, min(left + wide, 12), min(top + high, 12)], dtype=torch.float32)
    return samples.stream(x, y, seed)


class Boxes(nn.Module):
    """Two convolutions and a linear layer: left and top, and how far right and bottom are from them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU()
        )
        self.out = nn.Linear(216, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return boxes [batch, 4]."""
        corner, size = self.out(self.body(x).flatten(1)).split(2, dim=1)
        return torch.cat([corner, corner + F.softplus(size)], dim=1)


def _overlap(box: Tensor, truth: Tensor, *, enclosed: bool) -> Tensor:
    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp_min(0.0).prod(1)

    both = area(torch.maximum(box[:, :2], truth[:, :2]), torch.minimum(box[:, 2:], truth[:, 2:]))
    either = area(box[:, :2], box[:, 2:]) + area(truth[:, :2], truth[:, 2:]) - both
    loss = 1.0 - both / either
    if enclosed:
        around = area(torch.minimum(box[:, :2], truth[:, :2]), torch.maximum(box[:, 2:], truth[:, 2:]))
        loss = loss + (around - either) / around
    return loss.mean()


@case(
    "rectangles-in-noise", label="loss-saturation", root="", steps=300, fixes=("generalised IoU", "smooth L1 at first"),
    source="lilanxiao/Rotated_IoU#9; rezatofighi2019, GIoU",
    why="The first boxes lie in the corner, below 1, and no true one begins before 4: 1 - IoU is exactly 1 for all, "
    "and has no slope.",
)  # fmt: skip
def rectangles(seed: int, *, enclosed: bool = False) -> Setup:
    return adam(Boxes(), _boxed(seed), partial(_overlap, enclosed=enclosed), rate=3e-3)


cured("rectangles-in-noise", why="The part of the enclosing box that is empty is added.")(
    partial(rectangles, enclosed=True)
)


def _fooled(made: Tensor, real: Tensor, *, direct: bool) -> Tensor:
    """The generator's loss before a critic that has learned to tell the made from the real by their distance."""
    verdict = 6.0 - 4.0 * (made - real).square().sum(1)
    return F.softplus(verdict).neg().mean() if direct else F.softplus(-verdict).mean()


@case(
    "generator-before-a-good-critic", label="loss-saturation", root="", steps=300,
    fixes=("maximise log D", "a weaker critic"),
    source="goodfellow2014, section 3; pytorch/examples, DCGAN's generator step",
    why="log(1 - D) is minimised where D is about e^-250: in float32 it is 0, and so are the loss and all gradients.",
)  # fmt: skip
def generator(seed: int, *, direct: bool = True) -> Setup:
    x, _ = samples.digit_table()
    code = F.avg_pool2d(x.view(-1, 1, 8, 8), 2).flatten(1)
    model = nn.Sequential(nn.Linear(16, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64))
    return adam(model, samples.stream(code, x, seed), partial(_fooled, direct=direct), rate=2e-3)


cured("generator-before-a-good-critic", why="-log D, which is steep where the critic is sure.")(
    partial(generator, direct=False)
)


def _clipped(scores: Tensor, wanted: Tensor, *, summed: bool) -> Tensor:
    """PPO's clipped objective for two actions at a time: eight tries each, paid by the share that is right."""
    logp = scores.log_softmax(-1)
    with torch.no_grad():
        tries = torch.multinomial(logp.exp().flatten(0, 1), 8, replacement=True).view(len(scores), 2, 8)
        paid = (tries == wanted[..., None]).float().mean(1)
        before = logp.gather(-1, tries).sum(1)
    parts = logp.gather(-1, tries)
    ratio = torch.exp((parts.sum(1) if summed else parts.mean(1)) - before)
    return -torch.minimum(ratio * paid, ratio.clamp(0.8, 1.2) * paid).mean()


class TwoHands(nn.Module):
    """A policy with two actions of five choices each."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.hands = nn.Sequential(nn.Linear(64, 64), nn.Tanh()), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, 2, 5]."""
        return self.hands(self.body(x)).unflatten(1, (2, 5))


@case(
    "two-actions-at-a-time", label="loss-saturation", root="", steps=300,
    fixes=("sum both log shares", "one reduction for both"),
    source="schulman2017, PPO's equation 7; common mistake with several actions",
    why="The old log shares are summed over both actions, the new ones averaged: ratios of about 5 are clipped to "
    "1.2, which is flat.",
)  # fmt: skip
def two_hands(seed: int, *, summed: bool = False) -> Setup:
    x, y = samples.digit_table()
    wanted = torch.stack([y // 2, y % 2], 1)
    return adam(TwoHands(), samples.stream(x, wanted, seed), partial(_clipped, summed=summed), rate=5e-3)


cured("two-actions-at-a-time", why="Both summed: the ratio is 1 before the step.")(partial(two_hands, summed=True))


class Prototypes(nn.Module):
    """Distances to 40 prototypes in an embedding, made likenesses, and a linear classifier of the likenesses."""

    def __init__(self, near: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 8))
        self.prototypes, self.near = nn.Parameter(torch.randn(40, 8) * 0.5), near
        self.classify = nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        apart = (self.embed(x)[:, None] - self.prototypes[None]).square().sum(-1)
        return self.classify(F.relu(self.near - apart))


@case(
    "likeness-to-prototypes", label="dead-units", root="", steps=300,
    fixes=("a radius under the ReLU", "exp(-distance)"),
    source="common mistake; chen2019, ProtoPNet's likeness",
    why="A ReLU of minus a squared distance: no distance is below 0, so all 40 likenesses are 0 for every image.",
)  # fmt: skip
def prototypes(seed: int, near: float = 0.0) -> Setup:
    return adam(Prototypes(near), samples.digits(seed), rate=5e-3)


cured("likeness-to-prototypes", why="A radius: 4 minus the squared distance.")(partial(prototypes, near=4.0))


class Spots(nn.Module):
    """A segmentation network, down and up again, with a skip; two scores per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 16, 3, padding=1, stride=2)
        self.up, self.c3 = nn.ConvTranspose2d(16, 12, 2, stride=2), nn.Conv2d(24, 12, 3, padding=1)
        self.out = nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, height, width, 2]."""
        a = F.relu(self.c1(x))
        b = F.relu(self.up(F.relu(self.c2(a))))
        return self.out(F.relu(self.c3(torch.cat([a, b], dim=1)))).permute(0, 2, 3, 1)


def _spots(seed: int) -> Batches:
    draw = samples.generator(seed + 41)
    x, y = 0.5 * torch.randn(320, 1, 12, 12, generator=draw), torch.zeros(320, 12, 12, dtype=torch.long)
    for row, spots in enumerate(torch.randint(0, 9, (320, 3, 2), generator=draw).tolist()):
        for top, left in spots:
            y[row, top : top + 3, left : left + 3] = 1
    x[:, 0] += 1.5 * y
    return samples.stream(x, y, seed, size=32)


def _per_pixel(scores: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, 2), target.flatten())


@case(
    "spots-with-a-prior", label="dead-units", root="c1", steps=250, fixes=("the prior's bias in the last layer alone",),
    source="lin2017, RetinaNet's prior of 0.01; common mistake, a loop over all convolutions",
    why="The bias of a prior of 0.01, -4.6, is written into every convolution: all units of the four hidden layers "
    "are 0.",
)  # fmt: skip
def spots(seed: int, *, everywhere: bool = True) -> Setup:
    model = Spots()
    for name, module in model.named_modules():
        if (
            isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
            and module.bias is not None
            and (everywhere or name == "out")
        ):
            nn.init.constant_(module.bias, -math.log((1 - 0.01) / 0.01))
    if not everywhere:
        with torch.no_grad():
            model.out.bias.copy_(torch.tensor([0.0, -4.6]))  # pyright: ignore[reportOptionalMemberAccess]
    return adam(model, _spots(seed), _per_pixel, rate=5e-3)


cured("spots-with-a-prior", why="In the last layer, for the spots.")(partial(spots, everywhere=False))


class Excited(nn.Module):
    """Two convolutions, each followed by a gate per channel: pooled, two small layers, a hard sigmoid."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)])
        self.squeeze = nn.ModuleList([nn.Linear(16, 4) for _ in range(2)])
        self.excite = nn.ModuleList([nn.Linear(4, 16) for _ in range(2)])
        self.head, self.offset = nn.Linear(256, 10), offset

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for conv, squeeze, excite in zip(self.convs, self.squeeze, self.excite, strict=True):
            h = F.relu(conv(x))
            gate = F.relu6(excite(F.relu(squeeze(h.mean((2, 3))))) + self.offset) / 6.0
            x = h * gate[:, :, None, None]
        return self.head(F.max_pool2d(x, 2).flatten(1))


@case(
    "gated-channels", label="dead-units", root="", steps=300, fixes=("relu6(x + 3) / 6",),
    source="howard2019, MobileNetV3's hard sigmoid; common mistake, its offset",
    why="The hard sigmoid is written relu6(x - 3) / 6: each gate is 0 for every image, and with it all 32 channels.",
)  # fmt: skip
def gated(seed: int, offset: float = -3.0) -> Setup:
    return adam(Excited(offset), samples.digit_images(seed), rate=3e-3)


cured("gated-channels", why="relu6(x + 3) / 6.")(partial(gated, offset=3.0))
