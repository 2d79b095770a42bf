"""Answers that say nothing: how often a class comes, an output that has died, attention on one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, stack


class Sorted(nn.Module):
    """A recurrent classifier of padded sequences, which sorts them by their length first; 0 is padding."""

    def __init__(self, *, back: bool) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(12, 16, padding_idx=0), nn.LSTM(16, 32, batch_first=True)
        self.head, self.back = nn.Linear(32, 3), back

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 3]."""
        lengths, order = (tokens > 0).sum(1).sort(descending=True)
        packed = pack_padded_sequence(self.embedding(tokens[order]), lengths, batch_first=True)
        logits = self.head(self.layer(packed)[1][0][-1])
        return logits[order.argsort()] if self.back else logits


@case(
    "sorted-by-length", label="mixed-examples", root="", steps=300,
    fixes=("undo the sorting", "enforce_sorted=False"),
    source="common mistake: pack_padded_sequence wants sorted sequences, and the targets stay as they were",
    why="Rows are sorted by length and the targets are not: 98 % of the answers are compared with another "
    "row's target.",
)  # fmt: skip
def sorted_rows(seed: int, *, back: bool = False) -> Setup:
    draw = samples.generator(seed + 171)
    text = torch.randint(4, 12, (2048, 10), generator=draw)
    labels = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 2048, replacement=True, generator=draw)
    lengths = torch.randint(3, 11, (2048,), generator=draw)
    text[torch.arange(2048), (torch.rand(2048, generator=draw) * lengths).long()] = labels + 1
    text[torch.arange(10) >= lengths[:, None]] = 0
    return adam(Sorted(back=back), samples.stream(text, labels, seed), rate=5e-3)


cured("sorted-by-length", why="The answers are put back into the order of the rows.")(partial(sorted_rows, back=True))


class Axes(nn.Module):
    """A GRU over a signal, with its axes as they come or as the layer wants them."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.layer = nn.GRU(samples.KINDS + 1, 24, batch_first=batch_first)
        self.head = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, samples.KINDS))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        return self.head(self.layer(x)[0][:, -1])


@case(
    "axes-of-a-gru", label="mixed-examples", root="layer", steps=300, fixes=("batch_first=True", "transpose"),
    source="common mistake: batch_first; discuss.pytorch.org has many threads on it",
    why="The layer takes the batch for time and time for the batch: the last place of each row, which is "
    "noise, is all it sees.",
)  # fmt: skip
def axes(seed: int, *, batch_first: bool = False) -> Setup:
    return adam(Axes(batch_first=batch_first), samples.recall(seed, length=8, rows=1600), rate=5e-3)


cured("axes-of-a-gru", why="batch_first=True.")(partial(axes, batch_first=True))


def _textures(seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images [n, 1, 12, 12] of stripes in three directions, and the direction."""
    draw = samples.generator(seed)
    y = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 768, replacement=True, generator=draw)
    row, column = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    waves = torch.stack((row, column, row + column)) * 1.6
    phase = torch.rand(768, 1, 1, generator=draw) * 6.28
    return (torch.sin(waves[y] + phase) + 0.4 * torch.randn(768, 12, 12, generator=draw))[:, None], y


