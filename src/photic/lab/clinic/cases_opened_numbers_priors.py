"""Written without knowledge of the rules: networks to which all inputs are one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, stack


def _tones(seed: int, *, rows: int = 640, length: int = 48) -> Batches:
    """Series [batch, length, 1] of one of five frequencies, with a phase and noise, and the frequency's number."""
    draw = samples.generator(seed + 20)
    kind = torch.randint(5, (rows,), generator=draw)
    phase = 6.283 * torch.rand(rows, 1, generator=draw)
    wave = torch.sin((kind[:, None] + 1) * 0.2 * torch.arange(length)[None] + phase)
    return samples.stream((wave + 0.3 * torch.randn(rows, length, generator=draw))[..., None], kind, seed)


class Series(nn.Module):
    """A norm in front, a projection, two convolutions over time, an average over time, and a classifier."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.lift = norm, nn.Linear(1, 16)
        self.body = nn.Sequential(
            nn.Conv1d(16, 32, 7, padding=3), nn.GELU(), nn.Conv1d(32, 32, 7, padding=3), nn.GELU()
        )
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 5] of series [batch, time, 1]."""
        h = self.lift(self.norm(x)).transpose(1, 2)
        return self.head(self.body(h).mean(2))


@case(
    "one-sensor-series", label="class-prior-only", root="norm", steps=250,
    fixes=("normalise over time", "no norm in front"),
    source="pytorch/pytorch#108956; NVIDIA-Merlin/Transformers4Rec#151",
    why="nn.LayerNorm(1) takes the mean of one number from it: every series becomes the norm's bias, 0, at all 48 "
    "places.",
)  # fmt: skip
def one_sensor(seed: int, size: Sequence[int] = (1,)) -> Setup:
    return adam(Series(nn.LayerNorm(list(size))), _tones(seed), rate=3e-3)


cured("one-sensor-series", why="A norm over the 48 places.")(partial(one_sensor, size=(48, 1)))


class AsBytes(nn.Module):
    """A convolutional network that first makes bytes of the images, as a viewer would, and numbers of the bytes."""

    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]; x has pixels of 0 up to, but not, 1."""
        x = (x * self.top).to(torch.uint8).float().div(self.top)
        x = F.max_pool2d(F.relu(self.conv1(x.view(-1, 1, 8, 8))), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


@case(
    "images-as-bytes", label="class-prior-only", root="", steps=250, fixes=("multiply by 255 first",),
    source="common mistake; astype(np.uint8) of images in [0, 1)",
    why="Pixels lie in 0 to 0.99 and are made bytes without being multiplied by 255: each is 0, and all images are "
    "alike.",
)  # fmt: skip
def as_bytes(seed: int, top: float = 1.0) -> Setup:
    return adam(AsBytes(top), samples.digit_pixels(seed, top=0.99), rate=3e-3)


cured("images-as-bytes", why="Multiplied by 255 before.")(partial(as_bytes, top=255.0))


_WORDS = ["Film", "Plot", "Cast", "Fine", "Dull", "Loud", "Warm", "Cold", "Slow", "Fast", "Deep", "Flat"]


def _reviews(seed: int, *, lower: bool) -> Batches:
    """Reviews of ten words, looked up in a vocabulary of capitalised words, and one of three grades."""
    draw = samples.generator(seed + 50)
    grade = (torch.rand(800, generator=draw)[:, None] > torch.tensor([0.45, 0.75])).sum(1)
    own = 4 * grade[:, None] + torch.randint(4, (800, 10), generator=draw)
    other = torch.randint(12, (800, 10), generator=draw)
    chosen = torch.where(torch.rand(800, 10, generator=draw) < 0.4, own, other).tolist()
    known = {word: number for number, word in enumerate(["<pad>", "<unk>", *_WORDS])}
    text = [[_WORDS[word].lower() if lower else _WORDS[word] for word in row] for row in chosen]
    return samples.stream(torch.tensor([[known.get(word, 1) for word in row] for row in text]), grade, seed)


@case(
    "reviews-of-ten-words", label="class-prior-only", root="", steps=250,
    fixes=("one spelling for vocabulary and text",),
    source="common mistake; lower-casing after the vocabulary was made",
    why="The text is made lower case, the vocabulary was not: all 8,000 words are <unk>, and reviews differ in "
    "nothing.",
)  # fmt: skip
def reviews(seed: int, *, lower: bool = True) -> Setup:
    model = nn.Sequential(nn.EmbeddingBag(14, 24, mode="mean"), nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 3))
    return adam(model, _reviews(seed, lower=lower), rate=5e-3)


cured("reviews-of-ten-words", why="Text in the vocabulary's spelling.")(partial(reviews, lower=False))


class Summary(nn.Module):
    """A query of its own reads a padded sentence through torch's attention; what it read is classified."""

    def __init__(self, *, turned: bool) -> None:
        super().__init__()
        self.words, self.query = nn.Embedding(24, 32), nn.Parameter(torch.randn(1, 1, 32))
        self.read = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head, self.turned = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 4)), turned

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        mask = tokens.ne(0) if self.turned else tokens.eq(0)
        x = self.words(tokens)
        read, _ = self.read(self.query.expand(len(x), -1, -1), x, x, key_padding_mask=mask)
        return self.head(read[:, 0])


