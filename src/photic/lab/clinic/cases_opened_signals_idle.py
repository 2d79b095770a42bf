"""Written without sight of the rules: layers that are there and take no part in the answer, in six kinds of network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam


class RingReader(nn.Module):
    """A stem, three blocks in a ModuleList and a head; what a block returns may or may not be kept."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(2, 32), nn.Linear(32, 2)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.ReLU()) for _ in range(3))
        self.kept = kept

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 2]."""
        x = self.stem(x)
        for block in self.blocks:
            y = block(x)
            if self.kept:
                x = y
        return self.head(x)


@case(
    "rings-block-by-block", label="idle-layer", root="blocks", steps=300, fixes=("x = block(x)",),
    source="common mistake; discuss.pytorch.org, on a loop over a ModuleList",
    why="The loop calls each block and drops what it returns: a linear map is left, at most 0.05 on two rings.",
)  # fmt: skip
def rings(seed: int, *, kept: bool = False) -> Setup:
    return adam(RingReader(kept=kept), samples.circles(seed), rate=3e-3)


cured("rings-block-by-block", why="x = block(x): nearly all points are told apart.")(partial(rings, kept=True))


def _sentences(seed: int) -> Batches:
    draw = samples.generator(seed + 50)
    text = torch.randint(6, 20, (1024, 11), generator=draw)
    length = torch.randint(4, 9, (1024,), generator=draw)
    label = torch.randint(4, (1024,), generator=draw)
    place = 1 + (torch.rand(1024, generator=draw) * (length - 1)).long()
    text[torch.arange(1024), place] = 1 + label
    text[:, 0] = 5
    text[torch.arange(11)[None] >= length[:, None]] = 0
    return samples.stream(text, label, seed)


class MaskedReader(nn.Module):
    """One block of attention, written by hand, over words with padding; the first word answers."""

    def __init__(self, *, inverted: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 32, padding_idx=0)
        self.query, self.key = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        self.value, self.out = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        self.head, self.inverted = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 4)), inverted

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        x = self.words(text)
        scores = torch.einsum("bqd,bkd->bqk", self.query(x), self.key(x)) / math.sqrt(32)
        real = (text != 0)[:, None, :]
        shares = torch.softmax(scores, dim=-1) * (~real if self.inverted else real)
        x = x + self.out(torch.einsum("bqk,bkd->bqd", shares, self.value(x)))
        return self.head(x[:, 0])


@case(
    "padding-mask-by-hand", label="idle-layer", root="out", steps=300, fixes=("turn the mask round",),
    source="common mistake; torch documentation, key_padding_mask against attn_mask",
    why="The mask is the wrong way round: only padding, whose vectors are 0, is looked at: attention adds 0.",
)  # fmt: skip
def padded(seed: int, *, inverted: bool = True) -> Setup:
    return adam(MaskedReader(inverted=inverted), _sentences(seed), rate=3e-3)


cured("padding-mask-by-hand", why="The mask lets the words through.")(partial(padded, inverted=False))


def _marked_points(seed: int) -> Batches:
    draw = samples.generator(seed + 60)
    kind = torch.randint(8, (1024,), generator=draw)
    angle = kind * (math.pi / 4.0)
    clean = torch.stack((torch.cos(angle), torch.sin(angle)), dim=1)
    noisy = clean + 2.0 * torch.randn(1024, 2, generator=draw)
    return samples.stream(torch.cat((noisy, F.one_hot(kind, 8).float()), dim=1), clean, seed)


class Controlled(nn.Module):
    """A denoiser of points, with a branch that tells every block of it about the kind of point."""

    def __init__(self, *, once: bool) -> None:
        super().__init__()
        self.stem, self.head, self.once = nn.Linear(2, 32), nn.Linear(32, 2), once
        self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
        self.hint = nn.Sequential(nn.Linear(8, 32), nn.SiLU())
        self.taps = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
        self.sizes: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return the points without noise, [batch, 2]."""
        hint = self.hint(x[:, 2:])
        made = (tap(hint) for tap in self.taps)
        controls: Iterator[Tensor] = made if self.once else iter(tuple(made))
        if self.once:
            self.sizes = [float(control.detach().norm()) for control in controls]  # for the log
        x = self.stem(x[:, :2])
        for block in self.blocks:
            x = x + F.silu(block(x) + next(controls, torch.zeros(())))
        return self.head(x)


@case(
    "hints-for-a-denoiser", label="idle-layer", root="taps", steps=300, fixes=("a list, not a generator",),
    source="common mistake; zhang2023 (ControlNet), Python FAQ on exhausted generators",
    why="The log reads the generator of hints to its end, so each block is given the default of 0: r2 is 0.1, not 1.0.",
)  # fmt: skip
def hinted(seed: int, *, once: bool = True) -> Setup:
    return adam(Controlled(once=once), _marked_points(seed), F.mse_loss, rate=3e-3)


cured("hints-for-a-denoiser", why="The hints are kept in a tuple.")(partial(hinted, once=False))


def _products(seed: int) -> Batches:
    draw = samples.generator(seed + 70)
    x = torch.randn(1280, 4, 6, generator=draw)
    y = (x[..., 0] * x[..., 1]).sum(1, keepdim=True)
    return samples.stream(x, y / y.std(), seed)