@case(
    "normalised-then-averaged", label="class-prior-only", root="", steps=300,
    fixes=("an activation between", "BatchNorm"),
    source="common mistake: InstanceNorm before global average pooling",
    why="The mean over the places of what InstanceNorm has centred is 0 for each image: the head sees "
    "numbers below 3e-7.",
)  # fmt: skip
def averaged(seed: int, *, last: bool = True) -> Setup:
    layers: list[nn.Module] = [nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3)]
    layers += [nn.ReLU(), nn.InstanceNorm2d(16)] if last else [nn.InstanceNorm2d(16), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    x, y = _textures(seed + 181)
    return adam(model, samples.stream(x, y, seed), rate=3e-3)


cured("normalised-then-averaged", why="The normalisation stands before the activation.")(partial(averaged, last=False))


class Weighted(nn.Module):
    """Cross entropy with weights by how often a class comes, or by how seldom."""

    def __init__(self, counts: tuple[int, ...], power: float) -> None:
        super().__init__()
        weight = torch.tensor(counts, dtype=torch.float32) ** power
        self.register_buffer("weight", weight / weight.sum())

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the weighted mean."""
        return F.cross_entropy(output, target, weight=self.weight)  # pyright: ignore[reportArgumentType]


class DeepSet(nn.Module):
    """A set model: points are embedded, their largest values kept, and a class is named."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.point, self.whole = stack([2, 32, 32]), stack([32, 32, classes])

    def forward(self, points: Tensor) -> Tensor:
        """Return logits [batch, classes] of points [batch, points, 2]."""
        return self.whole(self.point(points).amax(1))


@case(
    "seldom-shapes", label="class-prior-only", root="", steps=300, fixes=("weights by how seldom a class comes",),
    source="discuss.pytorch.org/t/145203, predictions stuck at zero; common mistake: inverted class weights",
    why="Weights grow with the square of how often a class comes: the two seldom ones weigh 0.04 and 0.006, "
    "and are never named.",
)  # fmt: skip
def seldom(seed: int, power: float = 2.0) -> Setup:
    draw = samples.generator(seed + 191)
    counts = (1600, 320, 128)
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    angle = torch.rand(2048, 12, generator=draw) * 6.28
    ring = torch.stack((angle.cos(), angle.sin()), -1) * torch.tensor([1.0, 1.25, 1.5])[y][:, None, None]
    points = ring + 0.3 * torch.randn(2048, 12, 2, generator=draw)
    y = torch.where(torch.rand(2048, generator=draw) < 0.02, torch.zeros_like(y), y)
    return adam(DeepSet(), samples.stream(points, y, seed), Weighted(counts, power), rate=2e-3)


cured("seldom-shapes", why="Weights of one over the root of the count.")(partial(seldom, power=-0.5))


def _bodies(seed: int) -> tuple[Tensor, Tensor]:
    draw = samples.generator(seed)
    points = torch.randn(1024, 8, 3, generator=draw)
    spread = torch.exp(0.6 * torch.randn(1024, 1, 1, generator=draw))
    return points * spread, torch.log(1e-2 * (points * spread).pow(2).sum(2).mean(1, keepdim=True))


class Pooled(nn.Module):
    """Point clouds to one number: a network for each point, the mean, a network for the whole, and an activation."""

    def __init__(self, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.point, self.whole, self.last = stack([3, 48, 48], nn.GELU), stack([48, 48, 1], nn.GELU), last

    def forward(self, points: Tensor) -> Tensor:
        """Return [batch, 1]."""
        return self.last(self.whole(self.point(points).mean(1)))


def _same(x: Tensor) -> Tensor:
    return x


@case(
    "log-size-of-clouds", label="dying-output", root="", steps=300, fixes=("no ReLU after the last layer",),
    source="ProteomicsML PR203, ReLU after the last layer of a regression",
    why="A ReLU ends the network and the targets are logarithms, -3.6 in the mean: all outputs are 0 after "
    "one step at most.",
)  # fmt: skip
def log_size(seed: int, last: Callable[[Tensor], Tensor] = torch.relu) -> Setup:
    points, target = _bodies(seed + 201)
    return adam(Pooled(last), samples.stream(points, target, seed), F.smooth_l1_loss, rate=3e-3)


cured("log-size-of-clouds", why="Nothing after the last layer.")(partial(log_size, last=_same))


class Crowd(nn.Module):
    """A density map of a crowd, whose sum is how many there are; the last bias says that most places are empty."""

    def __init__(self, last: type[nn.Module], prior: float = -4.6) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()]
        self.body, self.head, self.last = nn.Sequential(*layers), nn.Conv2d(12, 1, 1), last()
        nn.init.constant_(self.head.bias, prior)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """Return densities [batch, 1, height, width]."""
        return self.last(self.head(self.body(x)))


def _crowd_loss(density: Tensor, target: Tensor) -> Tensor:
    return 100.0 * F.mse_loss(density, target)


@case(
    "density-of-crowds", label="dying-output", root="last", steps=300, fixes=("softplus", "a bias of 0"),
    source="population_estimation#68; lin2017, the bias of a rare class, taken over for a map under ReLU",
    why="The last bias is -4.6 as for a sigmoid, but a ReLU follows: all of the map is 0 and stays so.",
)  # fmt: skip
def crowds(seed: int, last: type[nn.Module] = nn.ReLU) -> Setup:
    draw = samples.generator(seed + 211)
    heads = (torch.rand(384, 1, 14, 14, generator=draw) < 0.03).float()
    line = torch.exp(-0.5 * (torch.arange(5.0) - 2.0) ** 2)
    bell = torch.outer(line, line)
    density = F.conv2d(heads, (bell / bell.sum())[None, None], padding=2)
    x = 8.0 * density + 0.3 * torch.randn(density.shape, generator=draw)
    return adam(Crowd(last), samples.stream(x, density, seed, size=32), _crowd_loss, rate=3e-3)


cured("density-of-crowds", why="A softplus.")(partial(crowds, last=nn.Softplus))


class Kernel(nn.Module):
    """Attention by a Gaussian kernel: scores are minus squared distances of queries and keys over twice a bandwidth."""

    def __init__(self, bandwidth: float, *, vocabulary: int = 12, width: int = 32) -> None:
        super().__init__()
        self.token, self.bandwidth = nn.Embedding(vocabulary, width), bandwidth
        self.query, self.key = nn.Parameter(torch.randn(width)), nn.Linear(2 * width, width)
        self.value, self.head = nn.Linear(width, width), nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, vocabulary]."""
        x = self.token(tokens)
        before = torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), 1)
        keys = self.key(torch.cat((x, before), -1))
        scores = -(keys - self.query).pow(2).sum(-1) / (2.0 * self.bandwidth**2)
        return self.head(torch.einsum("bt,btw->bw", scores.softmax(-1), torch.tanh(self.value(x))))


@case(
    "kernel-attention", label="saturated-attention", root="", steps=300,
    fixes=("a bandwidth of the root of the width",),
    source="kim2021, L2 attention; common mistake: the bandwidth of one dimension for many",
    why="A bandwidth of 0.05 where distances are 6 to 8: scores deviate by 1,000 to 2,000, the largest share "
    "is 0.98 and more.",
)  # fmt: skip
def kernel(seed: int, bandwidth: float = 0.05) -> Setup:
    return adam(Kernel(bandwidth), samples.first_token(seed), rate=5e-3)


cured("kernel-attention", why="A bandwidth of 32 ** 0.5.")(partial(kernel, bandwidth=32**0.5))


class Cosine(nn.Module):
    """Cosine attention of two heads, as in Swin V2: a learned logarithm scales the scores; the last place asks."""

    def __init__(self, logarithm: float, *, vocabulary: int = 12, width: int = 32) -> None:
        super().__init__()
        self.token, self.ask = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(2, 16))
        self.inward = nn.Parameter(torch.randn(2, 2, 2 * width, 16) / (2 * width) ** 0.5)
        self.logit_scale = nn.Parameter(torch.full((2, 1, 1), logarithm))
        self.head = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, vocabulary))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, vocabulary]."""
        x = self.token(tokens)
        pair = torch.cat((x, F.pad(x, (0, 0, 1, -1))), -1)
        key, value = torch.einsum("btw,phwd->phbtd", pair, self.inward)
        scores = torch.einsum("hd,hbtd->hbt", F.normalize(self.ask, dim=-1), F.normalize(key, dim=-1))
        shares = torch.softmax(scores * self.logit_scale.exp(), dim=-1)
        return self.head(torch.einsum("hbt,hbtd->bhd", shares, value).flatten(1))


