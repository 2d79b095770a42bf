"""Structure: cuts in the graph, layers nobody knows of, branches that cannot wake, streams without normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam, begin, he, sgd, stack

Cut = Literal["detach", "no-grad", "data", "round", "sign", "round-through", "sign-through", "none"]


class Narrow(nn.Module):
    """An encoder to a few numbers and a classifier behind them, with a cut or none between."""

    def __init__(self, cut: Cut, width: int) -> None:
        super().__init__()
        self.encoder, self.classifier, self.cut = stack([64, 32, width]), stack([width, 64, 10]), cut

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        if self.cut == "no-grad":
            with torch.no_grad():
                code = self.encoder(x)
            return self.classifier(code)
        code = self.encoder(x)
        if self.cut == "detach":
            code = code.detach()
        elif self.cut == "data":
            code = code.data
        elif self.cut == "round":
            code = code.round()
        elif self.cut == "sign":
            code = code.sign()
        elif self.cut == "round-through":
            code = code + (code.round() - code).detach()
        elif self.cut == "sign-through":
            code = torch.tanh(code) + (code.sign() - torch.tanh(code)).detach()
        return self.classifier(code)


def narrow(seed: int, cut: Cut, width: int = 2) -> Setup:
    """Return the set-up of an encoder and a classifier with a cut between them."""
    return adam(Narrow(cut, width), samples.digits(seed), rate=1e-2)


@case(
    "detached-code", label="severed-gradient", root="/detach#1", steps=300, fixes=("remove the detach",),
    source="lucidrains/CoCa-pytorch#6; deep_cage#16",
    why="A detach() between encoder and classifier: the encoder stays random.",
)  # fmt: skip
def detached(seed: int, cut: Cut = "detach") -> Setup:
    return narrow(seed, cut)


@case(
    "encoder-under-no-grad", label="severed-gradient", root="encoder.2", steps=300, fixes=("remove no_grad",),
    source="lucidrains/CoCa-pytorch#6",
    why="The encoder runs under no_grad, and is not frozen on purpose: its weights still ask for gradients.",
)  # fmt: skip
def under_no_grad(seed: int, cut: Cut = "no-grad") -> Setup:
    return narrow(seed, cut)


@case(
    "data-of-code", label="severed-gradient", root="", steps=300, fixes=("use the tensor itself",),
    source="paszke2017, on .data",
    why="`.data` of the code is a tensor without a history.",
)  # fmt: skip
def data_attribute(seed: int, cut: Cut = "data") -> Setup:
    return narrow(seed, cut, 3)


@case(
    "rounded-code", label="severed-nondifferentiable", root="/round#1", steps=300, fixes=("straight-through estimator",),
    source="generated",
    why="round() passes back a gradient of exactly 0; without a straight-through estimator the encoder rests.",
)  # fmt: skip
def rounded(seed: int, cut: Cut = "round") -> Setup:
    return narrow(seed, cut, 3)


@case(
    "sign-of-code", label="severed-nondifferentiable", root="/sign#1", steps=300, fixes=("straight-through estimator", "tanh"),
    source="generated",
    why="sign() passes back a gradient of exactly 0.",
)  # fmt: skip
def signed(seed: int, cut: Cut = "sign") -> Setup:
    return narrow(seed, cut, 6)


class Choice(nn.Module):
    """A choice of one of eight codes: by argmax, which no gradient passes, or by softmax."""

    def __init__(self, *, soft: bool) -> None:
        super().__init__()
        self.scores, self.codes, self.head, self.soft = nn.Linear(64, 8), nn.Embedding(8, 16), nn.Linear(16, 10), soft

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        scores = self.scores(x)
        if self.soft:
            return self.head(scores.softmax(-1) @ self.codes.weight)
        return self.head(self.codes(scores.argmax(-1)))


@case(
    "argmax-choice", label="severed-nondifferentiable", root="/argmax#1", steps=300, fixes=("softmax", "Gumbel softmax"),
    source="generated",
    why="argmax gives integers; what chooses them gets no gradient.",
)  # fmt: skip
def argmax_choice(seed: int, *, soft: bool = False) -> Setup:
    return adam(Choice(soft=soft), samples.digits(seed), rate=1e-2)


class Listed(nn.Module):
    """An encoder whose layers are kept in a plain list, or in a ModuleList."""

    def __init__(self, keep: Callable[[list[nn.Module]], list[nn.Module] | nn.ModuleList]) -> None:
        super().__init__()
        self.layers = keep([nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)])
        self.head = stack([2, 64, 10])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


@case(
    "layers-in-plain-list", label="severed-unregistered-module", root="", steps=300, fixes=("nn.ModuleList",),
    source="pytorch/pytorch#666; pytorch-meta-optimizer#11",
    why="Layers in a plain list are used, and are no parameters of the model: the optimizer never sees them.",
)  # fmt: skip
def plain_list(seed: int, keep: Callable[[list[nn.Module]], list[nn.Module] | nn.ModuleList] = list) -> Setup:
    return adam(Listed(keep), samples.digits(seed), rate=1e-2)


class LowRank(nn.Module):
    """A frozen layer with a low-rank update, before a frozen head."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.base = nn.Linear(64, 64).requires_grad_(False)
        self.down, self.up = nn.Linear(64, 8, bias=False), nn.Linear(8, 64, bias=False)
        self.head = nn.Linear(64, 10).requires_grad_(False)
        nn.init.normal_(self.down.weight, std=first) if first else nn.init.zeros_(self.down.weight)
        nn.init.normal_(self.up.weight, std=second) if second else nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(torch.relu(self.base(x) + self.up(self.down(x))))


