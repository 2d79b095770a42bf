"""Loops that grow with every turn: recurrent layers, linear scans, fast weights, iterations, Euler steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam


class Cell(nn.Module):
    """A recurrent network written as a loop: state = f(W x + U state)."""

    def __init__(self, recurrent: Tensor, activation: Callable[[Tensor], Tensor], inputs: int, outputs: int) -> None:
        super().__init__()
        width = len(recurrent)
        self.inward, self.head = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.recurrent, self.activation = nn.Parameter(recurrent), activation

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs after the last step, [batch, outputs]."""
        state = x.new_zeros(len(x), len(self.recurrent))
        for step in range(x.shape[1]):
            state = self.activation(self.inward(x[:, step]) + state @ self.recurrent.t())
        return self.head(state)


@case(
    "signs-remembered-by-tanh", label="exploding-in-time", root="", steps=300,
    fixes=("an orthogonal start", "spectral radius 1"),
    source="sompolinsky1988; pascanu2013, section 2.2; philipp2017",
    why="Recurrent weights of N(0, 16 / n): the state is bounded, the gradient grows in 20 steps to a norm "
    "of 460 to 570.",
)  # fmt: skip
def chaotic_loop(seed: int, gain: float = 4.0) -> Setup:
    width = 48
    recurrent = (
        gain * torch.randn(width, width) / width**0.5 if gain else nn.init.orthogonal_(torch.empty(width, width))
    )
    draw = samples.generator(seed + 101)
    x = 0.1 * torch.randn(1024, 20, 3, generator=draw)
    shown = torch.randn(1024, 3, generator=draw)
    x[:, 0] = shown
    y = (shown > 0.0).long() @ torch.tensor([1, 2, 4])
    model = Cell(recurrent, torch.tanh, 3, 8)
    return adam(model, samples.stream(x, y, seed), rate=3e-3)


cured("signs-remembered-by-tanh", why="An orthogonal matrix.")(partial(chaotic_loop, gain=0.0))


class Scan(nn.Module):
    """A diagonal state space model: state = a * state + B x, with a for each channel."""

    def __init__(self, *, bounded: bool, width: int = 64) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.rand(width) * 0.9 + 0.9 if not bounded else torch.linspace(-5.0, -1.0, width))
        self.inward, self.outward = nn.Linear(2, width), nn.Linear(width, 32)
        self.head, self.bounded = nn.Linear(32, 10), bounded

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of [batch, time, 2]."""
        factor = torch.exp(-F.softplus(self.rate)) if self.bounded else self.rate
        length = x.shape[1]
        powers = factor ** torch.arange(length - 1, -1, -1)[:, None]
        state = torch.einsum("td,btd->bd", powers, self.inward(x))
        return self.head(F.gelu(self.outward(state)))


@case(
    "diagonal-scan-of-pixels", label="exploding-in-time", root="", steps=300,
    fixes=("exp(-softplus(a))", "a within the unit circle"),
    source="orvieto2023, section 3.2; gu2022",
    why="The factors of a diagonal scan are drawn from 0.9 to 1.8: 1.8^31 is 8e7, and the first outputs are 3e6.",
)  # fmt: skip
def scan(seed: int, *, bounded: bool = False) -> Setup:
    x, y = samples.digit_table()
    return adam(Scan(bounded=bounded), samples.stream(x.view(-1, 32, 2), y, seed), rate=1e-2)


cured("diagonal-scan-of-pixels", why="exp(-softplus(a)), below 1 wherever a is.")(partial(scan, bounded=True))


class FastWeights(nn.Module):
    """Linear attention with the delta rule: a matrix of values that is corrected at each key."""

    def __init__(self, *, unit: bool, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, width)
        self.key, self.value = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.query, self.head, self.unit = nn.Linear(width, width, bias=False), nn.Linear(width, 12), unit

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 12] of pairs of tokens [batch, 2 * pairs + 1], the last a key again."""
        shown = self.embedding(tokens)
        keys, values = self.key(shown[:, :-1:2]), self.value(shown[:, 1::2])
        if self.unit:
            keys = F.normalize(keys, dim=-1)
        memory = shown.new_zeros(len(shown), keys.shape[-1], values.shape[-1])
        for step in range(keys.shape[1]):
            key = keys[:, step]
            wrong = values[:, step] - torch.einsum("bk,bkv->bv", key, memory)
            memory = memory + torch.einsum("bk,bv->bkv", key, wrong)
        question = self.key(shown[:, -1]) if not self.unit else F.normalize(self.key(shown[:, -1]), dim=-1)
        return self.head(torch.einsum("bk,bkv->bv", question, memory))


@case(
    "delta-rule-memory", label="exploding-in-time", root="", steps=300, fixes=("keys of length 1",),
    source="schlag2021, section 4.2; fla-org/flash-linear-attention, DeltaNet, qk_norm",
    why="Keys of squared length 10: each correction overshoots ninefold; after 16 the outputs are 2e8 and more.",
)  # fmt: skip
def delta_rule(seed: int, *, unit: bool = False) -> Setup:
    draw = samples.generator(seed + 111)
    rows, pairs = 1024, 16
    keys = torch.randint(6, (rows, pairs), generator=draw)
    meaning = torch.rand(rows, 6, generator=draw).argsort(1)
    values = meaning.gather(1, keys) + 6
    asked = torch.randint(pairs, (rows, 1), generator=draw)
    text = torch.cat((torch.stack((keys, values), 2).flatten(1), keys.gather(1, asked)), 1)
    model = FastWeights(unit=unit)
    return adam(model, samples.stream(text, values.gather(1, asked)[:, 0], seed), rate=3e-3)


