"""Sealed, third part: steps, schedules, clipping, clearing. Written without the rules. All are held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.cases_transformer import language_model
from photic.lab.clinic.networks import adam, he, stack

Make = Callable[[Any], torch.optim.Optimizer]


def _images() -> nn.Sequential:
    first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, stride=2, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))


class EveryBatch(torch.optim.SGD):
    """Gradient descent whose rate falls to a tenth at every tenth step: a schedule for epochs, stepped once a batch."""

    every = 10

    def step(self, closure: Any = None) -> Any:
        """Descend, then move the schedule."""
        super().step(closure)
        for group in self.param_groups:
            group["calls"] = group.get("calls", 0) + 1
            if group["calls"] % self.every == 0:
                group["lr"] *= 0.1


class EveryEpoch(EveryBatch):
    """The same, stepped as it was meant."""

    every = 280


@case(
    "schedule-stepped-per-batch", label="learning-rate-too-small", root="", steps=300, fixes=("step the schedule once an epoch",),
    source="discuss.pytorch.org, scheduler.step() inside the batch loop",
    why="StepLR with a tenth every ten epochs is stepped once a batch: after thirty batches the rate is a thousandth.",
)  # fmt: skip
def per_batch(seed: int, kind: type[torch.optim.SGD] = EveryBatch) -> Setup:
    model = _images()
    return Setup(model, samples.digit_images(seed), F.cross_entropy, kind(model.parameters(), lr=0.05))


cured("schedule-stepped-per-batch", why="Once an epoch.")(partial(per_batch, kind=EveryEpoch))


class WarmUp(torch.optim.Adam):
    """Adam whose rate rises from 0 to the one given over `over` steps."""

    over = 100_000

    def step(self, closure: Any = None) -> Any:
        """Set the rate, then step."""
        for group in self.param_groups:
            group["calls"] = group.get("calls", 0) + 1
            group["peak"] = group.get("peak", group["lr"])
            group["lr"] = group["peak"] * min(1.0, group["calls"] / self.over)
        return super().step(closure)


class ShortWarmUp(WarmUp):
    """The same over 30 steps."""

    over = 30


@case(
    "warm-up-for-ever", label="learning-rate-too-small", root="", steps=300, fixes=("a shorter warm-up", "higher learning rate"),
    source="huggingface/transformers, questions on warmup_steps with small data",
    why="The warm-up of a large model, 100,000 steps, in a run of a few hundred: the rate never leaves the ground.",
)  # fmt: skip
def long_warm_up(seed: int, kind: type[torch.optim.Adam] = WarmUp) -> Setup:
    model, batches, loss = language_model(seed, pre=True, depth=2)
    return Setup(model, batches, loss, kind(model.parameters(), lr=1e-3))


cured("warm-up-for-ever", why="Thirty steps.")(partial(long_warm_up, kind=ShortWarmUp))


class Unbounded(torch.optim.Adam):
    """Adam under a schedule that returns the number of the step where it should return a share."""

    most = math.inf

    def step(self, closure: Any = None) -> Any:
        """Set the rate, then step."""
        for group in self.param_groups:
            group["calls"] = group.get("calls", 0) + 1
            group["base"] = group.get("base", group["lr"])
            group["lr"] = group["base"] * min(group["calls"], self.most)
        return super().step(closure)


class Bounded(Unbounded):
    """The same, which never exceeds the rate given."""

    most = 1.0


@case(
    "multiplier-without-bound", label="learning-rate-too-large", root="", steps=300, fixes=("lower-learning-rate", "a share of at most 1"),
    source="Stack Overflow, LambdaLR multiplies the rate; vaswani2017attention, equation 3",
    why="LambdaLR multiplies the rate by what its function returns, here the number of the step: it grows without end.",
)  # fmt: skip
def multiplier(seed: int, kind: type[torch.optim.Adam] = Unbounded) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    return Setup(model, samples.digits(seed), F.cross_entropy, kind(model.parameters(), lr=1e-2))


cured("multiplier-without-bound", why="At most the rate itself.")(partial(multiplier, kind=Bounded))


@case(
    "fine-tuning-at-full-rate", label="learning-rate-too-large", root="", steps=200, fixes=("lower-learning-rate",),
    source="howard2018; huggingface/transformers, fine-tuning predicts one class only",
    why="A trained network goes on with Adam at 0.5, five hundred times what it was trained with: it forgets all at once.",
)  # fmt: skip
def full_rate(seed: int, rate: float = 0.5) -> Setup:
    model = nn.Sequential(
        nn.Linear(64, 64),
        nn.LayerNorm(64),
        nn.Tanh(),
        nn.Linear(64, 64),
        nn.LayerNorm(64),
        nn.Tanh(),
        nn.Linear(64, 10),
    )
    trainer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in samples.digits(seed)():  # one epoch of training
        trainer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        trainer.step()
    return adam(model, samples.digits(seed + 1), rate=rate)


cured("fine-tuning-at-full-rate", why="A rate of 1e-3.")(partial(full_rate, rate=1e-3))


def _reinforce(output: Tensor, labels: Tensor) -> Tensor:
    choice = torch.distributions.Categorical(logits=output)
    action = choice.sample()
    reward = (action == labels).float()
    return -((reward - reward.mean()) * choice.log_prob(action)).mean()


@case(
    "policy-collapses-at-once", label="learning-rate-too-large", root="", steps=300, fixes=("lower-learning-rate",),
    source="Stack Overflow, REINFORCE always picks the same action",
    why="A policy trained by Adam at 0.3: after few steps it is sure of one action, sees no other, and has no gradient.",
)  # fmt: skip
def collapsing(seed: int, rate: float = 0.3) -> Setup:
    return adam(stack([64, 64, 64, 10]), samples.digits(seed), _reinforce, rate=rate)


cured("policy-collapses-at-once", why="A rate of 0.01.")(partial(collapsing, rate=1e-2))


@case(
    "decoupled-decay-of-a-hundred", label="stalled-training", root="", steps=300, fixes=("less weight decay",),
    source="loshchilov2019; questions on the size of AdamW's weight decay",
    why="AdamW shrinks weights by rate times decay, here by a tenth at each step. (The weights end too small, but do not start so.)",
)  # fmt: skip
def decoupled(seed: int, decay: float = 100.0) -> Setup:
    model = _images()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=decay)
    return Setup(model, samples.digit_images(seed), F.cross_entropy, optimizer)


cured("decoupled-decay-of-a-hundred", why="A decay of 0.01.")(partial(decoupled, decay=0.01))


class Inside(torch.optim.Optimizer):
    """Adam by hand, with epsilon inside the root."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Step once."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"], state["first"] = 0, torch.zeros_like(parameter)
                    state["second"] = torch.zeros_like(parameter)
                state["step"] += 1
                state["first"].lerp_(parameter.grad, 0.1)
                state["second"].lerp_(parameter.grad.square(), 0.001)
                first = state["first"] / (1 - 0.9 ** state["step"])
                second = state["second"] / (1 - 0.999 ** state["step"])
                parameter.sub_(group["lr"] * first / (second + group["eps"]).sqrt())