def _padded_topics(seed: int) -> Batches:
    draw = samples.generator(seed + 70)
    topic = torch.randint(4, (768,), generator=draw)
    own = 1 + 4 * topic[:, None] + torch.randint(4, (768, 14), generator=draw)
    tokens = torch.where(
        torch.rand(768, 14, generator=draw) < 0.5, own, torch.randint(17, 24, (768, 14), generator=draw)
    )
    length = torch.randint(5, 13, (768, 1), generator=draw)
    return samples.stream(tokens * (torch.arange(14)[None] < length), topic, seed)


@case(
    "padded-topics", label="class-prior-only", root="read", steps=250, fixes=("True where there is padding",),
    source="facebookresearch/detr#96; pytorch/pytorch#39321",
    why="key_padding_mask is True where a word is, but True means leave out: the padding alone is read, which is "
    "always one vector.",
)  # fmt: skip
def padded_topics(seed: int, *, turned: bool = True) -> Setup:
    return adam(Summary(turned=turned), _padded_topics(seed), rate=3e-3)


cured("padded-topics", why="The mask is True at the padding.")(partial(padded_topics, turned=False))


class Molecules(nn.Module):
    """Two rounds of messages over the atoms of all graphs of a batch, laid out as one list, and a readout."""

    def __init__(self, *, parted: bool) -> None:
        super().__init__()
        self.atom, self.parted = nn.Linear(6, 32), parted
        self.rounds = nn.ModuleList([nn.Linear(64, 32) for _ in range(2)])
        self.out = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [graphs, 4] of atoms on rings [graphs, atoms, 6]."""
        graphs, atoms, _ = x.shape
        number = torch.arange(graphs * atoms)
        home = number // atoms
        after = home * atoms + (number + 1) % atoms
        h = F.relu(self.atom(x.reshape(graphs * atoms, 6)))
        for layer in self.rounds:
            sent = torch.zeros_like(h).index_add(0, after, h).index_add(0, number, h[after])
            h = h + F.relu(layer(torch.cat([h, 0.5 * sent], dim=1)))
        if not self.parted:
            home = torch.zeros_like(home)
        total = torch.zeros(graphs, h.shape[1]).index_add(0, home, h)
        count = torch.zeros(graphs, 1).index_add(0, home, torch.ones(len(home), 1))
        pooled = total / count.clamp_min(1.0)
        return self.out(pooled if self.parted else pooled[:1].expand(graphs, -1))


def _rings(seed: int) -> Batches:
    """Rings of eight atoms of six kinds; the kind most of them are of decides between four unequal classes."""
    draw = samples.generator(seed + 30)
    label = (torch.rand(700, generator=draw)[:, None] > torch.tensor([0.4, 0.65, 0.85])).sum(1)
    kind = torch.where(
        torch.rand(700, 8, generator=draw) < 0.5, label[:, None], torch.randint(6, (700, 8), generator=draw)
    )
    return samples.stream(F.one_hot(kind, 6).float(), label, seed)


@case(
    "rings-of-atoms", label="class-prior-only", root="", steps=250, fixes=("the readout by graph",),
    source="pyg-team/pytorch_geometric#258, on a batch vector left out",
    why="The readout takes all 512 atoms of a batch for one graph: 64 graphs get one vector, and one answer.",
)  # fmt: skip
def rings(seed: int, *, parted: bool = False) -> Setup:
    return adam(Molecules(parted=parted), _rings(seed), rate=3e-3)


cured("rings-of-atoms", why="Each graph's own atoms.")(partial(rings, parted=True))


class Pairs(nn.Module):
    """A Siamese network over two digits in one row: the distance of their codes says whether they are of one class."""

    def __init__(self, *, typed_twice: bool) -> None:
        super().__init__()
        self.embed, self.typed_twice = stack([64, 96, 24], nn.ReLU, he), typed_twice
        self.score = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))

    def forward(self, pair: Tensor) -> Tensor:
        """Return logits [batch, 2] of pairs [batch, 2, 64]."""
        left, right = pair[:, 0], pair[:, 0 if self.typed_twice else 1]
        return self.score((self.embed(left) - self.embed(right)).abs())


def _pairs(seed: int) -> Batches:
    x, y = samples.digit_table()
    draw = samples.generator(seed + 10)
    first = torch.randint(len(x), (1600,), generator=draw)
    other = torch.randint(len(x), (1600,), generator=draw)
    by_class = [torch.nonzero(y == digit).flatten() for digit in range(10)]
    alike = torch.rand(1600, generator=draw) < 0.35
    for row in torch.nonzero(alike).flatten().tolist():
        choices = by_class[int(y[first[row]])]
        other[row] = choices[int(torch.randint(len(choices), (1,), generator=draw))]
    return samples.stream(torch.stack([x[first], x[other]], 1), (y[first] == y[other]).long(), seed)


@case(
    "same-digit-or-not", label="class-prior-only", root="", steps=300, fixes=("embed the second image",),
    source="common mistake; a line copied and not changed",
    why="The index of the second image is 0 as well: the difference of the codes is 0 for each pair, and all there "
    "is to say is that 58 % are not alike.",
)  # fmt: skip
def same_or_not(seed: int, *, typed_twice: bool = True) -> Setup:
    return adam(Pairs(typed_twice=typed_twice), _pairs(seed), rate=3e-3)


cured("same-digit-or-not", why="The second image's code.")(partial(same_or_not, typed_twice=False))
