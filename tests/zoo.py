"""Sick and healthy networks for the tests; each is small and built with its own seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = tuple[nn.Module, Any, Callable[[Any, Any], Tensor]]


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """Return what `build` makes under a seed; the global generator is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


class Mlp(nn.Module):
    """Hidden layers with a functional activation; `act` is called in forward."""

    def __init__(
        self,
        act: Callable[[Tensor], Tensor] = torch.sigmoid,
        depth: int = 10,
        width: int = 128,
        variance: float | None = None,
    ) -> None:
        super().__init__()
        sizes = [64, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.head = nn.Linear(width, 10)
        self.act = act
        if variance is not None:
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=math.sqrt(variance / module.in_features))
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


class Residual(nn.Module):
    """Pre-norm residual blocks; `zero` makes the last layer of each branch zero."""

    def __init__(self, depth: int = 12, width: int = 64, *, zero: bool = False, norm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 10)
        if zero:
            for layer in self.down:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, up, down in zip(self.norms, self.up, self.down):
            x = x + down(F.relu(up(norm(x))))
        return self.head(x)


class ReZero(nn.Module):
    def __init__(self, depth: int = 12) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 64)
        self.branches = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
        self.gates = nn.ParameterList(nn.Parameter(torch.zeros(())) for _ in range(depth))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch, gate in zip(self.branches, self.gates):
            x = x + gate * torch.relu(branch(x))
        return self.head(x)


class Lora(nn.Module):
    """A frozen layer with a low-rank update whose second factor starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(64, 64).requires_grad_(False)
        self.a = nn.Linear(64, 4, bias=False)
        self.b = nn.Linear(4, 64, bias=False)
        nn.init.zeros_(self.b.weight)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.base(x) + self.b(self.a(x))))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 32)
        self.rnn = kind(32, 32, 2, batch_first=True)
        self.head = nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(tokens))[0])


def transformer(*, pre: bool, depth: int = 4) -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=pre)
    return nn.Sequential(
        nn.Embedding(20, 32), nn.TransformerEncoder(layer, depth, enable_nested_tensor=False), nn.Linear(32, 20)
    )


def cnn(*, norm: bool = True) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (16, 16, 32, 32):
        convolution = nn.Conv2d(channels, width, 3, padding=1, stride=2 if width > channels > 3 else 1)
        if not norm:
            nn.init.kaiming_normal_(convolution.weight)
        layers += [convolution, *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class TwoHeads(nn.Module):
    """Returns a dict; the second head is not used by the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.used, self.unused = nn.Linear(64, 10), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk(x)
        return {"logits": self.used(x), "aux": self.unused(x)}


class FrozenBackbone(nn.Module):
    """A head on layers that were trained elsewhere: their weights have grown beyond those that torch draws."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()).requires_grad_(False)
        for parameter in self.backbone.parameters():
            parameter.mul_(1.5)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


class StopGradient(nn.Module):
    """A target branch under no_grad that enters the loss, as in self-supervised learning."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.online(x), self.online(x + 0.1).detach()


class Detached(Mlp):
    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = self.act(layer(x))
            if index == 2:
                x = x.detach()  # the cut
        return self.head(x)


class Chosen(nn.Module):
    """An argmax between two layers: integers carry no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.relu(self.lower(x)).argmax(-1)
        return self.upper(F.one_hot(chosen, 64).float())


class UnderNoGrad(Mlp):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            for layer in self.layers:
                x = self.act(layer(x))
        return self.head(x)


class LogOfZero(Mlp):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.log(self.act(layer(x)))
        return self.head(x)


class RootOfZero(Mlp):
    """Finite forward, nan backward: the derivative of a root at 0."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x + torch.sqrt(x * 0.0))


def vectors(seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 64, generator=generator)
    return x * scale, (x[:, :10] + 0.3 * torch.randn(64, 10, generator=generator)).argmax(1)


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 3, 16, 16, generator=generator), torch.randint(10, (32,), generator=generator)


def tokens() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    text = torch.randint(20, (8, 13), generator=generator)
    return text[:, :-1], text[:, 1:]


def token_loss(output: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), targets.flatten())


def _dead() -> nn.Module:
    model = Mlp(torch.relu, 6, variance=2.0)
    with torch.no_grad():
        model.layers[3].bias.fill_(-100.0)
    return model


def _normalised(depth: int) -> nn.Module:
    blocks = [block for _ in range(depth) for block in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    return nn.Sequential(*blocks, nn.Linear(64, 10))


def _tiny_embeddings() -> nn.Module:
    embedding = nn.Embedding(20, 32)
    nn.init.uniform_(embedding.weight, -1e-4, 1e-4)
    return nn.Sequential(embedding, nn.LayerNorm(32), transformer(pre=True)[1], nn.Linear(32, 20))


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Embedding(20, 32), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 20, bias=False))
    model[3].weight = model[0].weight
    return model


