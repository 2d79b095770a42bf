"""Training is bit-identical with and without the watch, in every form of loop that people write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import photic
from photic.checkups.watching import Watch
from tests import zoo
from tests.zoo import seeded

Trained = tuple[list[float], list[Tensor], Any]
STEPS = 64


def finish(models: list[nn.Module], optimizers: list[torch.optim.Optimizer], losses: list[float]) -> Trained:
    state = [v.clone() for o in optimizers for s in o.state.values() for v in s.values() if isinstance(v, Tensor)]
    values = [v.detach().clone() for model in models for v in model.state_dict().values()]
    return losses, [*values, *state, torch.get_rng_state()], [p.grad is None for m in models for p in m.parameters()]


def plainly(
    build: Callable[[], nn.Module], batch: Any, loss: Any, make: Any, *, clip: bool = False, accumulate: int = 1
) -> Any:
    def train(look: Callable[..., Any]) -> Trained:
        model = seeded(build)
        optimizer = make(model.parameters())
        losses: list[float] = []
        with look(model, optimizer):
            for _ in range(STEPS):
                optimizer.zero_grad()
                for _ in range(accumulate):
                    value = loss(model(batch[0]), batch[1])
                    value.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                losses.append(value.item())
        return finish([model], [optimizer], losses)

    return train


def gan(look: Callable[..., Any]) -> Trained:
    generator = seeded(lambda: nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 8)))
    critic = seeded(lambda: nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 1)), 1)
    first, second = (torch.optim.Adam(m.parameters(), 1e-3) for m in (critic, generator))
    real, losses = seeded(lambda: torch.randn(16, 8)), []
    with look([generator, critic], None):
        for _ in range(STEPS):
            fake = generator(torch.randn(16, 4))
            first.zero_grad()
            value = F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()
            value.backward()
            first.step()
            second.zero_grad()
            F.softplus(-critic(generator(torch.randn(16, 4)))).mean().backward()
            second.step()
            losses.append(value.item())
    return finish([generator, critic], [first, second], losses)


def scaled(look: Callable[..., Any]) -> Trained:
    model = seeded(lambda: zoo.Mlp(torch.relu, 6, variance=2.0))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = zoo.vectors()
    losses = []
    with look(model, optimizer):
        for _ in range(STEPS):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = F.cross_entropy(model(x), y)
            scaler.scale(value).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            losses.append(value.item())
    return finish([model], [optimizer], losses)


def closures(look: Callable[..., Any]) -> Trained:
    model = seeded(lambda: zoo.Mlp(torch.tanh, 2))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    x, y = zoo.vectors()
    losses = []
    with look(model, optimizer):

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(model(x), y)
            value.backward()
            return value

        for _ in range(12):
            losses.append(float(optimizer.step(closure).detach()))
    return finish([model], [optimizer], losses)


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.stem, self.block, self.head = (
            nn.Linear(64, 32),
            nn.Sequential(nn.Linear(32, 32), nn.Dropout(0.2)),
            nn.Linear(32, 10),
        )
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.block, torch.relu(self.stem(x)), use_reentrant=self.reentrant))


class Series(nn.Module):
    """A fused recurrent layer on raw numbers, which carry no gradient."""

    def __init__(self, kind: type[nn.Module], **options: Any) -> None:
        super().__init__()
        self.layer = kind(4, 16, **options)
        self.head = nn.Linear(32 if options.get("bidirectional") else 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][-1])


SERIES = seeded(lambda: (torch.randn(12, 20, 4), torch.randint(3, (20,))))
SGD: Any = lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)  # noqa: E731
ADAM: Any = lambda p: torch.optim.Adam(p, 1e-3)  # noqa: E731
LOOPS: dict[str, Callable[[Any], Trained]] = {
    "mlp": plainly(lambda: zoo.Mlp(torch.relu, 8, variance=2.0), zoo.vectors(), F.cross_entropy, SGD),
    "cnn, in place": plainly(lambda: zoo.cnn(), zoo.images(), F.cross_entropy, SGD),
    "lstm": plainly(lambda: zoo.Recurrent(nn.LSTM), zoo.tokens(), zoo.token_loss, ADAM, clip=True),
    "gru": plainly(lambda: zoo.Recurrent(nn.GRU), zoo.tokens(), zoo.token_loss, ADAM),
    "lstm on raw series": plainly(lambda: Series(nn.LSTM, num_layers=2, dropout=0.3), SERIES, F.cross_entropy, ADAM),
    "gru on raw series": plainly(lambda: Series(nn.GRU, bidirectional=True), SERIES, F.cross_entropy, ADAM),
    "rnn on raw series": plainly(lambda: Series(nn.RNN), SERIES, F.cross_entropy, SGD),
    "transformer": plainly(lambda: zoo.transformer(pre=True), zoo.tokens(), zoo.token_loss, ADAM, clip=True),
    "accumulation": plainly(lambda: zoo.Mlp(torch.relu, 4), zoo.vectors(), F.cross_entropy, SGD, accumulate=3),
    "dropout": plainly(lambda: nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.5), nn.Linear(32, 10)), zoo.vectors(), F.cross_entropy, SGD),
    "checkpoint": plainly(lambda: Checkpointed(False), zoo.vectors(), F.cross_entropy, SGD),
    "reentrant checkpoint": plainly(lambda: Checkpointed(True), zoo.vectors(), F.cross_entropy, SGD),
    "gan": gan,
    "scaler": scaled,
    "closure": closures,
}  # fmt: skip


class Nothing:
    def __init__(self, *_: Any) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("name", LOOPS)
def test_training_is_bit_identical_with_and_without(name: str) -> None:
    made: list[Watch] = []

    def look(model: Any, optimizer: Any) -> Watch:
        made.append(photic.watch(model, optimizer, budget=1.0))
        return made[0]

    plain, watched = seeded(lambda: LOOPS[name](Nothing)), seeded(lambda: LOOPS[name](look))
    assert plain[0] == watched[0]
    assert all(torch.equal(a, b) for a, b in zip(plain[1], watched[1], strict=True))
    assert plain[2] == watched[2]
    watch = made[0]
    assert watch.faults == []
    assert watch.steps == (2 * STEPS if name == "gan" else 12 if name == "closure" else STEPS)
    assert watch.run is not None and len(watch.run.sites) >= 3
    if "raw" in name:
        assert any(reading.times is not None for reading in watch.run.steps[-1].sites)
    assert watch.findings == () or name in ("mlp", "accumulation"), [f.problem for f in watch.findings]
