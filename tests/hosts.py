"""Hostile hosts: networks drawn at random from everything that people write, for photic to leave as they are."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Host(NamedTuple):
    """A training: `build()` is the same every time; `words` say what was drawn."""

    build: Callable[[], tuple[nn.Module, torch.optim.Optimizer]]
    batch: tuple[Any, Any]
    loss: Callable[[Any, Any], Tensor]
    words: str


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient * 2


class Pair(nn.Module):
    """Returns a nest and takes keyword arguments."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> dict[str, Any]:
        return {"parts": (self.a(x) * scale, [self.b(x)]), "note": "nothing", "none": None}


class Edited(nn.Module):
    """Changes itself while it runs: a hook, an attribute, a new layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(width, width), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 2:
            self.layer.register_forward_hook(lambda m, i, o: o * 1.01)
        if self.calls == 3:
            self.extra = nn.Identity()
        return self.layer(x)


class Counting(nn.Module):
    """A buffer that moves, and noise of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return x + 0.01 * torch.randn_like(x)


class Memory(nn.Module):
    def __init__(self, kind: type[nn.Module], width: int) -> None:
        super().__init__()
        self.cell = kind(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x.unsqueeze(1).expand(-1, 3, -1))[0][:, -1]


class Attending(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        given = x.unsqueeze(1).expand(-1, 3, -1)
        return self.attention(given, given, given, need_weights=False)[0].mean(1)


Step = Callable[["Drawn", Tensor], Tensor]


def _sum_in_place(net: Drawn, x: Tensor) -> Tensor:
    y = net.shared(x)
    y += x
    return y


def _slice_in_place(net: Drawn, x: Tensor) -> Tensor:
    y = x.clone()
    y[:, ::2] *= 0.5
    return y


def _halves(net: Drawn, x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.cat([torch.tanh(b), a], 1)


def _nest(net: Drawn, x: Tensor) -> Tensor:
    made = net.pair(x, scale=0.5)
    return made["parts"][0] + made["parts"][1][0]


def _side(net: Drawn, x: Tensor) -> Tensor:
    with torch.no_grad():
        net.logged = float(x.abs().mean())
    return x


def _chosen(net: Drawn, x: Tensor) -> Tensor:
    return net.shared(x) if bool(x.mean() > 0) else torch.relu(x)


def _through_image(net: Drawn, x: Tensor) -> Tensor:
    return net.norm2(net.conv(x.view(len(x), 1, 2, -1))).mean(1).flatten(1)


STEPS: dict[str, Step] = {
    "linear": lambda net, x: net.shared(x),
    "shared twice": lambda net, x: net.shared(torch.tanh(net.shared(x))),
    "relu in place": lambda net, x: F.relu_(x.clone()),
    "module in place": lambda net, x: net.inplace(net.shared(x)),
    "sum in place": _sum_in_place,
    "slice in place": _slice_in_place,
    "halves": _halves,
    "nest": _nest,
    "no_grad beside": _side,
    "data decide": _chosen,
    "image": _through_image,
    "layer norm": lambda net, x: net.norm(x),
    "batch norm": lambda net, x: net.batch_norm(x),
    "dropout": lambda net, x: net.dropout(x),
    "detach": lambda net, x: x + net.shared(x).detach(),
    "custom": lambda net, x: Doubled.apply(x),  # pyright: ignore
    "checkpoint": lambda net, x: checkpoint(net.shared, x, use_reentrant=False),
    "einsum": lambda net, x: torch.einsum("nd,de->ne", x, net.raw),
    "where": lambda net, x: torch.where(x > 0, x, torch.exp(x.clamp_max(2)) - 1),
    "softmax": lambda net, x: F.softmax(x, -1),
    "round": lambda net, x: x + torch.round(x),
    "empty": lambda net, x: x + x[:0].sum(),
    "nothing left": lambda net, x: x * 0,
    "huge": lambda net, x: x * 1e30,
    "tiny": lambda net, x: x * 1e-30,
    "not a number": lambda net, x: x / (x - x.detach()),
    "root at zero": lambda net, x: (x * 0).abs().sqrt() + x,
    "lstm": lambda net, x: net.lstm(x),
    "gru": lambda net, x: net.gru(x),
    "attention": lambda net, x: net.attention(x),
    "edited": lambda net, x: net.edited(x),
    "counting": lambda net, x: net.counting(x),
    "weight norm": lambda net, x: net.parametrized(x),
    "complex": lambda net, x: torch.fft.fft(x).real,
    "sort": lambda net, x: torch.sort(x, 1).values,
    "top": lambda net, x: x * (x >= x.topk(2, 1).values[:, -1:]),
    "double": lambda net, x: x.double().tanh().to(x.dtype),
    "list of layers": lambda net, x: net.hidden[0](x),
    "number": lambda net, x: x * float(x.detach().abs().mean()),
    "expand": lambda net, x: (x.unsqueeze(1).expand(-1, 3, -1) * net.raw[:3]).mean(1),
    "strided": lambda net, x: x.t().contiguous().t() + 0,
}  # fmt: skip

# Came later: drawn beside the others from seed 1000 on, so that older seeds stay the networks that they were.
MORE: dict[str, Step] = {
    "sgn": lambda net, x: torch.sgn(net.shared(x)),  # its gradient is zeros without memory
    "sgn of a parameter": lambda net, x: x @ torch.sgn(net.raw),
    "heaviside": lambda net, x: torch.heaviside(x, torch.zeros((), dtype=x.dtype)),  # torch refuses its derivative
    "conjugate": lambda net, x: torch.view_as_real(torch.fft.fft(x).conj()).sum(-1),
    "negative view": lambda net, x: torch.fft.fft(x).conj().imag,
    "scatter": lambda net, x: torch.zeros_like(x).scatter_add(1, x.argsort(1), x),
    "gather": lambda net, x: x.gather(1, x.argsort(1)),
    "put": lambda net, x: x.clone().index_put_((torch.arange(len(x)), torch.zeros(len(x), dtype=torch.long)), x[:, 1]),
    "mask": lambda net, x: x.masked_fill(x > 1, -torch.inf).softmax(-1),
    "cumulated": lambda net, x: x.cumsum(1) / 3,
    "flipped": lambda net, x: x.flip(1).roll(1, 0),
    "unbound": lambda net, x: torch.stack([part * 2 for part in x.unbind(1)], 1),
    "strides": lambda net, x: x.as_strided((len(x), x.shape[1]), (0, 1)) + x,
    "product": lambda net, x: x.prod(1, keepdim=True) + x,
    "one of many": lambda net, x: F.one_hot(x.argmax(1), x.shape[1]).to(x.dtype) + x,
    "whole numbers": lambda net, x: x.int().to(x.dtype) + net.shared(x),
    "spread": lambda net, x: x / (x.std(1, keepdim=True) + x.norm(dim=1, keepdim=True)),
    "transformed": lambda net, x: torch.func.vmap(lambda row: row.tanh())(x),
}  # fmt: skip


class Drawn(nn.Module):
    """A sequence of drawn steps on [examples, width]."""

    def __init__(self, steps: list[str], width: int, outputs: int, nested: bool) -> None:
        super().__init__()
        self.shared, self.pair, self.edited = nn.Linear(width, width), Pair(width), Edited(width)
        self.norm, self.batch_norm = nn.LayerNorm(width), nn.BatchNorm1d(width)
        self.conv, self.norm2 = nn.Conv2d(1, 2, 3, padding=1), nn.GroupNorm(1, 2)
        self.inplace, self.dropout, self.counting = nn.ReLU(inplace=True), nn.Dropout(0.2), Counting()
        self.lstm, self.gru, self.attention = Memory(nn.LSTM, width), Memory(nn.GRU, width), Attending(width)
        self.parametrized = nn.utils.parametrizations.weight_norm(nn.Linear(width, width))
        self.raw = nn.Parameter(torch.randn(width, width) * 0.3)
        self.hidden = [nn.Linear(width, width)]  # no part of the network, as beginners write it
        self.head = nn.Linear(width, outputs)
        self.steps, self.nested, self.logged = steps, nested, 0.0

    def forward(self, x: Tensor) -> Any:
        for name in self.steps:
            x = (STEPS.get(name) or MORE[name])(self, x)
        made = self.head(x)
        return {"logits": made, "hidden": (x, [])} if self.nested else made


def draw(source: int | random.Random) -> Host:
    """Return the host of a seed, or one drawn by a generator: Hypothesis has one whose draws it can make simpler."""
    chance = random.Random(source) if isinstance(source, int) else source
    seed = source if isinstance(source, int) else chance.randrange(2000)
    width, outputs, examples = 8, chance.choice([2, 5]), chance.choice([3, 6, 16])
    steps = chance.choices(list(STEPS), k=chance.randint(1, 9))
    if seed >= 1000:
        later = random.Random(f"more {seed}")
        for name in later.choices(list(MORE), k=later.randint(1, 3)):
            steps.insert(later.randint(0, len(steps)), name)
    nested, classes = chance.random() < 0.2, chance.random() < 0.6
    dtype = chance.choices([torch.float32, torch.float64, torch.bfloat16], [8, 1, 1])[0]
    optimizer = chance.choice(["sgd", "momentum", "adam", "adamw", "rmsprop"])
    hooked, frozen, scale = chance.random() < 0.2, chance.random() < 0.15, chance.choice([1.0, 1.0, 1.0, 0.0, 1e4])
    generator = torch.Generator().manual_seed(seed)
    x = (scale * torch.randn(examples, width, generator=generator)).to(dtype)
    y = (
        torch.randint(outputs, (examples,), generator=generator)
        if classes
        else torch.randn(examples, outputs, generator=generator).to(dtype)
    )

    def loss(output: Any, target: Tensor) -> Tensor:
        given = output["logits"] if nested else output
        return F.cross_entropy(given, target) if classes else F.mse_loss(given, target)

    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        model = Drawn(steps, width, outputs, nested).to(dtype)
        model.hidden[0].to(dtype)
        if hooked:
            model.shared.register_forward_hook(lambda m, i, o: o + 0.1)
            model.head.register_full_backward_pre_hook(lambda m, g: None)
            model.head.register_forward_pre_hook(lambda m, i: (i[0] * 0.9,))
        if frozen:
            model.shared.requires_grad_(False)
        held = [p for p in model.parameters() if p.requires_grad]
        made: dict[str, Callable[[], torch.optim.Optimizer]] = {
            "sgd": lambda: torch.optim.SGD(held, 0.05), "momentum": lambda: torch.optim.SGD(held, 0.05, momentum=0.9),
            "adam": lambda: torch.optim.Adam(held, 1e-3), "adamw": lambda: torch.optim.AdamW(held, 1e-3),
            "rmsprop": lambda: torch.optim.RMSprop(held, 1e-3),
        }  # fmt: skip
        return model, made[optimizer]()

    words = f"{' | '.join(steps)}; {dtype}, {optimizer}, {examples} examples of scale {scale:g}"
    return Host(build, (x, y), loss, words + ", nested" * nested + ", hooked" * hooked + ", frozen" * frozen)