# name -> (problem, model, batch, loss)
SICK: dict[str, tuple[str, Callable[[], nn.Module], Any, Any]] = {
    "sigmoid-10": ("vanishing-gradient", lambda: Mlp(), vectors(), F.cross_entropy),
    "sigmoid-modules": (
        "vanishing-gradient",
        lambda: nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(64, 64), nn.Sigmoid())], nn.Linear(64, 10)),
        vectors(),
        F.cross_entropy,
    ),
    "sigmoid-xavier": ("vanishing-gradient", lambda: Mlp(variance=1.0), vectors(), F.cross_entropy),
    "tanh-default-20": ("vanishing-gradient", lambda: Mlp(torch.tanh, 20), vectors(), F.cross_entropy),
    "relu-default-20": ("vanishing-gradient", lambda: Mlp(torch.relu, 20), vectors(), F.cross_entropy),
    "relu-xavier-30": ("vanishing-gradient", lambda: Mlp(torch.relu, 30, variance=1.0), vectors(), F.cross_entropy),
    "gelu-default-20": ("vanishing-gradient", lambda: Mlp(F.gelu, 20), vectors(), F.cross_entropy),
    "relu-four-times-he": ("exploding-gradient", lambda: Mlp(torch.relu, 20, variance=8.0), vectors(), F.cross_entropy),
    "linear-too-large": ("exploding-gradient", lambda: Mlp(lambda x: x, 12, variance=9.0), vectors(), F.cross_entropy),
    "batch-norm-50": ("exploding-gradient", lambda: _normalised(50), vectors(), F.cross_entropy),
    "tanh-unscaled-input": ("unscaled-input", lambda: Mlp(torch.tanh, 3), vectors(scale=100.0), F.cross_entropy),
    "sigmoid-large-weights": (
        "saturated-activation",
        lambda: Mlp(torch.sigmoid, 3, variance=4000.0),
        vectors(),
        F.cross_entropy,
    ),
    "dead-layer": ("dead-units", _dead, vectors(), F.cross_entropy),
    "detach": ("severed-gradient", lambda: Detached(torch.relu, 6, variance=2.0), vectors(), F.cross_entropy),
    "no-grad": ("severed-gradient", lambda: UnderNoGrad(torch.relu, 4, variance=2.0), vectors(), F.cross_entropy),
    "argmax": ("severed-nondifferentiable", lambda: Chosen(), vectors(), F.cross_entropy),
    "log-of-zero": ("non-finite", lambda: LogOfZero(torch.relu, 3, variance=2.0), vectors(), F.cross_entropy),
    "root-of-zero": ("non-finite", lambda: RootOfZero(torch.relu, 3, variance=2.0), vectors(), F.cross_entropy),
}

HEALTHY: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "relu-he-8": (lambda: Mlp(torch.relu, 8, variance=2.0), vectors(), F.cross_entropy),
    "relu-he-20": (lambda: Mlp(torch.relu, 20, variance=2.0), vectors(), F.cross_entropy),
    "relu-default-4": (lambda: Mlp(torch.relu, 4), vectors(), F.cross_entropy),
    "tanh-xavier-20": (lambda: Mlp(torch.tanh, 20, variance=1.0), vectors(), F.cross_entropy),
    "selu-lecun-20": (lambda: Mlp(F.selu, 20, variance=1.0), vectors(), F.cross_entropy),
    "sigmoid-1": (lambda: Mlp(torch.sigmoid, 1), vectors(), F.cross_entropy),
    "linear": (lambda: nn.Linear(64, 10), vectors(), F.cross_entropy),
    "pre-norm-residual": (lambda: Residual(), vectors(), F.cross_entropy),
    "zero-branches": (lambda: Residual(zero=True), vectors(), F.cross_entropy),
    "plain-residual": (lambda: Residual(norm=False), vectors(), F.cross_entropy),
    "rezero": (lambda: ReZero(), vectors(), F.cross_entropy),
    "lora": (lambda: Lora(), vectors(), F.cross_entropy),
    "batch-norm-20": (lambda: _normalised(20), vectors(), F.cross_entropy),
    "cnn-batch-norm": (lambda: cnn(), images(), F.cross_entropy),
    "cnn-he": (lambda: cnn(norm=False), images(), F.cross_entropy),
    "lstm": (lambda: Recurrent(nn.LSTM), tokens(), token_loss),
    "gru": (lambda: Recurrent(nn.GRU), tokens(), token_loss),
    "transformer-pre": (lambda: transformer(pre=True), tokens(), token_loss),
    "transformer-post": (lambda: transformer(pre=False), tokens(), token_loss),
    "tiny-embeddings": (_tiny_embeddings, tokens(), token_loss),
    "tied": (_tied, tokens(), token_loss),
    "unused-head": (lambda: TwoHeads(), vectors(), lambda o, t: F.cross_entropy(o["logits"], t)),
    "frozen-backbone": (lambda: FrozenBackbone(), vectors(), F.cross_entropy),
    "stop-gradient": (
        lambda: StopGradient(),
        vectors(),
        lambda o, t: F.cross_entropy(o[0], t) + F.mse_loss(o[0], o[1]),
    ),
    "summed-loss": (
        lambda: Mlp(torch.relu, 4, variance=2.0),
        vectors(),
        lambda o, t: F.cross_entropy(o, t, reduction="sum"),
    ),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 10)),
        vectors(),
        F.cross_entropy,
    ),
    "autoencoder": (
        lambda: nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 64), nn.Sigmoid()),
        (vectors()[0], vectors()[0].sigmoid()),
        F.mse_loss,
    ),
}