@case(
    "epsilon-inside-the-root", label="frozen-by-epsilon", root="", steps=300, fixes=("smaller epsilon", "epsilon outside the root"),
    source="tensorflow/tensorflow, RMSprop's epsilon inside the root; the epsilon 0.1 to 1 of Inception",
    why="An epsilon of 1 stands inside the root: Adam divides by 1, not by the gradient's size, and its rate is 1e-3.",
)  # fmt: skip
def inside(seed: int, eps: float = 1.0) -> Setup:
    model, batches, loss = language_model(seed, pre=True, depth=1)
    return Setup(model, batches, loss, Inside(model.parameters(), lr=1e-3, eps=eps))


cured("epsilon-inside-the-root", why="An epsilon of 1e-16.")(partial(inside, eps=1e-16))


class Adaptive(torch.optim.SGD):
    """Gradient descent that clips each tensor's gradient to a share of the tensor's norm."""

    share = 1e-6

    def step(self, closure: Any = None) -> Any:
        """Clip, then descend."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    most = self.share * parameter.detach().norm().clamp_min(1e-3)
                    parameter.grad.mul_((most / parameter.grad.norm().clamp_min(1e-12)).clamp(max=1.0))
        return super().step(closure)


class Generous(Adaptive):
    """The same with a share of 0.1."""

    share = 0.1


@case(
    "adaptive-clip-to-nothing", label="useless-clipping", root="", steps=300, fixes=("a limit of a few times the usual norm",),
    source="brock2021, section 4.1",
    why="Adaptive clipping allows a gradient of a millionth of the weights' norm, where the paper allows a hundredth.",
)  # fmt: skip
def adaptive(seed: int, kind: type[torch.optim.SGD] = Adaptive) -> Setup:
    model = _images()
    return Setup(model, samples.digit_images(seed), F.cross_entropy, kind(model.parameters(), lr=0.2))


cured("adaptive-clip-to-nothing", why="A share of 0.1.")(partial(adaptive, kind=Generous))


class Private(torch.optim.SGD):
    """Gradient descent that clips every number of the gradient to a limit."""

    limit = 1e-6

    def step(self, closure: Any = None) -> Any:
        """Clip, then descend."""
        torch.nn.utils.clip_grad_value_([p for group in self.param_groups for p in group["params"]], self.limit)
        return super().step(closure)


class Lenient(Private):
    """The same with a limit of 1."""

    limit = 1.0


class Rows(nn.Module):
    """A GRU that reads a digit row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(8, 48, batch_first=True), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(self.layer(x.view(-1, 8, 8))[0][:, -1])


