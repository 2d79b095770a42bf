"""Healthy networks whose loss is not a distance to a target: games, policies, pairs of views, masked and gated ones."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.cases_recurrent import long_short
from photic.lab.clinic.networks import adam, stack, token_loss


class Game(nn.Module):
    """A generator and a discriminator of points; each batch is the turn of one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.judge = stack([4, 32, 2]), stack([2, 32, 1])

    def forward(self, points: Tensor, noise: Tensor, turn: Tensor) -> Tensor:
        """Return the loss of the one whose turn it is, from points [batch, 2] and noise [batch, 4]."""
        made = self.generator(noise)
        if turn.item() == 0:
            return F.softplus(-self.judge(points)).mean() + F.softplus(self.judge(made.detach())).mean()
        held = {name: parameter.detach() for name, parameter in self.judge.named_parameters()}
        return F.softplus(-functional_call(self.judge, held, (made,))).mean()


def first_output(output: Tensor, _: Any) -> Tensor:
    """Return the output, which is the loss already."""
    return output


@case(
    "alternating-game",
    steps=300,
    source="generated, after goodfellow2014",
    why="Generator and discriminator take turns: each has no gradient in the other's turn, and the loss need not fall. MEASURED",
)
def game(seed: int) -> Setup:
    draw = samples.generator(17)
    rounds = [
        ((torch.tensor([2.0, -1.0]) + 0.3 * torch.randn(64, 2, generator=draw), torch.randn(64, 4, generator=draw),
          torch.tensor(turn)), torch.zeros(64))
        for _ in range(32) for turn in (0, 1)
    ]  # fmt: skip
    model = Game()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.5, 0.9))
    return Setup(model, lambda: iter(rounds), first_output, optimizer)


