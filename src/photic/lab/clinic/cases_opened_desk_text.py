"""From the desk: tokens. Mistakes of everyday code in readers, taggers, translators and small transformers."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, stack, token_loss


class Strokes(nn.Module):
    """A line of handwriting, 24 slices of 6 numbers, read by a convolution and a GRU for CTC; blank is 0."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 32, 3, stride=stride, padding=1)
        self.rnn, self.head = nn.GRU(32, 32, batch_first=True, bidirectional=True), nn.Linear(64, 9)

    def forward(self, lines: Tensor) -> Tensor:
        """Return log-probabilities [time, batch, 9]."""
        features = F.relu(self.conv(lines.transpose(1, 2))).transpose(1, 2)
        states, _ = self.rnn(features)
        return self.head(states).log_softmax(dim=-1).transpose(0, 1)


def _ctc(log_probs: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
    text, lengths = targets
    frames = torch.full((log_probs.shape[1],), log_probs.shape[0], dtype=torch.long)
    return F.ctc_loss(log_probs, text, frames, lengths)


def _lines(seed: int, rows: int = 768) -> Batches:
    """Three slices for each of eight letters; lines have four to eight letters, then nothing but noise."""
    draw = samples.generator(seed + 310)
    shapes = torch.randn(9, 3, 6, generator=samples.generator(31))
    shapes[0] = 0.0
    text = torch.randint(1, 9, (rows, 8), generator=draw)
    length = torch.randint(4, 9, (rows,), generator=draw)
    shown = torch.where(torch.arange(8) < length[:, None], text, 0)
    lines = shapes[shown].flatten(1, 2) + 0.2 * torch.randn(rows, 24, 6, generator=draw)
    return samples.stream(lines, (text, length), seed, size=32)


@case(
    "handwriting-by-ctc", label="non-finite", root="", steps=200, fixes=("a stride of 1 or 2", "zero_infinity=True"),
    source="pytorch documentation of CTCLoss (zero_infinity); common mistake: strides that leave too few frames",
    why="A stride of 4 leaves 6 frames, and lines have up to 8 letters: their loss is infinite from the first batch on.",
)  # fmt: skip
def handwriting(seed: int, stride: int = 4) -> Setup:
    return adam(Strokes(stride), _lines(seed), _ctc, rate=5e-3)


cured("handwriting-by-ctc", why="A stride of 1: 24 frames.")(partial(handwriting, stride=1))


class BagOfWords(nn.Module):
    """The mean of word vectors and a small net."""

    def __init__(self, words: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.words, self.net = nn.EmbeddingBag(words, width), stack([width, 64, classes])

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        return self.net(self.words(text))


def _topics(seed: int, *, classes: int, rows: int = 1280, words: int = 200, size: int = 32) -> Batches:
    """Texts of 16 words; four in ten come from the topic's own words; topic k is drawn more seldom than k - 1."""
    draw = samples.generator(seed + 311)
    share = 0.9 ** torch.arange(float(classes))
    topic = torch.multinomial(share, rows, replacement=True, generator=draw)
    own = words // classes
    text = torch.randint(words, (rows, 16), generator=draw)
    fitting = topic[:, None] * own + torch.randint(own, (rows, 16), generator=draw)
    return samples.stream(
        torch.where(torch.rand(rows, 16, generator=draw) < 0.4, fitting, text), topic, seed, size=size
    )


def _balanced(output: Tensor, target: Tensor, least: float) -> Tensor:
    count = torch.bincount(target, minlength=output.shape[1]).float().clamp(min=least)
    weight = len(target) / (output.shape[1] * count)
    wanted = F.one_hot(target, output.shape[1]).float()
    return -(weight * wanted * output.log_softmax(dim=1)).sum(dim=1).mean()


@case(
    "topics-weighed-by-batch", label="non-finite", root="", steps=300,
    fixes=("count.clamp(min=1)", "weights of the whole data set"),
    source="common mistake: 'balanced' class weights taken from the batch, discuss.pytorch.org",
    why="Some of twelve topics are missing in a batch of 32: weight 1 / 0, times the 0 of the one-hot target, is NaN.",
)  # fmt: skip
def balanced(seed: int, least: float = 0.0) -> Setup:
    loss: LossFunction = partial(_balanced, least=least)
    return adam(BagOfWords(200, 12), _topics(seed, classes=12), loss, rate=5e-3)


cured("topics-weighed-by-batch", why="A count of at least 1.")(partial(balanced, least=1.0))


class Attention(nn.Module):
    """Attention by einsum, with heads; weights are normalised by softmax, or are the plain products."""

    def __init__(self, width: int, heads: int, power: float, *, normalised: bool = True) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.value, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.heads, self.scale, self.normalised = heads, (width // heads) ** power, normalised

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return mixed states [batch, time, width]; `hidden` marks pairs of places that must not see each other."""
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (part(x).view(shape) for part in (self.query, self.key, self.value))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.scale
        if hidden is not None:
            scores = scores.masked_fill(hidden, float("-inf") if self.normalised else 0.0)
        weights = scores.softmax(dim=-1) if self.normalised else scores
        return self.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


class Writer(nn.Module):
    """A causal language model with learnt places."""

    def __init__(self, depth: int, *, normalised: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(20, 48), nn.Parameter(0.02 * torch.randn(16, 48))
        self.mixers = nn.ModuleList(Attention(48, 4, -0.5, normalised=normalised) for _ in range(depth))
        self.nets = nn.ModuleList(stack([48, 96, 48], nn.GELU) for _ in range(depth))
        self.head = nn.Linear(48, 20)

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        x = self.embed(text) + self.place
        later = torch.ones(text.shape[1], text.shape[1], dtype=torch.bool).triu(1)
        for mixer, net in zip(self.mixers, self.nets, strict=True):
            x = x + mixer(x, later)
            x = x + net(x)
        return self.head(x)


@case(
    "writer-without-softmax", label="exploding-gradient", root="mixers.0", steps=300,
    fixes=("softmax over the keys", "divide by the sum of the weights"),
    source="common mistake: the softmax lost in a rewrite by einsum",
    why="Plain products weigh the values, so each block takes its input to the third power: first losses of 1e7 to 1e16.",
)  # fmt: skip
def writer(seed: int, *, normalised: bool = False) -> Setup:
    return adam(Writer(6, normalised=normalised), samples.language(seed), token_loss, rate=2e-3)


cured("writer-without-softmax", why="Softmax over the keys.")(partial(writer, normalised=True))


class Translator(nn.Module):
    """An encoder and a decoder, GRUs both; the decoder is fed the true tokens, moved by one."""

    def __init__(self, *, handed: bool) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(10, 24), nn.Embedding(11, 24)
        self.encoder, self.decoder = nn.GRU(24, 64, batch_first=True), nn.GRU(24, 64, batch_first=True)
        self.head, self.handed = nn.Linear(64, 10), handed

    def forward(self, pair: Tensor) -> Tensor:
        """Return logits [batch, time, 10] of source and shifted target, [batch, 2, time]."""
        _, state = self.encoder(self.source(pair[:, 0]))
        shown = self.target(pair[:, 1])
        states, _ = self.decoder(shown, state) if self.handed else self.decoder(shown)
        return self.head(states)


def _reversed(seed: int, rows: int = 2048, length: int = 5) -> Batches:
    text = torch.randint(10, (rows, length), generator=samples.generator(seed + 312))
    wanted = text.flip(1)
    begun = torch.cat([torch.full((rows, 1), 10), wanted[:, :-1]], 1)
    return samples.stream(torch.stack([text, begun], 1), wanted, seed)


@case(
    "reversal-by-two-grus", label="idle-layer", root="encoder", steps=300, fixes=("self.decoder(shown, state)",),
    source="common mistake: the state is returned by the encoder and not handed on",
    why="The encoder's state is not handed to the decoder: the encoder has no gradient, the loss stays at 2.30 = log 10.",
)  # fmt: skip
def reversal(seed: int, *, handed: bool = False) -> Setup:
    return adam(Translator(handed=handed), _reversed(seed), token_loss, rate=1e-2)


cured("reversal-by-two-grus", why="The state is handed on.")(partial(reversal, handed=True))


class Pooled(nn.Module):
    """Token states are weighed by a learnt score and added up, then classified."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed, self.context = nn.Embedding(12, 16), nn.Conv1d(16, 12, 2)
        self.score, self.head, self.dim = stack([12, 32, 1], nn.Tanh), nn.Linear(12, 12), dim

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, 12]."""
        states = torch.tanh(self.context(self.embed(text).transpose(1, 2)).transpose(1, 2))
        weight = self.score(states).softmax(dim=self.dim)
        return self.head((weight * states).sum(dim=1))


@case(
    "token-after-the-sign", label="idle-layer", root="score", steps=300, fixes=("softmax(dim=1)",),
    source="common mistake: softmax over the last dimension, which holds one score, discuss.pytorch.org",
    why="softmax(dim=-1) of scores [batch, time, 1] is 1 for all: the scorer changes nothing and has no gradient.",
)  # fmt: skip
def pooled(seed: int, dim: int = -1) -> Setup:
    return adam(Pooled(dim), samples.first_token(seed, length=32), rate=1e-2)


cured("token-after-the-sign", why="Softmax over time.")(partial(pooled, dim=1))


def _padded(seed: int, *, left: bool, rows: int = 1280, length: int = 24, kept: int = 12) -> Batches:
    """Texts of four to twelve words with 0 before or behind, cut to the first twelve places."""
    draw = samples.generator(seed + 313)
    topic = torch.randint(6, (rows,), generator=draw)
    count = torch.randint(4, 13, (rows,), generator=draw)
    words = 1 + 10 * topic[:, None] + torch.randint(10, (rows, length), generator=draw)
    other = torch.randint(1, 61, (rows, length), generator=draw)
    text = torch.where(torch.rand(rows, length, generator=draw) < 0.5, words, other)
    place = torch.arange(length)
    there = place >= length - count[:, None] if left else place < count[:, None]
    return samples.stream(torch.where(there, text, 0)[:, :kept], topic, seed, size=32)


@case(
    "topics-padded-and-cut", label="class-prior-only", root="", steps=300, fixes=("pad on the right", "cut on the left"),
    source="common mistake: padding and truncating on different sides",
    why="Texts are padded on the left to 24 places, and the first 12 kept: all that is left is padding.",
)  # fmt: skip
def padded(seed: int, *, left: bool = True) -> Setup:
    return adam(BagOfWords(61, 6), _padded(seed, left=left), rate=5e-3)


cured("topics-padded-and-cut", why="Padding on the right.")(partial(padded, left=False))


def _numbered(seed: int, *, each: bool) -> Batches:
    """Topics as numbers, from the whole data set or from the labels of each batch."""
    kept = list(_topics(seed, classes=25, size=16)())
    if each:
        kept = [(text, torch.unique(topic, return_inverse=True)[1]) for text, topic in kept]
    return lambda: iter(kept)


@case(
    "topics-numbered-in-each-batch", label="class-prior-only", root="", steps=300,
    fixes=("one numbering for the whole data set",),
    source="common mistake: a LabelEncoder fitted inside of the collate function",
    why="Sixteen of 25 topics at most are in a batch, numbered anew each time: a number means another topic in each.",
)  # fmt: skip
def numbered(seed: int, *, each: bool = True) -> Setup:
    return adam(BagOfWords(200, 25), _numbered(seed, each=each), rate=5e-3)


cured("topics-numbered-in-each-batch", why="Numbers of the whole data set.")(partial(numbered, each=False))


class Adapted(nn.Module):
    """A frozen linear layer and a low-rank adapter beside it."""

    def __init__(self, base: nn.Linear, rank: int, spread: float) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(spread * torch.randn(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Return base(x) and what the adapter adds."""
        return self.base(x) + 2.0 * (x @ self.down.t()) @ self.up.t()


@case(
    "digits-by-adapters", label="zero-times-zero", root="0", steps=300, fixes=("begin one factor at random",),
    source="hu2022lora, section 4.1, with both factors begun at 0",
    why="Both factors of each adapter begin at 0: the gradient of each is the other one, and nothing ever moves.",
)  # fmt: skip
def adapters(seed: int, spread: float = 0.0) -> Setup:
    x, y = samples.digit_table()
    body = [Adapted(nn.Linear(64, 64), 8, spread), nn.GELU(), Adapted(nn.Linear(64, 64), 8, spread), nn.GELU()]
    model = nn.Sequential(*body, Adapted(nn.Linear(64, 10), 8, spread))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "base" not in name
    return adam(model, samples.stream(x, y, seed), rate=5e-3)


cured("digits-by-adapters", why="The inner factor begins at random.")(partial(adapters, spread=0.125))


class Columns(nn.Module):
    """Texts with three fields, each with an embedding of its own, kept in a dictionary."""

    def __init__(self, fields: dict[str, int], *, registered: bool) -> None:
        super().__init__()
        tables = {name: nn.Embedding(size, 4) for name, size in fields.items()}
        self.tables = nn.ModuleDict(tables) if registered else tables
        self.net = stack([4 * len(fields), 32, 4])

    def forward(self, fields: Tensor) -> Tensor:
        """Return logits [batch, 4] of numbers [batch, fields]."""
        parts = [table(fields[:, at]) for at, table in enumerate(self.tables.values())]
        return self.net(torch.cat(parts, 1))


def _fields(seed: int, rows: int = 2560) -> Batches:
    draw = samples.generator(seed + 314)
    meaning = torch.randint(2, (2, 120), generator=samples.generator(32))
    number = torch.randint(120, (rows, 3), generator=draw)
    label = 2 * meaning[0][number[:, 0]] + meaning[1][number[:, 1]]
    return samples.stream(number, label, seed)


@case(
    "fields-in-a-dictionary", label="severed-unregistered-module", root="", steps=300, fixes=("nn.ModuleDict",),
    source="common mistake: modules in a plain dict, pytorch documentation of ModuleDict",
    why="Embeddings in a plain dict are no parameters of the model: 12 random numbers stand for three of 120 words.",
)  # fmt: skip
def in_a_dictionary(seed: int, *, registered: bool = False) -> Setup:
    model = Columns({"sender": 120, "subject": 120, "client": 120}, registered=registered)
    return adam(model, _fields(seed), rate=1e-2)


cured("fields-in-a-dictionary", why="nn.ModuleDict.")(partial(in_a_dictionary, registered=True))


class Reader(nn.Module):
    """One layer of attention, behind a norm, and the mean of all places."""

    def __init__(self, power: float, width: int = 64) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(12, width), nn.Parameter(torch.randn(12, width))
        self.first, self.second = Attention(width, 1, power), Attention(width, 1, power)
        self.net, self.head = stack([width, 128, width], nn.GELU), nn.Linear(width, 12)

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, 12]."""
        width = (self.place.shape[1],)
        x = self.embed(text) + self.place
        x = x + self.first(F.layer_norm(x, width))
        x = x + self.net(F.layer_norm(x, width))
        x = x + self.second(F.layer_norm(x, width))
        return self.head(F.layer_norm(x, width).mean(dim=1))


@case(
    "reader-with-scaled-scores", label="saturated-attention", root="first", steps=300, fixes=("divide by sqrt(d)",),
    source="vaswani2017attention, section 3.2.1; common mistake: * for /",
    why="Scores are multiplied by 8 = sqrt(64), not divided: the largest weight of a place is 0.95 on average.",
)  # fmt: skip
def scaled_scores(seed: int, power: float = 0.5) -> Setup:
    return adam(Reader(power), samples.first_token(seed), rate=2e-3)


cured("reader-with-scaled-scores", why="Divided by 8.")(partial(scaled_scores, power=-0.5))
