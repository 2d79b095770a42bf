"""Functions that jump where a slope is wanted: experts, brightest places, ternary weights, messages, ranks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.cases_opened_wires_cuts import striped_images
from photic.lab.clinic.networks import adam, stack


class Experts(nn.Module):
    """A mixture of linear experts behind a router."""

    def __init__(self, *, hard: bool, count: int = 4, width: int = 20) -> None:
        super().__init__()
        self.router = nn.Linear(width, count)
        self.weight = nn.Parameter(torch.randn(count, width) * 0.1)
        self.bias, self.hard = nn.Parameter(torch.zeros(count)), hard

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, 1]."""
        share = F.softmax(self.router(x), dim=-1)
        if self.hard:
            share = F.one_hot(share.argmax(-1), share.shape[-1]).to(x.dtype)
        opinions = torch.einsum("bd,ed->be", x, self.weight) + self.bias
        return torch.einsum("be,be->b", share, opinions)[:, None]


@case(
    "routed-linear-experts", label="severed-nondifferentiable", root="", steps=300,
    fixes=("weigh by the router's share",),
    source="fedus2021, on the router's gate value; lucidrains/mixture-of-experts",
    why="The router only names the expert by argmax and its share is not used: the router stays as drawn (r2 "
    "0.09 to 0.18, twin 0.92).",
)  # fmt: skip
def experts(seed: int, *, hard: bool = True) -> Setup:
    draw = samples.generator(seed + 71)
    x = torch.randn(1536, 20, generator=draw)
    way, kind = torch.randn(2, 20, generator=samples.generator(8)) / 20**0.5
    y = torch.sign(x @ kind) * (x @ way) * 1.5
    return adam(Experts(hard=hard), samples.stream(x, y[:, None], seed), F.mse_loss, rate=2e-2)


cured("routed-linear-experts", why="Opinions are weighed by the router's softmax.")(partial(experts, hard=False))


class Keypoint(nn.Module):
    """A convolutional network that finds a place: a heat map, and its top or its centre of mass."""

    def __init__(self, *, hard: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()]
        self.heat, self.hard = nn.Sequential(*layers, nn.Conv2d(12, 1, 3, padding=1)), hard
        self.adjust = nn.Linear(2, 2)
        with torch.no_grad():
            self.adjust.weight.copy_(torch.eye(2))
            self.adjust.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Return row and column [batch, 2], from -1 to 1."""
        side = x.shape[-1]
        heat = self.heat(x).flatten(1)
        if self.hard:
            top = heat.argmax(1)
            place = torch.stack((top // side, top % side), 1).float() / (side - 1) * 2.0 - 1.0
        else:
            line = torch.linspace(-1.0, 1.0, side)
            grid = torch.cartesian_prod(line, line)
            place = torch.softmax(heat, dim=1) @ grid
        return self.adjust(place)


@case(
    "place-of-the-cross", label="severed-nondifferentiable", root="", steps=300, fixes=("soft-argmax",),
    source="sun2018, integral regression; ai.stackexchange.com/questions/41264, backpropagation with argmax",
    why="The place is the argmax of the heat map, an integer without a slope: only the two by two map after "
    "it is trained (r2 below 0.04).",
)  # fmt: skip
def keypoint(seed: int, *, hard: bool = True) -> Setup:
    draw = samples.generator(seed + 81)
    rows = 768
    x = 0.2 * torch.randn(rows, 1, 14, 14, generator=draw)
    corner = torch.randint(0, 12, (rows, 4, 2), generator=draw)
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    square = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    for row in range(rows):
        for index in (1, 2, 3, 0):
            top, left = int(corner[row, index, 0]), int(corner[row, index, 1])
            x[row, 0, top : top + 3, left : left + 3] = cross if index == 0 else square
    y = (corner[:, 0] + 1).float() / 13.0 * 2.0 - 1.0
    return adam(Keypoint(hard=hard), samples.stream(x, y, seed, size=32), F.mse_loss, rate=3e-3)


cured("place-of-the-cross", why="The centre of mass of the softmax.")(partial(keypoint, hard=False))


class TernaryLinear(nn.Module):
    """A linear layer whose weights are rounded to -1, 0 and 1 times their mean size."""

    def __init__(self, before: int, after: int, *, straight: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / before**0.5)
        self.bias, self.straight = nn.Parameter(torch.zeros(after)), straight

    def forward(self, x: Tensor) -> Tensor:
        """Return x W' + b with the rounded W."""
        size = self.weight.abs().mean().detach()
        rounded = torch.round(self.weight / size).clamp(-1.0, 1.0) * size
        if self.straight:
            rounded = self.weight + (rounded - self.weight).detach()
        return F.linear(x, rounded, self.bias)