def reinforced(output: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
    """Return -advantage * log p(action); the action is drawn with the Gumbel noise that the batch brings."""
    labels, noise = targets
    action = (output.detach() + noise).argmax(-1)
    reward = (action == labels).float()
    advantage = reward - reward.mean()
    return -(advantage * output.log_softmax(-1)[torch.arange(len(action)), action]).mean()


@case(
    "policy-gradient",
    steps=300,
    source="generated, after williams1992",
    why="The loss has no level: it hovers around 0 while the reward rises, and argmax and detach are meant. MEASURED",
)
def policy(seed: int) -> Setup:
    x, y = samples.digit_table()
    uniform = torch.rand(len(x), 10, generator=samples.generator(seed))
    noise = -torch.log(-torch.log(uniform.clamp(1e-6, 1 - 1e-6)))
    return adam(stack([64, 64, 10]), samples.stream(x, (y, noise), seed, size=128), reinforced, rate=1e-2)


class Siamese(nn.Module):
    """Two views, an encoder, a predictor; what is predicted is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32), nn.BatchNorm1d(32)
        )
        self.predictor = stack([32, 16, 32])

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return predictions and detached codes of both views [batch, 32]."""
        a, b = self.encoder(first), self.encoder(second)
        return self.predictor(a), b.detach(), self.predictor(b), a.detach()


def crossed(output: tuple[Tensor, Tensor, Tensor, Tensor], _: Any) -> Tensor:
    """Return minus the mean cosine between each prediction and the other view's code."""
    a, b, c, d = output
    return -(F.cosine_similarity(a, b).mean() + F.cosine_similarity(c, d).mean()) / 2


@case(
    "stop-gradient-siamese",
    steps=300,
    source="generated, after chen2021",
    why="One side of the loss is detached on purpose; without it all codes would become one. MEASURED",
)
def siamese(seed: int) -> Setup:
    draw = samples.generator(19)
    x, _ = samples.digit_table()
    views = [(part + 0.4 * torch.randn(part.shape, generator=draw), part + 0.4 * torch.randn(part.shape, generator=draw))
             for part in x[torch.randperm(len(x), generator=draw)].split(64) if len(part) == 64]  # fmt: skip
    batches = [(pair, torch.zeros(64)) for pair in views]
    return adam(Siamese(), lambda: iter(batches), crossed, rate=3e-3)


class Encoder(nn.Module):
    """Codes of digits on the unit sphere."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = stack([64, 64, 16])

    def forward(self, x: Tensor) -> Tensor:
        """Return codes [batch, 16] of norm 1."""
        return F.normalize(self.layers(x), dim=-1)


def triplets(output: Tensor, labels: Tensor) -> Tensor:
    """Return the mean hinge of all triplets of a batch with a margin of 0.3."""
    distance = torch.cdist(output, output)
    same = labels[:, None] == labels[None]
    hinge = F.relu(distance[:, :, None] - distance[:, None, :] + 0.3)
    kept = same[:, :, None] & ~same[:, None, :]
    return (hinge * kept).sum() / kept.sum().clamp_min(1)


@case(
    "hinge-mostly-satisfied",
    steps=200,
    source="generated, after schroff2015",
    why="Once most triplets keep their margin, most examples have a gradient of exactly 0. MEASURED",
)
def hinge(seed: int) -> Setup:
    return adam(Encoder(), samples.digits(seed), triplets, rate=3e-3)


@case(
    "chrono-lstm",
    steps=300,
    source="tallec2018, section 3",
    why="Gates that start nearly shut, on purpose, to remember 40 steps. MEASURED",
)
def chrono(seed: int) -> Setup:
    return adam(long_short(None, chrono=40), samples.recall(seed, length=40), rate=1e-2)


class Filled(nn.Module):
    """Tokens, some masked, and a guess of all of them from their neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(21, 32)
        self.mix, self.head = nn.Conv1d(32, 64, 3, padding=1), nn.Linear(64, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        return self.head(torch.relu(self.mix(self.tokens(tokens).transpose(1, 2))).transpose(1, 2))


def masked_batches(seed: int) -> Batches:
    """Return batches of tokens with 15 % replaced by 20, and targets that are -100 elsewhere."""
    draw = samples.generator(seed + 23)
    kept: list[tuple[Tensor, Tensor]] = []
    for text, _ in samples.language(seed)():
        hidden = torch.rand(text.shape, generator=draw) < 0.15
        kept.append((text.masked_fill(hidden, 20), text.masked_fill(~hidden, -100)))
    return lambda: iter(kept)


@case(
    "masked-tokens",
    steps=300,
    source="generated, after devlin2019",
    why="The loss looks at 15 % of the positions; the logits of all others have a gradient of 0. MEASURED",
)
def masked_tokens(seed: int) -> Setup:
    return adam(Filled(), masked_batches(seed), token_loss, rate=1e-2)


class Accumulating(torch.optim.Adam):
    """Adam that steps at every fourth call and clears the gradients only then: accumulation over micro-batches."""

    def step(self, closure: Any = None) -> Any:
        """Step at every fourth call."""
        self.param_groups[0]["calls"] = self.param_groups[0].get("calls", 0) + 1
        return super().step(closure) if self.param_groups[0]["calls"] % 4 == 0 else None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients after a step alone."""
        if self.param_groups[0].get("calls", 0) % 4 == 0:
            super().zero_grad(set_to_none)


@case(
    "accumulated-gradients",
    steps=300,
    source="generated",
    why="Weights rest in three of four calls while the gradients add up, on purpose. MEASURED",
)
def accumulated(seed: int) -> Setup:
    model = stack([64, 64, 64, 10])
    return Setup(model, samples.digits(seed, size=32), F.cross_entropy, Accumulating(model.parameters(), lr=3e-3))


class Variational(nn.Module):
    """An autoencoder with a mean and a log variance; the noise comes with the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = stack([64, 64, 16]), stack([8, 64, 64])

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code [batch, 16] and the image again [batch, 64]."""
        code = self.encoder(x)
        return code, self.decoder(code[:, :8] + torch.exp(0.5 * code[:, 8:]) * noise)


def early(output: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    """Return the error of the image; the divergence weighs 1e-4 in this phase."""
    mean, log_variance = output[0].chunk(2, dim=-1)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
    return F.mse_loss(output[1], x) + 1e-4 * divergence


@case(
    "variational-early-phase",
    steps=300,
    source="generated, after bowman2016",
    why="The divergence hardly counts yet, so the branch of the variance has small gradients. MEASURED",
)
def variational(seed: int) -> Setup:
    draw = samples.generator(29)
    x, _ = samples.digit_table()
    batches = [((part, torch.randn(len(part), 8, generator=draw)), part)
               for part in x[torch.randperm(len(x), generator=draw)].split(64) if len(part) == 64]  # fmt: skip
    return adam(Variational(), lambda: iter(batches), early, rate=1e-2)


class Chunked(nn.Module):
    """A GRU over 16 steps in chunks of 4, with its state detached between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.layer, self.head = nn.Embedding(20, 32), nn.GRU(32, 32, batch_first=True), nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        state, outputs = None, []
        for chunk in self.tokens(tokens).split(4, dim=1):
            output, state = self.layer(chunk, None if state is None else state.detach())
            outputs.append(output)
        return self.head(torch.cat(outputs, 1))


@case(
    "truncated-through-time",
    steps=200,
    source="generated, after williams1990",
    why="The state is detached between chunks on purpose; each chunk has a loss of its own. MEASURED",
)
def truncated(seed: int) -> Setup:
    return adam(Chunked(), samples.language(seed), token_loss, rate=1e-2)


class Clipped(torch.optim.Adam):
    """Adam behind a clip of the gradient's norm to 1 that is always active."""

    def step(self, closure: Any = None) -> Any:
        """Clip, then step."""
        torch.nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 1.0)
        return super().step(closure)


@case(
    "clip-always-active",
    steps=300,
    source="pascanu2013, section 3.2",
    why="The norm is about ten and clipped to 1 at each early step, which Adam does not mind. MEASURED",
)
def clip_active(seed: int) -> Setup:
    model = stack([64, 64, 64, 10])
    loss = lambda o, y: 10.0 * F.cross_entropy(o, y)  # noqa: E731
    return Setup(model, samples.digits(seed), loss, Clipped(model.parameters(), lr=3e-3))
