"""Silent where it only looks sick: what has no gradient, does not move or hardly falls, and is as it should be."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.setup import Setup
from photic.checkups.training import train
from tests import zoo
from tests.zoo import seeded

Optimizer = Callable[[nn.Module], torch.optim.Optimizer]


class Scene(NamedTuple):
    """A set-up that looks sick."""

    model: nn.Module
    batches: Any
    loss: Any
    optimizer: torch.optim.Optimizer


def adam(model: nn.Module, rate: float = 1e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)


def sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], rate)


def classes(*, scale: float = 1.0) -> list[Any]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 64, generator=generator)
    y = (x[:, :10] + 0.3 * torch.randn(256, 10, generator=generator)).argmax(1)
    return [(scale * x[k : k + 64], y[k : k + 64]) for k in range(0, 256, 64)]


def good() -> nn.Module:
    return zoo.Mlp(torch.relu, 4, variance=2.0)


class KeyBias(nn.Module):
    """Attention whose keys have a bias: the same for every key, it moves no share, so its gradient is 0 but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 32), nn.Linear(32, 20)
        self.query, self.key, self.value = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        shares = (self.query(x) @ self.key(x).mT / math.sqrt(32)).softmax(-1)
        return self.head(x + shares @ self.value(x))


class Experts(nn.Module):
    """Eight experts of which each example asks one; some are asked by none."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.router, self.head = nn.Linear(64, 64), nn.Linear(64, 8), nn.Linear(64, 10)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(8))
        with torch.no_grad():
            self.router.bias[:2] -= 9.0  # never chosen

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        shares = self.router(x).softmax(1)
        weight, chosen = shares.max(1)
        added = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = (chosen == index).nonzero()[:, 0]
            if len(rows):
                added = added.index_add(0, rows, weight[rows, None] * expert(x[rows]))
        return self.head(x + added)


class Wide(nn.Module):
    """An embedding of 5,000 rows of which a batch uses some twenty; `sparse` gives its gradient as a sparse tensor."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5000, 32, sparse=sparse), nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(tokens)))


class TopK(nn.Module):
    """Of 256 units the eight largest pass: 97 % are 0, other ones for other inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode, self.head = nn.Linear(64, 256), nn.Linear(256, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        code = self.encode(x)
        kept = torch.zeros_like(code).scatter(1, code.topk(8, dim=1).indices, 1.0)
        return self.head(torch.relu(self.decode(code * kept)))


class StraightThrough(nn.Module):
    """Codes of -1 and 1, with the gradient of the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        code = torch.tanh(self.encode(x))
        return self.head(code + (code.sign() - code).detach())


class Siamese(nn.Module):
    """Two views, an encoder and a predictor; what is predicted is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.predictor = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.predictor(code), self.encoder(x + 0.1 * x.roll(1, 1)).detach()


class WithTarget(nn.Module):
    """A network of values and its frozen copy, which says what the next state is worth."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            after = self.target(x.roll(1, 0)).max(1).values
        return self.online(x), after


def td_error(output: tuple[Tensor, Tensor], action: Tensor) -> Tensor:
    values, after = output
    return F.smooth_l1_loss(values.gather(1, action[:, None] % 4)[:, 0], (action < 3).float() + 0.9 * after)


class Game(nn.Module):
    """A generator and a judge of points that take turns, by the parity of the batch's first number."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
        self.judge = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, noise: Tensor, real: Tensor, turn: int) -> Tensor:
        fake = self.maker(noise)
        if turn:
            return F.softplus(-self.judge(fake)).mean()
        return F.softplus(self.judge(fake.detach())).mean() + F.softplus(-self.judge(real)).mean()


def turns() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(3)
    for index in itertools.count():
        noise, real = torch.randn(64, 4, generator=generator), torch.randn(64, 2, generator=generator)
        yield (noise, 0.5 * real + 1.0, index % 2), None


def policy_loss(logits: Tensor, reward: Tensor) -> Tensor:
    """-advantage log p(action), actions by their place; its value means nothing and may rise."""
    action = torch.arange(len(logits)) % logits.shape[1]
    gain = (reward == action).float() - 0.1
    return -(gain * F.log_softmax(logits, 1)[torch.arange(len(logits)), action]).mean()


class ScaleInvariant(nn.Module):
    """BatchNorm after every layer, and weights ten times as large as drawn: only their direction counts."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(4):
            layers += [nn.Linear(64, 64, bias=bool(index % 2)), nn.BatchNorm1d(64), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(64, 10)
        with torch.no_grad():
            for layer in self.body:
                if isinstance(layer, nn.Linear):
                    layer.weight *= 10.0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Chrono(nn.Module):
    """An LSTM whose biases hold its gates open and shut for long memories."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 10)
        photic.initialise(self, "chrono", seed=0, longest=400)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.view(len(x), 8, 8))[0][:, -1])


def noisy(*, deterministic: float) -> list[Any]:
    """A regression of which `deterministic` of the variance can be known; the rest is noise."""
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(2048, 16, generator=generator)
    signal = x[:, :4].sum(1, keepdim=True) / 2.0
    noise = torch.randn(2048, 1, generator=generator)
    y = math.sqrt(deterministic) * signal + math.sqrt(1.0 - deterministic) * noise
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 2048, 64)]


@cache
def trained_before(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = seeded(good)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    setup = Setup(model, lambda: iter(classes()), F.cross_entropy, optimizer)
    train(setup, itertools.cycle(classes()), steps)
    return model, optimizer


def converged(steps: int) -> Scene:
    """A network that has been trained before, with its optimizer's state; for each who asks a copy."""
    model, optimizer = copy.deepcopy(trained_before(steps))
    return Scene(model, classes(), F.cross_entropy, optimizer)


def fine_tuned() -> Scene:
    """A trained network with a new head, at a hundredth of the rate."""
    model = converged(200).model
    model.head = seeded(lambda: nn.Linear(128, 10), 4)
    return Scene(model, classes(), F.cross_entropy, torch.optim.AdamW(model.parameters(), 1e-5))


def low_rank() -> Scene:
    model = seeded(zoo.Lora)
    return Scene(model, classes(), F.cross_entropy, adam(model, 1e-2))


def warming(optimizer: torch.optim.Optimizer, *, steps: int) -> torch.optim.Optimizer:
    """Let the rate rise from 0 to what it is within `steps`, by a hook as integrations do."""
    full = [group["lr"] for group in optimizer.param_groups]
    done = itertools.count(1)

    def rise(held: torch.optim.Optimizer, _: Any, __: Any) -> None:
        share = min(1.0, next(done) / steps)
        for group, rate in zip(held.param_groups, full, strict=True):
            group["lr"] = share * rate

    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.register_step_post_hook(rise)
    return optimizer


def scheduled() -> Scene:
    """Adam under torch's scheduler, at the first of ten thousand steps of its warm-up."""
    model = seeded(good)
    optimizer = adam(model)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 10_000)
    return Scene(model, classes(), F.cross_entropy, optimizer)


