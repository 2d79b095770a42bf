"""Sealed, fourth part: recurrence, gates, attention, tokens. Written without the rules. All are held out."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.cases_transformer import Reader
from photic.lab.clinic.networks import adam, token_loss


class ByHand(nn.Module):
    """A recurrent network of three matrices, written as the well-known gist writes it."""

    def __init__(self, *, small: bool) -> None:
        super().__init__()
        self.enter, self.leave = (nn.Parameter(0.01 * torch.randn(5, 32)), nn.Parameter(0.01 * torch.randn(32, 4)))
        self.recur = nn.Parameter(0.01 * torch.randn(32, 32))
        self.before, self.after = nn.Parameter(torch.zeros(32)), nn.Parameter(torch.zeros(4))
        if not small:
            nn.init.xavier_uniform_(self.enter)
            nn.init.xavier_uniform_(self.leave)
            nn.init.orthogonal_(self.recur)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        state = x.new_zeros(len(x), 32)
        for moment in x.unbind(1):
            state = torch.tanh(moment @ self.enter + state @ self.recur + self.before)
        return state @ self.leave + self.after


@case(
    "gist-with-hundredths", label="vanishing-in-time", root="", steps=300, fixes=("orthogonal-recurrence",),
    source="karpathy, min-char-rnn; pascanu2013, section 2.1",
    why="All matrices start at 0.01 times a normal number: of what the first of 20 steps said, each leaves a sixteenth. (They are too small, too.)",
)  # fmt: skip
def gist(seed: int, *, small: bool = True) -> Setup:
    return adam(ByHand(small=small), samples.recall(seed, length=20), rate=1e-3)


cured("gist-with-hundredths", why="An orthogonal recurrence.")(partial(gist, small=False))


class StateSpace(nn.Module):
    """A diagonal linear recurrence, h = a h + B x, and a reader of the last state."""

    def __init__(self, decay: Tensor, inputs: int = 5, classes: int = 4) -> None:
        super().__init__()
        self.decay, self.enter = nn.Parameter(decay), nn.Linear(inputs, len(decay))
        self.leave = nn.Sequential(nn.Linear(len(decay), 32), nn.GELU(), nn.Linear(32, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        state = x.new_zeros(len(x), len(self.decay))
        for drive in self.enter(x).unbind(1):
            state = self.decay * state + drive
        return self.leave(state)


@case(
    "state-space-forgets", label="vanishing-in-time", root="", steps=300, fixes=("decays near 1",),
    source="orvieto2023, section 3.2; gu2022",
    why="The decays of a state-space layer are drawn between 0 and 0.5; what was said 40 steps ago is gone.",
)  # fmt: skip
def forgets(seed: int, low: float = 0.0, high: float = 0.5) -> Setup:
    decay = low + (high - low) * torch.rand(32)
    return adam(StateSpace(decay), samples.recall(seed, length=40), rate=1e-3)


cured("state-space-forgets", why="Decays from 0.95 to 1.")(partial(forgets, low=0.95, high=1.0))


def _late(seed: int) -> Batches:
    kept = [(x.flip(1), y) for x, y in samples.recall(seed, length=50)()]
    return lambda: iter(kept)


@case(
    "state-space-runs-away", label="exploding-in-time", root="", steps=200, fixes=("decays below 1",),
    source="orvieto2023, section 3.3, on stable exponential parametrisation",
    why="Nothing keeps the decays below 1: at 1.5 the state, and the gradient on its way back, grow by 1e8 over 50 steps.",
)  # fmt: skip
def runs_away(seed: int, high: float = 1.5) -> Setup:
    return adam(StateSpace(high - 0.1 * torch.rand(32)), _late(seed), rate=1e-3)


cured("state-space-runs-away", why="Decays from 0.7 to 0.8.")(partial(runs_away, high=0.8))


class Highway(nn.Module):
    """Layers with a gate that carries their input past them."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(2, 16), nn.Linear(16, 2)
        self.inner = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.gates = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        for gate in self.gates:
            nn.init.constant_(gate.bias, bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 2]."""
        x = self.stem(x)
        for inner, gate in zip(self.inner, self.gates, strict=True):
            share = torch.sigmoid(gate(x))
            x = share * torch.relu(inner(x)) + (1 - share) * x
        return self.head(x)


@case(
    "highway-shut", label="saturated-gates", root="gates", steps=300, fixes=("a bias of -1 to -3",),
    source="srivastava2015, section 2.2",
    why="The transform gates are biased to -40: nothing goes through the layers, and the gates themselves have no slope.",
)  # fmt: skip
def highway(seed: int, bias: float = -40.0) -> Setup:
    return adam(Highway(bias), samples.circles(seed), rate=1e-2)


cured("highway-shut", why="A bias of -1.")(partial(highway, bias=-1.0))


class Memory(nn.Module):
    """An LSTM with biases for memories of up to `span` steps, and a head on its last output."""

    def __init__(self, span: float, hidden: int = 32) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(5, hidden, batch_first=True), nn.Linear(hidden, 4)
        with torch.no_grad():
            self.layer.bias_hh_l0.zero_()
            self.layer.bias_ih_l0.zero_()
            long = torch.log(1 + torch.rand(hidden) * (span - 2))
            self.layer.bias_ih_l0[hidden : 2 * hidden] = long
            self.layer.bias_ih_l0[:hidden] = -long

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        return self.head(self.layer(x)[0][:, -1])


@case(
    "chrono-in-nanoseconds", label="saturated-gates", root="layer", steps=300, fixes=("the span in steps",),
    source="tallec2018, section 3, with the wrong unit",
    why="The span of the memory was given in nanoseconds, 1e10, not in steps: input gates are shut at 1e-10, and have no slope.",
)  # fmt: skip
def nanoseconds(seed: int, span: float = 1e10) -> Setup:
    return adam(Memory(span), samples.recall(seed, length=20), rate=1e-2)


cured("chrono-in-nanoseconds", why="Twenty steps.")(partial(nanoseconds, span=20.0))


class Words(nn.Module):
    """Embedding, LSTM, head, all parameters at one number or as torch draws them."""

    def __init__(self, constant: float | None) -> None:
        super().__init__()
        self.tokens, self.layer = nn.Embedding(20, 32), nn.LSTM(32, 32, batch_first=True)
        self.head = nn.Linear(32, 20)
        for parameter in self.parameters():
            if constant is not None:
                nn.init.constant_(parameter, constant)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        return self.head(self.layer(self.tokens(tokens))[0])


@case(
    "all-parameters-alike", label="rank-collapse", root="", steps=300, fixes=("torch's own weights",),
    source="Stack Overflow, constant initialisation of an LSTM; glorot2010",
    why="Every parameter starts at 0.05: all units of a layer are one unit, get one gradient, and stay one.",
)  # fmt: skip
def alike(seed: int, constant: float | None = 0.05) -> Setup:
    return adam(Words(constant), samples.language(seed), token_loss, rate=3e-3)


cured("all-parameters-alike", why="torch's own weights.")(partial(alike, constant=None))


def _marked(seed: int) -> Batches:
    draw = samples.generator(51)
    labels = torch.randint(6, (960,), generator=draw)
    rows = torch.arange(960)
    shown = torch.randint(6, (960, 10), generator=draw)
    place = torch.randint(10, (960,), generator=draw)
    shown[rows, place] = labels
    x = torch.cat([F.one_hot(shown, 6).float(), torch.zeros(960, 10, 2)], -1)
    x[rows, place, 6] = 1.0
    return samples.stream(x + 0.05 * torch.randn(x.shape, generator=draw), labels, seed, size=32)


class Pooled(nn.Module):
    """Linear values of ten rows, weighed by a softmax of their scores over the dimension `over`."""

    def __init__(self, over: int) -> None:
        super().__init__()
        self.value, self.score = nn.Linear(8, 32), nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
        self.head, self.over = nn.Linear(32, 6), over

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 6]."""
        return self.head((self.score(x).softmax(self.over) * self.value(x)).sum(1))