@case(
    "values-clipped-to-millionth", label="useless-clipping", root="", steps=300, fixes=("a limit of a few times the usual norm",),
    source="Stack Overflow, clip_grad_value_ with a tiny limit for an RNN",
    why="Out of fear of exploding gradients every number of the gradient is clipped to a millionth.",
)  # fmt: skip
def by_value(seed: int, kind: type[torch.optim.SGD] = Private) -> Setup:
    model = Rows()
    return Setup(model, samples.digits(seed), F.cross_entropy, kind(model.parameters(), lr=1.0))


cured("values-clipped-to-millionth", why="A limit of 1.")(partial(by_value, kind=Lenient))


class FirstGroup(torch.optim.SGD):
    """Gradient descent that clears the gradients of its first group alone."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the first group."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None


@case(
    "second-group-never-cleared", label="never-zeroed-gradients", root="2", steps=300, fixes=("zero_grad once a step",),
    source="generated, after hand-written zero_grad loops over param_groups[0]",
    why="A hand-written zero_grad clears the first parameter group; the layers of the second follow the sum of all gradients.",
)  # fmt: skip
def second_group(seed: int, kind: type[torch.optim.SGD] = FirstGroup) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    groups = [{"params": model[:2].parameters()}, {"params": model[2:].parameters()}]
    return Setup(model, samples.digits(seed), F.cross_entropy, kind(groups, lr=0.1))


cured("second-group-never-cleared", why="Both are cleared.")(partial(second_group, kind=torch.optim.SGD))


class NeverCleared(torch.optim.Adam):
    """Adam in a loop whose zero_grad belongs to another optimizer."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing."""


@case(
    "adam-never-cleared", label="never-zeroed-gradients", root="", steps=300, fixes=("zero_grad once a step",),
    source="Stack Overflow 48001598, why zero_grad is needed, with Adam",
    why="Adam follows the sum of all gradients so far: what was right a hundred batches ago still counts in full.",
)  # fmt: skip
def adam_sum(seed: int, kind: type[torch.optim.Adam] = NeverCleared) -> Setup:
    model = Rows()
    return Setup(model, samples.digits(seed), F.cross_entropy, kind(model.parameters(), lr=1e-2))


cured("adam-never-cleared", why="Gradients cleared.")(partial(adam_sum, kind=torch.optim.Adam))


class Bag(nn.Module):
    """The mean of word vectors and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.EmbeddingBag(400, 16, mode="mean"), nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, 4]."""
        return self.head(self.words(tokens))


def topics(seed: int) -> Batches:
    """Return batches of twelve words [batch, 12] and the topic that two of them tell, as a rule."""
    draw = samples.generator(47)
    labels = torch.randint(4, (1280,), generator=draw)
    common = (400 * torch.rand(1280, 10, generator=draw).square()).long()  # low numbers are frequent
    telling = 100 * labels[:, None] + 96 + torch.randint(4, (1280, 2), generator=draw)
    stray = torch.randint(400, (1280, 2), generator=draw)
    telling = torch.where(torch.rand(1280, 2, generator=draw) < 0.8, telling, stray)
    return samples.stream(torch.cat([common, telling], 1), labels, seed, size=32)


@case(
    "rare-words-without-epsilon", label="zero-epsilon", root="words", steps=200, fixes=("an epsilon of 1e-8",),
    source="google-deepmind/optax#1789; discuss.pytorch.org on RMSprop and embeddings",
    why="RMSprop with epsilon 0: a word that the batch does not hold has a gradient of exactly 0, and 0/0 is nan.",
)  # fmt: skip
def rare_words(seed: int, eps: float = 0.0) -> Setup:
    model = Bag()
    return Setup(model, topics(seed), F.cross_entropy, torch.optim.RMSprop(model.parameters(), lr=1e-2, eps=eps))


cured("rare-words-without-epsilon", why="An epsilon of 1e-8.")(partial(rare_words, eps=1e-8))
