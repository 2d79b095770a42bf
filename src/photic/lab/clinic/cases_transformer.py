"""Transformers: attention that is saturated, masked out or alike everywhere, and norms in the wrong place."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam, token_loss

_VOCABULARY = 12


class Encoder(nn.Module):
    """Tokens and places, encoder layers of torch, a head; the mean over time, or one output per step."""

    def __init__(self, depth: int, *, pre: bool, pooled: bool, vocabulary: int, length: int, width: int = 32) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=pre)
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.1 * torch.randn(length, width))
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head, self.pooled = nn.Linear(width, vocabulary), pooled
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, vocabulary], or [batch, time, vocabulary]."""
        x = self.layers(self.tokens(tokens) + self.places)
        return self.head(x.mean(1) if self.pooled else x)


def language_model(seed: int, *, pre: bool, depth: int) -> tuple[nn.Module, Batches, LossFunction]:
    """Return a small model of the next token, with its batches and its loss."""
    model = Encoder(depth, pre=pre, pooled=False, vocabulary=20, length=16)
    return model, samples.language(seed), token_loss


@case(
    "post-norm-16-no-warm-up", label="post-norm-without-warmup", root="", steps=120,
    fixes=("warm-up", "norm before the branch", "lower-learning-rate"),
    source="huang2020, section 3; wang2022deepnet",
    why="Sixteen post-norm layers, Xavier's start and a rate of 0.003 from the first step on.",
)  # fmt: skip
def post_norm(seed: int, *, pre: bool = False) -> Setup:
    model, batches, loss = language_model(seed, pre=pre, depth=16)
    return adam(model, batches, loss, rate=3e-3)