@case(
    "softmax-over-one-score", label="saturated-attention", root="/softmax#1", steps=300, fixes=("softmax over the rows",),
    source="discuss.pytorch.org, attention weights are all ones",
    why="Scores [batch, rows, 1] and a softmax over the last dimension: each weight is 1, and no score gets a gradient. (The scorer is idle, too.)",
)  # fmt: skip
def one_score(seed: int, over: int = -1) -> Setup:
    return adam(Pooled(over), _marked(seed), rate=1e-2)


cured("softmax-over-one-score", why="Over the rows.")(partial(one_score, over=1))


@case(
    "queries-and-keys-zero", label="zero-times-zero", root="", steps=300, fixes=("one of them at 0 is enough",),
    source="yang2021, appendix D, on zero queries, applied to both",
    why="Query and key matrices both start at 0: each one's gradient is a multiple of the other, and attention stays a mean.",
)  # fmt: skip
def zero_scores(seed: int, start: float = 0.0) -> Setup:
    return adam(Reader(start=start), samples.first_token(seed), rate=3e-3)


cured("queries-and-keys-zero", why="torch's own weights.")(partial(zero_scores, start=1.0))


class Patches(nn.Module):
    """A transformer over the four quarters of a digit, as large images are read."""

    def __init__(self, depth: int, *, pre: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=pre)
        self.stem, self.places = nn.Conv2d(1, 32, 4, stride=4), nn.Parameter(0.02 * torch.randn(4, 32))
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images [batch, 1, 8, 8]."""
        return self.head(self.layers(self.stem(x).flatten(2).transpose(1, 2) + self.places).mean(1))


@case(
    "patches-post-norm-14", label="post-norm-without-warmup", root="", steps=120,
    fixes=("warm-up", "norm before the branch", "lower-learning-rate"),
    source="lucidrains/vit-pytorch#56; xiong2020",
    why="Fourteen layers with the norm behind the sum, and Adam at 0.005 from the first step on, without a warm-up.",
)  # fmt: skip
def patches(seed: int, *, pre: bool = False) -> Setup:
    return adam(Patches(14, pre=pre), samples.digit_images(seed), rate=5e-3)


cured("patches-post-norm-14", why="Norms before the branches.")(partial(patches, pre=True))


class Placed(nn.Module):
    """Tokens times a factor, places, an encoder layer, the mean, a head."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(10, 32), nn.Embedding(10, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.head, self.factor = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 10)), factor

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        x = self.factor * self.tokens(tokens) + self.places(torch.arange(10))
        return self.head(self.layer(x).mean(1))