@case(
    "low-rank-both-zero", label="zero-times-zero", root="down", steps=300, fixes=("draw one of the two at random",),
    source="generated, after hu2022lora, section 4.1",
    why="Both factors of a low-rank update start at 0: each one's gradient is a multiple of the other.",
)  # fmt: skip
def low_rank(seed: int, first: float = 0.0) -> Setup:
    return adam(LowRank(first, 0.0), samples.digits(seed), rate=1e-2)


class Gated(nn.Module):
    """Points in the plane, a residual branch with a gate, and a linear head; the head alone cannot tell rings apart."""

    def __init__(self, *, zero_branch: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(2, 16), nn.Linear(16, 2)
        self.inner, self.outer = nn.Linear(16, 32), nn.Linear(32, 16, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))
        if zero_branch:
            nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 2]."""
        x = self.stem(x)
        return self.head(x + self.gate * self.outer(torch.relu(self.inner(x))))


@case(
    "gate-and-branch-zero", label="zero-times-zero", root="outer", steps=300, fixes=("start one of the two elsewhere",),
    source="bachlechner2021, section 3, and its trap",
    why="ReZero's gate and the branch's last layer both start at 0: neither gets a gradient, for ever.",
)  # fmt: skip
def gate_and_branch(seed: int, *, zero_branch: bool = True) -> Setup:
    return adam(Gated(zero_branch=zero_branch), samples.circles(seed), rate=1e-2)


class Stream(nn.Module):
    """Residual blocks on a stream: with or without LayerNorm before each, and a first layer scaled by `loud`."""

    def __init__(self, inputs: int, classes: int, depth: int, *, norm: bool, loud: float = 1.0) -> None:
        super().__init__()
        width = 64
        self.stem, self.head, self.loud = nn.Linear(inputs, width), nn.Linear(width, classes), loud
        self.last = nn.LayerNorm(width) if norm else nn.Identity()
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.branches = nn.ModuleList(
            begin(nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)), he) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        x = self.stem(x) * self.loud
        for norm, branch in zip(self.norms, self.branches, strict=True):
            x = x + branch(norm(x))
        return self.head(self.last(x))


@case(
    "residual-without-norm", label="missing-normalisation", root="", steps=200, fixes=("layer-normalisation", "zero-initialised branches"),
    source="zhang2019, section 2",
    why="Thirty residual blocks without normalisation: each at least doubles the stream's variance.",
)  # fmt: skip
def without_norm(seed: int, *, norm: bool = False) -> Setup:
    return sgd(Stream(64, 10, 30, norm=norm), samples.digits(seed), rate=0.01)


@case(
    "loud-stream", label="idle-layer", root="branches", steps=300, fixes=("scale the stem down", "scale the branches up"),
    source="wang2022deepnet, section 3, turned round",
    why="A residual stream of size 1e4, branches of size 1: the blocks add nothing, and the stem is all there is.",
)  # fmt: skip
def loud_stream(seed: int, loud: float = 1e4) -> Setup:
    return sgd(Stream(2, 2, 3, norm=True, loud=loud), samples.circles(seed), rate=0.03)


class Faint(nn.Module):
    """A linear way and a hidden layer beside it, whose part in the output is multiplied by `share`."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.line, self.hidden, self.share = nn.Linear(2, 2), stack([2, 32, 2], nn.ReLU, he), share

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 2]."""
        return self.line(x) + self.share * self.hidden(x)


@case(
    "branch-times-millionth", label="idle-layer", root="hidden.0", steps=300, fixes=("a larger factor",),
    source="generated",
    why="What the hidden layers say is multiplied by 1e-6: they are there, and change nothing.",
)  # fmt: skip
def faint(seed: int, share: float = 1e-6) -> Setup:
    return sgd(Faint(share), samples.circles(seed), F.cross_entropy, rate=0.3)