cured("delta-rule-memory", why="Keys are divided by their length.")(partial(delta_rule, unit=True))


class Unrolled(nn.Module):
    """Sparse coding unrolled: x = shrink(x + step W'(y - W x)), 15 times with one W."""

    def __init__(self, dictionary: Tensor, *, safe: bool, turns: int = 15) -> None:
        super().__init__()
        self.weight, self.threshold = nn.Parameter(dictionary.clone()), nn.Parameter(torch.tensor(0.1))
        self.step = 1.0 / float(torch.linalg.matrix_norm(dictionary, 2)) ** 2 if safe else 1.0
        self.turns = turns

    def forward(self, y: Tensor) -> Tensor:
        """Return codes [batch, atoms]."""
        code = y.new_zeros(len(y), self.weight.shape[1])
        for _ in range(self.turns):
            code = code + self.step * (y - code @ self.weight.t()) @ self.weight
            code = torch.sign(code) * F.relu(code.abs() - self.step * self.threshold)
        return code


@case(
    "unrolled-shrinkage", label="exploding-in-time", root="", steps=300, fixes=("a step of 1 / norm squared",),
    source="gregor2010; daubechies2004",
    why="A step of 1 where the squared norm of W is 3.7: each of 15 turns multiplies the error by up to 2.7.",
)  # fmt: skip
def unrolled(seed: int, *, safe: bool = False) -> Setup:
    draw = samples.generator(seed + 121)
    true = F.normalize(torch.randn(24, 32, generator=samples.generator(5)), dim=0)
    code = torch.randn(1024, 32, generator=draw) * (torch.rand(1024, 32, generator=draw) < 0.1)
    guess = F.normalize(true + 0.25 * torch.randn(24, 32, generator=draw), dim=0)
    return adam(Unrolled(guess, safe=safe), samples.stream(code @ true.t(), code, seed), F.mse_loss, rate=3e-3)


cured("unrolled-shrinkage", why="A step of 1 / norm squared.")(partial(unrolled, safe=True))


class Flow(nn.Module):
    """A neural differential equation by Euler's method: z = z + h f(z), with one f for all steps."""

    def __init__(self, stride: float, *, steps: int = 40) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(2, 24), nn.Linear(24, 2)
        self.field = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 24))
        for layer in (self.field[0], self.field[2]):
            nn.init.kaiming_normal_(layer.weight)  # pyright: ignore[reportArgumentType]
        self.stride, self.steps = stride, steps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 2]."""
        state = self.enter(x)
        for _ in range(self.steps):
            state = state + self.stride * self.field(state)
        return self.leave(state)


@case(
    "euler-steps-of-rings", label="exploding-in-time", root="field", steps=300, fixes=("a stride of 1 / steps",),
    source="chen2018; dupont2019",
    why="Forty Euler steps with a stride of 1, where the time goes from 0 to 1: outputs of 2e14 and more.",
)  # fmt: skip
def euler(seed: int, stride: float = 1.0) -> Setup:
    return adam(Flow(stride), samples.circles(seed), rate=3e-3)


cured("euler-steps-of-rings", why="A stride of 1/40.")(partial(euler, stride=1.0 / 40.0))


class Messages(nn.Module):
    """Message passing with one set of weights for all rounds, over edges and nodes of many graphs at once."""

    def __init__(self, source: Tensor, target: Tensor, nodes: int, *, mean: bool, rounds: int = 12) -> None:
        super().__init__()
        self.enter, self.message, self.leave = nn.Linear(4, 24), nn.Linear(24, 24), nn.Linear(48, 3)
        self.register_buffer("source", source)
        self.register_buffer("target", target)
        degree = torch.zeros(nodes).index_add_(0, target, torch.ones(len(target)))
        self.register_buffer("divisor", degree[:, None] if mean else torch.ones(nodes, 1))
        self.rounds = rounds

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, nodes, 3] of features [batch, nodes, 4]."""
        source: Tensor = self.source  # pyright: ignore[reportAssignmentType]
        target: Tensor = self.target  # pyright: ignore[reportAssignmentType]
        divisor: Tensor = self.divisor  # pyright: ignore[reportAssignmentType]
        first = torch.relu(self.enter(x))
        state = first
        for _ in range(self.rounds):
            sent = self.message(state).index_select(1, source)
            gathered = torch.zeros_like(state).index_add(1, target, sent) / divisor
            state = torch.relu(gathered + first)
        return self.leave(torch.cat((first, state), -1))


def _node_loss(output: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), labels.flatten())


@case(
    "rounds-of-messages", label="exploding-in-time", root="message", steps=300, fixes=("the mean of the messages",),
    source="li2016, gated graph networks; common mistake: sums over many neighbours, round after round",
    why="Messages of nine neighbours are summed in each of twelve rounds with one matrix: outputs of 4e4 to 4e6.",
)  # fmt: skip
def messages(seed: int, *, mean: bool = False) -> Setup:
    draw = samples.generator(seed + 131)
    nodes = 20
    source = torch.arange(nodes).repeat_interleave(9)
    target = (source + torch.tensor([-7, -3, -2, -1, 0, 1, 2, 5, 8]).repeat(nodes)) % nodes
    x = torch.randn(512, nodes, 4, generator=draw)
    labels = x[..., :3].argmax(-1)
    return adam(
        Messages(source, target, nodes, mean=mean), samples.stream(x, labels, seed, size=32), _node_loss, rate=3e-3
    )


cured("rounds-of-messages", why="The mean.")(partial(messages, mean=True))
