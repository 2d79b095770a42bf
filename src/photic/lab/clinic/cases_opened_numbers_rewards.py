"""Written without knowledge of the rules: nan in rewards, masks, alignments and optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, stack


def _group_relative(logits: Tensor, answer: Tensor, eps: float) -> Tensor:
    """The loss of GRPO: eight tries a question, their rewards standardised within the question."""
    with torch.no_grad():
        tries = torch.multinomial(logits.softmax(1), 8, replacement=True)
        reward = (tries == answer[:, None]).float()
        advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + eps)
    return -(advantage * logits.log_softmax(1).gather(1, tries)).mean()


@case(
    "eight-tries-a-question", label="non-finite", root="", steps=300,
    fixes=("an epsilon in the deviation", "leave such groups out"),
    source="common mistake; shao2024, GRPO",
    why="Where all eight tries are wrong their rewards deviate by 0, and 0 / 0 is nan: half of the questions at "
    "step 0.",
)  # fmt: skip
def tries(seed: int, eps: float = 0.0) -> Setup:
    model = stack([64, 64, 10], nn.ReLU, he)
    return adam(model, samples.digits(seed), partial(_group_relative, eps=eps), rate=3e-3)


cured("eight-tries-a-question", why="1e-4 is added to the deviation.")(partial(tries, eps=1e-4))


class Legal(nn.Module):
    """A policy over ten moves; the second half of the input says which are legal."""

    def __init__(self, forbidden: float) -> None:
        super().__init__()
        self.body, self.forbidden = stack([64, 96, 10], nn.ReLU, he), forbidden

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, 10]."""
        board, legal = x.split([64, 10], dim=1)
        return self.body(board).masked_fill(legal < 0.5, self.forbidden)