def scene(build: Callable[[], nn.Module], batches: Any, loss: Any, optimizer: Optimizer) -> Callable[[], Scene]:
    def made() -> Scene:
        model = seeded(build)
        return Scene(model, batches, loss, optimizer(model))

    return made


def tokens(vocabulary: int = 20) -> list[Any]:
    generator = torch.Generator().manual_seed(6)
    text = torch.randint(min(vocabulary, 20), (32, 13), generator=generator)
    text[:, 1:] = torch.where(torch.rand(32, 12, generator=generator) < 0.8, (text[:, :1] + 1) % 20, text[:, 1:])
    return [(text[k : k + 8, :-1], text[k : k + 8, 1:]) for k in range(0, 32, 8)]


def small_units(output: Tensor, target: Tensor) -> Tensor:
    return 1e-5 * F.cross_entropy(output, target)


def summed(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="sum")


def alike(output: tuple[Tensor, Tensor], _: Any) -> Tensor:
    return -F.cosine_similarity(*output, dim=1).mean()


def own(output: Tensor, _: Any) -> Tensor:
    return output


SCENES: dict[str, Callable[[], Scene]] = {
    "frozen backbone": scene(zoo.FrozenBackbone, classes(), F.cross_entropy, adam),
    "low-rank update at step 0": low_rank,
    "ReZero": scene(zoo.ReZero, classes(), F.cross_entropy, adam),
    "branches that start at 0": scene(lambda: zoo.Residual(zero=True, norm=False), classes(), F.cross_entropy, sgd),
    "zero gamma with a skip": scene(lambda: zoo.Residual(zero=True), classes(), F.cross_entropy, adam),
    "bias before BatchNorm": scene(lambda: zoo._normalised(4), classes(), F.cross_entropy, sgd),
    "bias of the keys": scene(KeyBias, tokens(), zoo.token_loss, lambda m: adam(m, 1e-2)),
    "experts that nobody asks": scene(Experts, classes(), F.cross_entropy, adam),
    "embedding with few rows used": scene(lambda: Wide(sparse=False), tokens(), zoo.token_loss, lambda m: adam(m, 1e-2)),
    "sparse embedding": scene(lambda: Wide(sparse=True), tokens(), zoo.token_loss, lambda m: sgd(m, 1.0)),
    "tied weights": scene(zoo._tied, tokens(), zoo.token_loss, lambda m: adam(m, 1e-2)),
    "resumed": lambda: converged(100),
    "converged": lambda: converged(600),
    "fine-tuning": fine_tuned,
    "loss in small units": scene(good, classes(), small_units, lambda m: sgd(m, 1e4)),
    "summed loss": scene(good, classes(), summed, lambda m: sgd(m, 1e-3)),
    "warm-up from 0": lambda: (
        lambda model: Scene(model, classes(), F.cross_entropy, warming(adam(model), steps=2000))
    )(seeded(good)),
    "scheduler at the start of a warm-up": scheduled,
    "top-k": scene(TopK, classes(), F.cross_entropy, adam),
    "straight-through": scene(StraightThrough, classes(), F.cross_entropy, adam),
    "stop-gradient": scene(Siamese, [(x, None) for x, _ in classes()], alike, lambda m: sgd(m, 0.05)),
    "target network": scene(WithTarget, classes(), td_error, adam),
    "game in turns": scene(Game, turns, own, adam),
    "policy gradient": scene(good, classes(), policy_loss, adam),
    "noise floor": scene(lambda: nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)), noisy(deterministic=0.05), F.mse_loss, adam),
    "chrono gates": scene(Chrono, classes(), F.cross_entropy, lambda m: adam(m, 3e-3)),
    "scale-invariant weights": scene(ScaleInvariant, classes(), F.cross_entropy, sgd),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_a_check_raises_no_alarm(name: str) -> None:
    model, batches, loss, optimizer = SCENES[name]()
    checkup = photic.check(model, batches, loss, optimizer)
    assert [(f.problem, f.reason) for f in checkup.findings if f.severity != "info"] == []


@pytest.mark.parametrize("name", SCENES)
def test_a_watch_raises_no_alarm(name: str) -> None:
    model, batches, loss, optimizer = SCENES[name]()
    source = batches() if callable(batches) else itertools.cycle(batches)
    with photic.watch(model, optimizer) as watch:
        train(Setup(model, lambda: source, loss, optimizer), source, 40)
    assert [(f.problem, f.reason) for f in watch.findings if f.severity != "info"] == []
