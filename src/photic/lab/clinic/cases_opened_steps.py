"""Written after the rules, held out until they had been looked at: structure, recurrence, optimizers, precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.cases_optimizer import Clipping, GentleClipping
from photic.lab.clinic.networks import adam, he, sgd, stack

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@case(
    "slow-adam-regression", label="learning-rate-too-small", root="", steps=300, fixes=("higher learning rate",),
    source="TheDeepChecker, fault low learning rate",
    why="Adam at 1e-5, a hundredth of the usual rate: all is well, and nothing gets anywhere in 300 steps.",
)  # fmt: skip
def slow_adam(seed: int, rate: float = 1e-5) -> Setup:
    return adam(stack([10, 64, 64, 1], nn.ReLU, he), samples.diabetes(seed), F.mse_loss, rate=rate)


cured("slow-adam-regression", why="A rate of 1e-3.")(partial(slow_adam, rate=1e-3))


class Rows(nn.Module):
    """An LSTM that reads a digit row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(self.layer(x.view(-1, 8, 8))[0][:, -1])


@case(
    "rows-slow-lstm", label="learning-rate-too-small", root="", steps=300, fixes=("higher learning rate", "adam"),
    source="cs231n, notes on learning rates",
    why="An LSTM under plain gradient descent at 0.003, where Adam's 1e-2 or a descent at 1 is learned.",
)  # fmt: skip
def slow_rows(seed: int, make: Make = partial(torch.optim.SGD, lr=0.003)) -> Setup:
    model = Rows()
    return Setup(model, samples.digits(seed), F.cross_entropy, make(list(model.parameters())))


cured("rows-slow-lstm", why="Adam at 1e-2.")(partial(slow_rows, make=partial(torch.optim.Adam, lr=1e-2)))


class Checkpointed(nn.Module):
    """A frozen stem, two blocks under a checkpoint, and a head; a reentrant checkpoint wants an input with a gradient."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 4).requires_grad_(False)
        self.block = nn.Sequential(nn.Linear(64, 2), nn.Tanh(), nn.Linear(2, 4))
        self.head, self.reentrant = nn.Linear(4, 10), reentrant

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(torch.relu(checkpoint(self.block, x.detach(), use_reentrant=self.reentrant)))


@case(
    "checkpoint-over-frozen", label="severed-gradient", root="", steps=300, fixes=("use_reentrant=False",),
    source="huggingface/transformers#26221; open-unlearning#178",
    why="Nothing that enters the reentrant checkpoint requires a gradient, so nothing inside it gets one.",
)  # fmt: skip
def checkpointed(seed: int, *, reentrant: bool = True) -> Setup:
    return adam(Checkpointed(reentrant=reentrant), samples.digits(seed), rate=1e-2)


cured("checkpoint-over-frozen", why="use_reentrant=False.")(partial(checkpointed, reentrant=False))


@case(
    "gru-overwrites", label="vanishing-in-time", root="layer", steps=300, fixes=("biases for long memories",),
    source="tallec2018; hochreiter1998",
    why="The update gates of a GRU are biased so that each step overwrites the state; the class is shown at the first of 40.",
)  # fmt: skip
def overwriting(seed: int, bias: float = -4.0) -> Setup:
    layer = nn.GRU(samples.KINDS + 1, 32, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[32:64] = bias
        layer.bias_hh_l0[32:64] = 0.0
    return adam(Last(layer), samples.recall(seed, length=40), rate=3e-3)


class Last(nn.Module):
    """A recurrent layer and a classifier of its last output."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(layer.hidden_size, samples.KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        return self.head(self.layer(x)[0][:, -1])


cured("gru-overwrites", why="Biases of 3: the state is kept.")(partial(overwriting, bias=3.0))


@case(
    "head-after-optimizer", label="unowned-parameters", root="2", steps=300, fixes=("make the optimizer last",),
    source="huggingface/accelerate#2665; discuss.pytorch.org",
    why="A narrow layer is replaced after the optimizer was made, which still moves the old one.",
)  # fmt: skip
def replaced(seed: int, *, late: bool = True) -> Setup:
    model = stack([64, 64, 2, 64, 10], nn.ReLU, he)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model[2] = nn.Linear(64, 2)
    model[0] = nn.Linear(64, 64)
    if not late:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return Setup(model, samples.digits(seed), F.cross_entropy, optimizer)


cured("head-after-optimizer", why="The optimizer is made last.")(partial(replaced, late=False))


@case(
    "gamma-and-head-zero", label="zero-times-zero", root="", steps=300, fixes=("one of them at 0 is enough",),
    source="bachlechner2021; zhang2019",
    why="The last BatchNorm's gamma and the head are both 0: neither lets the other's gradient through.",
)  # fmt: skip
def both_zero(seed: int, gamma: float = 0.0) -> Setup:
    norm, head = nn.BatchNorm1d(64), nn.Linear(64, 10)
    nn.init.constant_(norm.weight, gamma)
    nn.init.zeros_(head.weight)
    return adam(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), norm, head), samples.digits(seed))


cured("gamma-and-head-zero", why="A gamma of 1.")(partial(both_zero, gamma=1.0))