def _with_entropy(scores: Tensor, move: Tensor) -> Tensor:
    logp = F.log_softmax(scores, dim=-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return F.nll_loss(logp, move) - 0.01 * entropy.mean()


@case(
    "legal-moves-alone", label="non-finite", root="", steps=250,
    fixes=("a large negative number for -inf", "sum over legal moves"),
    source="hill-a/stable-baselines#453",
    why="Illegal moves score -inf: their share is 0, its logarithm -inf, and the entropy sums 0 times -inf = nan at "
    "step 0.",
)  # fmt: skip
def legal_moves(seed: int, forbidden: float = -torch.inf) -> Setup:
    x, y = samples.digit_table()
    legal = (torch.rand(len(x), 10, generator=samples.generator(5)) < 0.7).float()
    legal[torch.arange(len(x)), y] = 1.0
    return adam(Legal(forbidden), samples.stream(torch.cat([x, legal], 1), y, seed), _with_entropy)


cured("legal-moves-alone", why="Illegal moves score -1e9.")(partial(legal_moves, forbidden=-1e9))


def _spoken(seed: int) -> Batches:
    """Frames [batch, 32, 7], four per letter, and letters 1 to 6 with their number, three to eight."""
    draw = samples.generator(seed + 80)
    count = torch.randint(3, 9, (480,), generator=draw)
    letters = torch.randint(1, 7, (480, 8), generator=draw)
    shown = letters * (torch.arange(8)[None] < count[:, None])
    frames = F.one_hot(shown.repeat_interleave(4, dim=1), 7).float()
    frames = frames + 0.3 * torch.randn(frames.shape, generator=draw)
    return samples.stream(frames, (letters, count), seed, size=32)


class Listener(nn.Module):
    """Two convolutions over frames and scores of a blank and six letters; the second one's stride can vary."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(7, 32, 3, stride=2, padding=1)
        self.second = nn.Conv1d(32, 48, 5, stride=stride, padding=2)
        self.out = nn.Linear(48, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Return log shares [time, batch, 7]."""
        h = F.relu(self.second(F.relu(self.first(x.transpose(1, 2)))))
        return self.out(h.permute(2, 0, 1)).log_softmax(-1)


def _alignment(output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    letters, count = target
    frames = torch.full_like(count, output.shape[0])
    return F.ctc_loss(output, letters, frames, count)


@case(
    "letters-heard", label="non-finite", root="", steps=250, fixes=("a smaller stride", "zero_infinity=True"),
    source="k2-fsa/icefall#135; pytorch/pytorch#31557",
    why="The strides leave 6 frames of 32 where 3 rows in 10 have 7 or 8 letters: no alignment exists, and the CTC "
    "loss is inf at step 0.",
)  # fmt: skip
def letters_heard(seed: int, stride: int = 3) -> Setup:
    return adam(Listener(stride), _spoken(seed), _alignment, rate=5e-3)


cured("letters-heard", why="A stride of 1: 16 frames, enough for 8 letters and the blanks between.")(
    partial(letters_heard, stride=1)
)


class RowNorm(torch.autograd.Function):
    """Each row with mean 0 and deviation 1, with its own way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        """Return the normalised rows."""
        centred = x - x.mean(-1, keepdim=True)
        inverse = (centred.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        out = centred * inverse
        ctx.save_for_backward(out, inverse)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradient of the rows."""
        out, inverse = ctx.saved_tensors
        along = (grad * out).mean(-1, keepdim=True)
        return inverse * (grad - grad.mean(-1, keepdim=True) - out * along), None


class Topics(nn.Module):
    """A transformer block written by hand over padded sentences; the padding's vector is 0."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 32, padding_idx=0)
        self.qkv, self.up, self.down = nn.Linear(32, 96), nn.Linear(32, 64), nn.Linear(64, 32)
        self.head, self.eps = nn.Linear(32, 5), eps

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 5]."""
        there = tokens.ne(0)
        x = self.words(tokens)
        q, k, v = self.qkv(RowNorm.apply(x, self.eps)).chunk(3, dim=-1)
        score = torch.einsum("bid,bjd->bij", q, k) * 32**-0.5
        share = score.masked_fill(~there[:, None], -1e4).softmax(-1)
        x = x + torch.einsum("bij,bjd->bid", share, v)
        x = x + self.down(F.gelu(self.up(RowNorm.apply(x, self.eps))))
        total = (x * there[..., None]).sum(1)
        return self.head(total / there.sum(1, keepdim=True))


def _sentences(seed: int) -> Batches:
    """Sentences of 4 to 12 words, padded with 0; the topic of five decides two words of three."""
    draw = samples.generator(seed + 90)
    topic = torch.randint(5, (960,), generator=draw)
    own = 1 + topic[:, None] * 4 + torch.randint(4, (960, 12), generator=draw)
    common = torch.randint(21, 30, (960, 12), generator=draw)
    tokens = torch.where(torch.rand(960, 12, generator=draw) < 0.66, own, common)
    length = torch.randint(4, 13, (960, 1), generator=draw)
    return samples.stream(tokens * (torch.arange(12)[None] < length), topic, seed)


@case(
    "padded-sentences", label="non-finite", root="", steps=200, fixes=("an epsilon in the norm",),
    source="common mistake",
    why="The padding's vector is 0 and so is its variance: a norm without an epsilon makes 0 times infinity of it, "
    "nan at step 0.",
)  # fmt: skip
def padded(seed: int, eps: float = 0.0) -> Setup:
    return adam(Topics(eps), _sentences(seed), rate=3e-3)


cured("padded-sentences", why="An epsilon of 1e-5.")(partial(padded, eps=1e-5))


class OwnAdam(torch.optim.Optimizer):
    """Adam by hand, on tensors; `first` is the number of the first step."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, decay: float = 0.9, first: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "decay": decay, "first": first})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move all parameters, and count the step afterwards."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                memory = self.state[p]
                if not memory:
                    memory["t"] = torch.tensor(group["first"])
                    memory["m"], memory["v"] = torch.zeros_like(p), torch.zeros_like(p)
                m, v, t = memory["m"], memory["v"], memory["t"]
                m.lerp_(p.grad, 1 - group["decay"])
                v.lerp_(p.grad.square(), 0.001)
                mean, square = m / (1 - group["decay"] ** t), v / (1 - 0.999**t)
                p.sub_(group["lr"] * mean / (square.sqrt() + 1e-8))
                t.add_(1)


@case(
    "autoencoder-by-own-adam", label="non-finite", root="", steps=250, fixes=("count before the correction",),
    source="common mistake",
    why="Steps are counted from 0: the first correction divides by 1 - 0.9^0 = 0, and all weights are nan after one "
    "step.",
)  # fmt: skip
def own_adam(seed: int, first: float = 0.0) -> Setup:
    model = nn.Sequential(nn.Linear(64, 48), nn.SiLU(), nn.Linear(48, 12), nn.SiLU(), nn.Linear(12, 64))
    kept = [(x, x) for x, _ in samples.digits(seed)()]
    return Setup(model, lambda: iter(kept), F.mse_loss, OwnAdam(model.parameters(), lr=5e-3, first=first))


cured("autoencoder-by-own-adam", why="Steps are counted from 1.")(partial(own_adam, first=1.0))