def _fixed_place(seed: int) -> Batches:
    text = torch.randint(10, (1280, 10), generator=samples.generator(53))
    return samples.stream(text, text[:, 3], seed, size=32)


@case(
    "places-drowned-by-tokens", label="idle-layer", root="places", steps=300, fixes=("tokens and places of one size",),
    source="vaswani2017attention, section 3.4, with the factor squared twice",
    why="Tokens are multiplied by 1,024 before the places are added: behind the norm a place weighs a thousandth, and tells nothing.",
)  # fmt: skip
def drowned(seed: int, factor: float = 1024.0) -> Setup:
    return adam(Placed(factor), _fixed_place(seed), rate=3e-3)


cured("places-drowned-by-tokens", why="No factor.")(partial(drowned, factor=1.0))


Start = Literal["wide", "narrow"]


class Tied(nn.Module):
    """A causal language model whose output matrix is its embedding."""

    def __init__(self, start: Start, width: int = 128) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, width), nn.Parameter(torch.zeros(16, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, width, dropout=0.0, batch_first=True, norm_first=True)
        self.last = nn.LayerNorm(width)
        nn.init.normal_(self.tokens.weight, std=4.0 if start == "wide" else 1 / math.sqrt(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        x = self.layer(self.tokens(tokens) + self.places, src_mask=mask, is_causal=True)
        return self.last(x) @ self.tokens.weight.T


@case(
    "tied-wide-embedding", label="weights-too-large", root="tokens", steps=200, fixes=("smaller first weights",),
    source="press2017; karpathy/minGPT, a first loss far above ln(vocabulary)",
    why="The embedding starts with deviation 4 and is the output matrix as well: the first loss is in the hundreds, not ln 20.",
)  # fmt: skip
def tied(seed: int, start: Start = "wide") -> Setup:
    return adam(Tied(start), samples.language(seed), token_loss, rate=3e-4)


cured("tied-wide-embedding", why="A deviation of 1 over the root of the width.")(partial(tied, start="narrow"))