@case(
    "half-small-steps", label="rounding-frozen", root="", steps=300, fixes=("weights in float32",),
    source="micikevicius2018, section 3.1",
    why="Weights in float16 of about 0.1 and steps of 2e-5: half of the distance to the next number is more than that.",
)  # fmt: skip
def half_steps(seed: int, dtype: torch.dtype = torch.float16) -> Setup:
    model = stack([64, 256, 256, 10], nn.ReLU, _spread).to(dtype)
    kept = [(x.to(dtype), y) for x, y in samples.digits(seed)()]

    def batches() -> Iterator[Any]:
        return iter(kept)

    return sgd(model, batches, _wide_loss, rate=2e-4)


def _spread(weight: Tensor) -> Tensor:
    """Weights of one size and either sign, as far from 0 as He wants."""
    with torch.no_grad():
        return weight.copy_(torch.sign(torch.randn_like(weight)) * (2.0 / weight.shape[1]) ** 0.5)


def _wide_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.float(), target)


cured("half-small-steps", why="Weights in float32.")(partial(half_steps, dtype=torch.float32))


@case(
    "rmsprop-epsilon-ten", label="frozen-by-epsilon", root="", steps=300, fixes=("smaller epsilon",),
    source="kingma2015, section 2, with RMSprop",
    why="An epsilon of 10 under RMSprop: each step is the gradient times 1e-4.",
)  # fmt: skip
def large_epsilon(seed: int, eps: float = 10.0) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, eps=eps)
    return Setup(model, samples.digits(seed), F.cross_entropy, optimizer)


cured("rmsprop-epsilon-ten", why="An epsilon of 1e-8.")(partial(large_epsilon, eps=1e-8))


class Coded(nn.Module):
    """An encoder to two or six numbers and a classifier, with something between that passes nothing back."""

    def __init__(self, between: Callable[[Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.encoder, self.classifier = stack([64, 32, width]), stack([width, 64, 10])
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.classifier(self.between(self.encoder(x)))


def _through_list(code: Tensor) -> Tensor:
    return torch.tensor(code.tolist())


def _itself(code: Tensor) -> Tensor:
    return code


@case(
    "code-made-anew", label="severed-gradient", root="", steps=300, fixes=("use the tensor itself",),
    source="discuss.pytorch.org, on torch.tensor(x.tolist())",
    why="The code is written into a list and made a tensor again, which has no history.",
)  # fmt: skip
def made_anew(seed: int, between: Callable[[Tensor], Tensor] = _through_list) -> Setup:
    return adam(Coded(between, 2), samples.digits(seed), rate=1e-2)


cured("code-made-anew", why="The tensor itself.")(partial(made_anew, between=_itself))


def _compared(code: Tensor) -> Tensor:
    return (code > 0.0).float()


@case(
    "code-by-comparison", label="severed-nondifferentiable", root="", steps=300, fixes=("a sigmoid",),
    source="bengio2013",
    why="The code is compared with 0: bits without a derivative.",
)  # fmt: skip
def compared(seed: int, between: Callable[[Tensor], Tensor] = _compared) -> Setup:
    return adam(Coded(between, 4), samples.digits(seed), rate=1e-2)


cured("code-by-comparison", why="A sigmoid.")(partial(compared, between=torch.sigmoid))


class OwnParameters(nn.Module):
    """Matrices kept in a plain list, or in a ParameterList."""

    def __init__(self, *, known: bool) -> None:
        super().__init__()
        held = [nn.Parameter(torch.randn(*shape) * 0.2) for shape in ((64, 3), (3, 64))]
        self.matrices: Any = nn.ParameterList(held) if known else held
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for matrix in self.matrices:
            x = torch.relu(x @ matrix)
        return self.head(x)


@case(
    "plain-list-parameters", label="severed-unregistered-module", root="", steps=300, fixes=("nn.ParameterList",),
    source="pytorch/pytorch#666; pytorch/pytorch#53925",
    why="Two matrices in a plain list, which torch does not find: they get gradients and stay as drawn.",
)  # fmt: skip
def own_parameters(seed: int, *, known: bool = False) -> Setup:
    return adam(OwnParameters(known=known), samples.digits(seed), rate=3e-3)


cured("plain-list-parameters", why="A ParameterList.")(partial(own_parameters, known=True))


@case(
    "recurrent-adam-half", label="learning-rate-too-large", root="", steps=200, fixes=("lower-learning-rate",),
    source="pascanu2013, section 2.3; TheDeepChecker, fault high learning rate",
    why="Adam at 0.5 moves every weight of a recurrent layer by half a unit at each step.",
)  # fmt: skip
def fast_rows(seed: int, rate: float = 0.5) -> Setup:
    return adam(Rows(), samples.digits(seed), rate=rate)


cured("recurrent-adam-half", why="A rate of 5e-3.")(partial(fast_rows, rate=5e-3))


@case(
    "limit-typed-wrong", label="useless-clipping", root="", steps=300, fixes=("a limit of a few times the usual norm",),
    source="pascanu2013, section 3.2",
    why="A convolutional network whose gradient's norm is clipped to 1e-4 at each step.",
)  # fmt: skip
def typed_wrong(seed: int, kind: type[torch.optim.SGD] = Clipping) -> Setup:
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)]
    model = nn.Sequential(*layers)
    return Setup(model, samples.digit_images(seed), F.cross_entropy, kind(model.parameters(), lr=0.1))


cured("limit-typed-wrong", why="A limit of 1.")(partial(typed_wrong, kind=GentleClipping))