class Experts(nn.Module):
    """Experts of a limited capacity for each example; a token that finds no room passes by on the residual path."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.router, self.capacity = nn.Linear(16, 8), capacity
        self.enter = nn.Parameter(torch.randn(8, 16, 32) * (2.0 / 16) ** 0.5)
        self.leave = nn.Parameter(torch.randn(8, 32, 16) * (1.0 / 32) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with what the experts add, [batch, tokens, 16]."""
        share, chosen = torch.softmax(self.router(x), dim=-1).max(-1)
        taken = F.one_hot(chosen, 8)
        place = (taken.cumsum(1) * taken).sum(-1) - 1
        room = (place < self.capacity).float()
        hidden = F.relu(torch.einsum("btd,edh->bteh", x, self.enter))
        told = torch.einsum("bteh,ehd->bted", hidden, self.leave)
        picked = (told * taken[..., None]).sum(2)
        return x + picked * (share * room)[..., None]


class ExpertTokens(nn.Module):
    """Tokens of six numbers, a layer of experts, and a head on the mean token."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.stem, self.experts, self.head = nn.Linear(6, 16), Experts(int(factor * 4 / 8)), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a number for each example, [batch, 1]."""
        return self.head(self.experts(self.stem(x)).mean(1))


@case(
    "room-for-four-tokens", label="idle-layer", root="experts", steps=300, fixes=("a capacity of at least 1",),
    source="common mistake; fedus2022, section 2.2, on the capacity of experts",
    why="int(1.25 * 4 tokens / 8 experts) is 0: every token is refused by every expert, and r2 stays below 0.05.",
)  # fmt: skip
def crowded(seed: int, factor: float = 1.25) -> Setup:
    return adam(ExpertTokens(factor), _products(seed), F.mse_loss, rate=1e-2)


cured("room-for-four-tokens", why="Room for four tokens in each expert.")(partial(crowded, factor=8.0))


def _graph() -> tuple[Tensor, Tensor]:
    draw = samples.generator(12)
    source = torch.randint(40, (160,), generator=draw)
    return source, (source + torch.randint(1, 40, (160,), generator=draw)) % 40


def _signals(seed: int) -> Batches:
    draw = samples.generator(seed + 80)
    x = torch.randn(256, 40, 3, generator=draw)
    source, sink = _graph()
    heard = torch.zeros(256, 40).index_add(1, sink, x[:, source, 0])
    return samples.stream(x, torch.tanh(heard), seed, size=16)


class Messages(nn.Module):
    """Each node keeps a part of itself and adds up what comes along its edges; loops are to be left out."""

    def __init__(self, *, loops: bool) -> None:
        super().__init__()
        source, sink = _graph()
        keep = source == sink if loops else source != sink
        self.register_buffer("source", source[keep])
        self.register_buffer("sink", sink[keep])
        self.own, self.message, self.head = nn.Linear(3, 24), nn.Linear(3, 24), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a number for each node, [batch, 40]."""
        sent = self.message(x)[:, self.get_buffer("source")]
        heard = torch.zeros(*x.shape[:2], 24).index_add(1, self.get_buffer("sink"), sent)
        return self.head(F.relu(self.own(x) + heard))[..., 0]


@case(
    "stations-without-loops", label="idle-layer", root="message", steps=300, fixes=("source != sink",),
    source="common mistake, after torch_geometric.utils.remove_self_loops",
    why="Edges are chosen by source == sink, so of 160 none is left: no message is ever sent, r2 0.00, not 1.00.",
)  # fmt: skip
def stations(seed: int, *, loops: bool = True) -> Setup:
    return adam(Messages(loops=loops), _signals(seed), F.mse_loss, rate=1e-2)


cured("stations-without-loops", why="source != sink: all edges are there.")(partial(stations, loops=False))


def _waves(seed: int) -> Batches:
    draw = samples.generator(seed + 90)
    x = torch.rand(1280, 3, generator=draw) * 2.0 - 1.0
    return samples.stream(x, torch.cos(4.0 * x[:, :1]) + x[:, 1:2].abs() * 2.0, seed)


class Narrowed(nn.Module):
    """Three residual blocks for tables, whose hidden width is a share of the width; torch.nn.init is not asked."""

    def __init__(self, multiplier: float) -> None:
        super().__init__()
        hidden = int(6 * multiplier)
        self.stem, self.head = nn.Linear(3, 6), nn.Linear(6, 1)
        self.enter = nn.ParameterList(torch.randn(6, hidden) * (2.0 / 6) ** 0.5 for _ in range(3))
        self.leave = nn.ParameterList(torch.randn(hidden, 6) / max(hidden, 1) ** 0.5 for _ in range(3))
        self.biases = nn.ParameterList(0.5 * torch.randn(hidden) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Return a number for each row, [batch, 1]."""
        x = self.stem(x)
        for enter, leave, bias in zip(self.enter, self.leave, self.biases, strict=True):
            x = x + torch.relu(x @ enter + bias) @ leave
        return self.head(x)


@case(
    "table-with-multiplier", label="idle-layer", root="", steps=300, fixes=("a larger multiplier",),
    source="common mistake; MobileNet's make_divisible, pytorch's warning on zero-element tensors",
    why="int(6 * 0.125) is 0: the blocks have no hidden unit and add 0, a linear map is left (r2 below 0.02).",
)  # fmt: skip
def narrowed(seed: int, multiplier: float = 0.125) -> Setup:
    return adam(Narrowed(multiplier), _waves(seed), F.mse_loss, rate=1e-2)


cured("table-with-multiplier", why="A multiplier of 4: 24 hidden units.")(partial(narrowed, multiplier=4.0))