@case(
    "ternary-weights", label="severed-nondifferentiable", root="", steps=300, fixes=("straight-through estimator",),
    source="ma2024, BitNet b1.58; bengio2013, straight-through; discuss.pytorch.org/t/28628, torch.round gradient",
    why="torch.round in the forward pass has a slope of 0: all three weight matrices have a gradient of 0, "
    "only biases move.",
)  # fmt: skip
def ternary(seed: int, *, straight: bool = False) -> Setup:
    layers: list[nn.Module] = []
    for before, after in ((64, 48), (48, 48)):
        layers += [
            TernaryLinear(before, after, straight=straight),
            nn.LayerNorm(after, elementwise_affine=False),
            nn.SiLU(),
        ]
    model = nn.Sequential(*layers, TernaryLinear(48, 10, straight=straight))
    return adam(model, samples.digits(seed), rate=5e-3)


cured("ternary-weights", why="The rounding is passed straight through.")(partial(ternary, straight=True))


class Talk(nn.Module):
    """Two players: one describes an image by two words, the other names the image from them."""

    def __init__(self, *, hard: bool, words: int = 6) -> None:
        super().__init__()
        self.speaker = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 2 * words))
        self.dictionary = nn.Embedding(words, 12)
        self.listener = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 10))
        self.words, self.hard = words, hard

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        logits = self.speaker(x).view(-1, 2, self.words)
        if self.hard:
            message = self.dictionary(torch.max(logits, dim=-1).indices)
        else:
            message = F.gumbel_softmax(logits, tau=1.0, hard=True) @ self.dictionary.weight
        return self.listener(message.flatten(1))


@case(
    "speaker-and-listener", label="severed-nondifferentiable", root="", steps=300,
    fixes=("gumbel_softmax", "reinforce"),
    source="facebookresearch/EGG; havrylov2017",
    why="The words of the message are indices of an embedding: nothing passes back to the speaker (score "
    "0.16 to 0.24).",
)  # fmt: skip
def talk(seed: int, *, hard: bool = True) -> Setup:
    return adam(Talk(hard=hard), samples.digits(seed), rate=1e-2)


cured("speaker-and-listener", why="Words are drawn by a straight-through Gumbel softmax.")(partial(talk, hard=False))


def _ranks(values: Tensor) -> Tensor:
    return values.argsort(0).argsort(0).to(values.dtype)


def _values(values: Tensor) -> Tensor:
    return values


class Correlation(nn.Module):
    """One minus the correlation of scores and ranks of the targets, and a small price on large scores."""

    def __init__(self, of: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.of = of

    def forward(self, score: Tensor, target: Tensor) -> Tensor:
        """Return the loss over the batch."""
        mine, theirs = self.of(score), _ranks(target)
        mine, theirs = mine - mine.mean(), theirs - theirs.mean()
        return 1.0 - (mine * theirs).sum() / (mine.norm() * theirs.norm() + 1e-8) + 1e-3 * score.pow(2).mean()


@case(
    "ranked-houses", label="severed-nondifferentiable", root="", steps=300,
    fixes=("a soft rank", "Pearson's correlation"),
    source="teddykoker/torchsort; common mistake with a Spearman loss",
    why="argsort gives whole numbers without history: of the loss, 1.0 at the start, only the price on large "
    "scores is trained.",
)  # fmt: skip
def ranked(seed: int, of: Callable[[Tensor], Tensor] = _ranks) -> Setup:
    draw = samples.generator(seed + 91)
    x = torch.randn(1024, 12, generator=draw)
    pair = torch.randn(2, 12, generator=samples.generator(3))
    y = 0.4 * x @ pair[0] + torch.tanh(x @ pair[1])
    return adam(stack([12, 48, 48, 1], nn.GELU), samples.stream(x, y[:, None], seed), Correlation(of), rate=3e-3)


cured("ranked-houses", why="The correlation of the scores themselves with the ranks.")(partial(ranked, of=_values))


def hard_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Return one minus the overlap of the mask and the rounded prediction."""
    return _dice(torch.round(torch.sigmoid(logits)), mask)


def soft_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Return one minus the overlap of the mask and the probabilities."""
    return _dice(torch.sigmoid(logits), mask)


def _dice(given: Tensor, mask: Tensor) -> Tensor:
    both = (given * mask).flatten(1).sum(1)
    return 1.0 - ((2.0 * both + 1.0) / (given.flatten(1).sum(1) + mask.flatten(1).sum(1) + 1.0)).mean()


class SkipNet(nn.Module):
    """A small U-net with one skip."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.deep = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.rise, self.leave = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 1, height, width]."""
        skip = F.elu(self.enter(x))
        low = F.elu(self.deep(F.max_pool2d(skip, 2)))
        return self.leave(torch.cat((skip, F.elu(self.rise(low))), 1))


@case(
    "overlap-of-masks", label="severed-nondifferentiable", root="", steps=200, fixes=("dice of the probabilities",),
    source="common mistake: a dice loss of thresholded predictions",
    why="The prediction is rounded before its overlap is taken: every gradient is exactly 0.",
)  # fmt: skip
def overlap(seed: int, loss: LossFunction = hard_dice) -> Setup:
    x, mask = striped_images(seed + 62)
    return adam(SkipNet(), samples.stream(x, mask, seed, size=32), loss, rate=5e-3)


cured("overlap-of-masks", why="The overlap of the probabilities.")(partial(overlap, loss=soft_dice))