@case(
    "scaled-cosine-heads", label="saturated-attention", root="", steps=300, fixes=("start at log(10), not at 10",),
    source="liu2022, Swin V2, logit_scale; common mistake: the logarithm of the start is forgotten",
    why="The logarithm of the scale starts at 10 instead of log(10): scores are multiplied by 22,026.",
)  # fmt: skip
def cosine(seed: int, logarithm: float = 10.0) -> Setup:
    return adam(Cosine(logarithm), samples.first_token(seed), rate=5e-3)


cured("scaled-cosine-heads", why="log(10).")(partial(cosine, logarithm=math.log(10.0)))


class Matching(nn.Module):
    """A matching network: a query is compared with eight labelled examples, and their labels are mixed."""

    def __init__(self, *, cosine: bool, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Linear(width, 32, bias=False)
        self.cosine = cosine

    def forward(self, episode: Tensor) -> Tensor:
        """Return log probabilities [batch, 2] of episodes [batch, 9, width + 1]; the last row is the query."""
        code = self.embed(episode[..., :-1])
        if self.cosine:
            code = F.normalize(code, dim=-1) * 10.0**0.5
        weights = torch.softmax(torch.einsum("bsw,bw->bs", code[:, :-1], code[:, -1]), dim=-1)
        positive = (weights * episode[:, :-1, -1]).sum(1)
        return torch.log(1e-4 + (1.0 - 2e-4) * torch.stack((1.0 - positive, positive), 1))


@case(
    "one-of-eight-examples", label="saturated-attention", root="", steps=300, fixes=("cosine", "a temperature"),
    source="vinyals2016, matching networks; chen2020, temperature",
    why="Scores are plain products of features of size 10: they deviate by 1,000, and one example takes "
    "0.999 of the weight.",
)  # fmt: skip
def matching(seed: int, *, cosine: bool = False) -> Setup:
    draw = samples.generator(seed + 221)
    rows = 1600
    kind = torch.randint(2, (rows, 9), generator=draw)
    x = torch.randn(rows, 9, 24, generator=draw)
    axis = F.normalize(torch.randn(4, 24, generator=samples.generator(12)), dim=1)
    turn = torch.randn(rows, 1, 4, generator=draw).sign()
    x = 2.0 * (x - x @ axis.t() @ axis) + ((kind * 2.0 - 1.0)[..., None] * turn) @ axis
    episode = torch.cat((10.0 * x, kind[..., None].float()), -1)
    model = Matching(cosine=cosine)
    return adam(model, samples.stream(episode, kind[:, -1], seed), F.nll_loss, rate=3e-3)


cured("one-of-eight-examples", why="Cosine over a temperature of 0.1.")(partial(matching, cosine=True))