class Attention(nn.Module):
    """One head of attention in plain operations, with an optional temperature and a mask of keys."""

    def __init__(self, width: int, *, sharpness: float, start: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.sharpness = sharpness
        with torch.no_grad():
            self.query.weight.mul_(start)
            self.key.weight.mul_(start)

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return mixed values [batch, time, width]."""
        scores = self.query(x) @ self.key(x).transpose(1, 2) * self.sharpness / math.sqrt(x.shape[-1])
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -math.inf)
        return scores.softmax(-1) @ self.value(x)


class Reader(nn.Module):
    """Tokens with the token before beside each, attention from the mean, a head: finds what stands after the 0."""

    def __init__(self, *, sharpness: float = 1.0, start: float = 1.0) -> None:
        super().__init__()
        self.tokens, self.before = nn.Embedding(_VOCABULARY, 32), nn.Embedding(_VOCABULARY, 32)
        self.attention = Attention(64, sharpness=sharpness, start=start)
        self.head = nn.Linear(64, _VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, vocabulary]."""
        x = torch.cat([self.tokens(tokens), self.before(tokens.roll(1, 1))], -1)
        return self.head(self.attention(x).mean(1))


@case(
    "sharp-attention-start", label="saturated-attention", root="attention/softmax#1", steps=300,
    fixes=("divide scores by the root of the width", "smaller query and key weights"),
    source="generated, after vaswani2017attention, section 3.2.1",
    why="Scores in the millions: the softmax picks one key by chance and has no slope.",
)  # fmt: skip
def sharp_attention(seed: int, start: float = 1000.0) -> Setup:
    return adam(Reader(start=start), samples.first_token(seed), rate=3e-3)


class Masked(nn.Module):
    """Attention over digits' rows that lets a query see only the rows above it, or those and itself."""

    def __init__(self, diagonal: int) -> None:
        super().__init__()
        self.stem, self.attention = nn.Linear(8, 32), Attention(32, sharpness=1.0, start=1.0)
        self.head, self.diagonal = nn.Linear(32 * 8, 10), diagonal

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images [batch, 64]."""
        rows = self.stem(x.view(-1, 8, 8))
        allowed = torch.ones(8, 8, dtype=torch.bool).tril(self.diagonal)
        return self.head((rows + self.attention(rows, allowed)).flatten(1))


@case(
    "row-masked-out", label="non-finite", root="attention/softmax#1", steps=100, fixes=("let every query see one key", "finite mask value"),
    source="pytorch/pytorch#41508",
    why="The first query may see no key at all: a softmax over minus infinities alone is nan.",
)  # fmt: skip
def masked_out(seed: int, diagonal: int = -1) -> Setup:
    return adam(Masked(diagonal), samples.digits(seed), rate=3e-3)


class Pure(nn.Module):
    """Layers of attention over the rows of a digit, with a skip around each or none."""

    def __init__(self, depth: int, *, skip: bool) -> None:
        super().__init__()
        self.stem, self.head, self.skip = nn.Linear(8, 32), nn.Linear(32 * 8, 10), skip
        self.places = nn.Parameter(0.1 * torch.randn(8, 32))
        self.layers = nn.ModuleList(Attention(32, sharpness=1.0, start=1.0) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images [batch, 64]."""
        x = self.stem(x.view(-1, 8, 8)) + self.places
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + layer(norm(x)) if self.skip else norm(layer(x))
        return self.head(x.flatten(1))


@case(
    "attention-without-skips", label="rank-collapse", root="", steps=300, fixes=("skips around attention",),
    source="dong2021, theorem 2.1; noci2022",
    why="Twelve layers of attention alone: all rows become one row, doubly exponentially fast.",
)  # fmt: skip
def without_skips(seed: int, *, skip: bool = False) -> Setup:
    return adam(Pure(12, skip=skip), samples.digits(seed), rate=1e-3)


class Detached(nn.Module):
    """Rows of a digit, pooled to two numbers by an encoder layer; the tokens may be detached on their way to the head."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.stem, self.narrow, self.cut = nn.Linear(8, 32), nn.Linear(32, 2), cut
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.places = nn.Parameter(0.5 * torch.randn(8, 32))
        self.head = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images [batch, 64]."""
        code = self.narrow(self.layer(self.stem(x.view(-1, 8, 8)) + self.places).mean(1))
        return self.head(code.detach() if self.cut else code)


@case(
    "detached-tokens", label="severed-gradient", root="/detach#1", steps=300, fixes=("remove the detach",),
    source="lucidrains/CoCa-pytorch#6",
    why="The tokens of an image encoder are detached before the head reads them.",
)  # fmt: skip
def detached_tokens(seed: int, *, cut: bool = True) -> Setup:
    return adam(Detached(cut=cut), samples.digits(seed), rate=3e-3)


class Scores(nn.Module):
    """Attention pooling of eight rows whose scores are multiplied by `factor`, without any normalisation."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.stem, self.score, self.factor = nn.Linear(16, 32), nn.Linear(32, 1, bias=False), factor
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4] of sets [batch, 8, 16]."""
        rows = torch.tanh(self.stem(x))
        weights = (self.factor * self.score(rows)).softmax(1)
        return self.head((weights * rows).sum(1))


def marked_sets(seed: int) -> Batches:
    """Return batches of sets [batch, 8, 16] in which one marked row shows the class, the others another one."""
    draw = samples.generator(5)
    labels = torch.randint(4, (640,), generator=draw)
    x = 0.1 * torch.randn(640, 8, 16, generator=draw)
    shown = torch.randint(4, (640, 8), generator=draw)
    place = torch.randint(8, (640,), generator=draw)
    rows = torch.arange(640)
    shown[rows, place] = labels
    x += F.one_hot(shown, 16).float()
    x[rows, place, 15] += 1.0
    return samples.stream(x, labels, seed, size=32)


@case(
    "sharp-pooling", label="saturated-attention", root="/softmax#1", steps=300, fixes=("drop the factor",),
    source="generated",
    why="Scores multiplied by a million pick one row for good, and seldom the marked one.",
)  # fmt: skip
def sharp_pooling(seed: int, factor: float = 1e6) -> Setup:
    return adam(Scores(factor), marked_sets(seed), rate=1e-2)
