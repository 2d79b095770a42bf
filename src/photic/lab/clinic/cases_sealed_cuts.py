"""Sealed, second part: what gets no gradient, and what nobody moves. Written without the rules. All are held out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, stack, token_loss


class Whitened(nn.Module):
    """An encoder to two numbers, standardised over the batch, and a classifier."""

    def __init__(self, *, outside: bool) -> None:
        super().__init__()
        self.encoder, self.classifier, self.outside = stack([64, 32, 2]), stack([2, 64, 10]), outside

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        code = self.encoder(x)
        if self.outside:
            plain = code.detach().numpy()
            return self.classifier(torch.from_numpy((plain - plain.mean(0)) / plain.std(0)))
        return self.classifier((code - code.mean(0)) / code.std(0))


@case(
    "code-through-numpy", label="severed-gradient", root="", steps=300, fixes=("standardise in torch",),
    source="discuss.pytorch.org, a numpy operation inside forward",
    why="The code is standardised in numpy and comes back without a history; the encoder keeps its random weights.",
)  # fmt: skip
def through_numpy(seed: int, *, outside: bool = True) -> Setup:
    return adam(Whitened(outside=outside), samples.digits(seed), rate=1e-2)


cured("code-through-numpy", why="The same in torch.")(partial(through_numpy, outside=False))


class Stepped(nn.Module):
    """A GRU cell in a loop that may forget, at every step, where its state came from."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.cell, self.head, self.cut = nn.GRUCell(samples.KINDS + 1, 32), nn.Linear(32, samples.KINDS), cut

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        state = x.new_zeros(len(x), 32)
        for moment in x.unbind(1):
            state = self.cell(moment, state.detach() if self.cut else state)
        return self.head(state)


@case(
    "state-detached-each-step", label="severed-gradient", root="", steps=300, fixes=("detach between sequences only",),
    source="discuss.pytorch.org, truncated backpropagation and where to detach",
    why="The state is detached at every step of a sequence, not between sequences: no step learns what a later one needs.",
)  # fmt: skip
def each_step(seed: int, *, cut: bool = True) -> Setup:
    return adam(Stepped(cut=cut), samples.recall(seed, length=20), rate=1e-2)


cured("state-detached-each-step", why="No detach.")(partial(each_step, cut=False))


class Stochastic(nn.Module):
    """A Gaussian code of two numbers, drawn, and a classifier of it."""

    def __init__(self, *, through: bool) -> None:
        super().__init__()
        self.encoder, self.classifier, self.through = stack([64, 32, 4]), stack([2, 64, 10]), through

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        mean, wide = self.encoder(x).chunk(2, -1)
        code = torch.distributions.Normal(mean, 0.1 * F.softplus(wide) + 1e-3)
        return self.classifier(code.rsample() if self.through else code.sample())


@case(
    "sample-without-r", label="severed-gradient", root="", steps=300, fixes=("rsample", "mean + deviation * noise"),
    source="kingma2014, section 2.4; discuss.pytorch.org, sample or rsample",
    why="`sample` draws under no_grad; `rsample` would pass a gradient. (One may also say: drawing is not differentiable.)",
)  # fmt: skip
def sampled(seed: int, *, through: bool = False) -> Setup:
    return adam(Stochastic(through=through), samples.digits(seed), rate=1e-2)


cured("sample-without-r", why="rsample.")(partial(sampled, through=True))


class Spike(torch.autograd.Function):
    """1 above 0 and 0 below, with the slope of a fast sigmoid."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        """Return spikes."""
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad: Tensor) -> Tensor:
        """Return the gradient times the surrogate slope."""
        (x,) = ctx.saved_tensors  # pyright: ignore  # torch does not declare it
        return grad[0] / (1 + 5 * x.abs()).square()


def _surrogate(x: Tensor) -> Tensor:
    return Spike.apply(x)  # pyright: ignore


def _bare(x: Tensor) -> Tensor:
    return (x > 0).float()


class Spiking(nn.Module):
    """Three layers of leaky neurons over five time steps."""

    def __init__(self, fire: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 24), nn.Linear(24, 24), nn.Linear(24, 24)])
        self.head, self.fire = nn.Linear(24, 10), fire

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        charge, total = [x.new_zeros(()) for _ in self.layers], x.new_zeros(())
        for _ in range(5):
            signal = x
            for index, layer in enumerate(self.layers):
                charge[index] = 0.8 * charge[index] + 3.0 * layer(signal)
                signal = self.fire(charge[index] - 1.0)
                charge[index] = charge[index] - signal
            total = total + signal
        return self.head(total)


@case(
    "spikes-without-surrogate", label="severed-nondifferentiable", root="", steps=300, fixes=("surrogate gradient",),
    source="neftci2019; jeshraghian/snntorch, questions on surrogate gradients",
    why="A spike is a step function: its derivative is 0 wherever it is one, and the layers below never learn.",
)  # fmt: skip
def spiking(seed: int, fire: Callable[[Tensor], Tensor] = _bare) -> Setup:
    return adam(Spiking(fire), samples.digits(seed), rate=1e-2)


cured("spikes-without-surrogate", why="The slope of a fast sigmoid in its place.")(partial(spiking, fire=_surrogate))


class Cells(nn.Module):
    """Two LSTM cells, one on the other, kept in a plain list or a ModuleList."""

    def __init__(self, keep: Callable[[list[nn.LSTMCell]], list[nn.LSTMCell] | nn.ModuleList]) -> None:
        super().__init__()
        self.cells = keep([nn.LSTMCell(samples.KINDS + 1, 16), nn.LSTMCell(16, 16)])
        self.head = nn.Linear(16, samples.KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS]."""
        states = [(x.new_zeros(len(x), 16), x.new_zeros(len(x), 16)) for _ in self.cells]
        for moment in x.unbind(1):
            for index, cell in enumerate(self.cells):
                states[index] = cell(moment, states[index])
                moment = states[index][0]
        return self.head(states[-1][0])


@case(
    "cells-in-plain-list", label="severed-unregistered-module", root="", steps=300, fixes=("nn.ModuleList",),
    source="Stack Overflow, LSTMCell in a list is not in model.parameters()",
    why="The cells of a stacked LSTM lie in a Python list: the model does not know them, so no optimizer moves them.",
)  # fmt: skip
def cells(seed: int, keep: Callable[[list[nn.LSTMCell]], list[nn.LSTMCell] | nn.ModuleList] = list) -> Setup:
    return adam(Cells(keep), samples.recall(seed, length=8), rate=1e-2)


cured("cells-in-plain-list", why="A ModuleList.")(partial(cells, keep=nn.ModuleList))


class Made(nn.Module):
    """A first layer made in forward, new at each call, or once."""

    def __init__(self, *, anew: bool) -> None:
        super().__init__()
        self.first, self.anew = None if anew else nn.Linear(64, 32), anew
        self.head = stack([32, 32, 10])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        first = nn.Linear(64, 32) if self.first is None else self.first
        return self.head(torch.relu(first(x)))


@case(
    "layer-made-in-forward", label="severed-unregistered-module", root="", steps=300, fixes=("make it in __init__",),
    source="Stack Overflow, nn.Linear inside forward does not learn",
    why="The first layer is made in forward: random anew at each step, known to no optimizer.",
)  # fmt: skip
def made_anew(seed: int, *, anew: bool = True) -> Setup:
    return adam(Made(anew=anew), samples.digits(seed), rate=3e-3)


cured("layer-made-in-forward", why="Made once, in __init__.")(partial(made_anew, anew=False))


class Blocks(nn.Module):
    """Blocks down to two numbers and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(64, 32), nn.Linear(32, 16), nn.Linear(16, 2)])
        self.head = nn.Linear(2, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.head(x)


@case(
    "groups-by-wrong-prefix", label="unowned-parameters", root="blocks", steps=300, fixes=("give the optimizer all parameters",),
    source="generated, after layer-wise rate decay recipes that match parameter names",
    why="Parameter groups are made by name, and the prefix is that of another network: all blocks fall through.",
)  # fmt: skip
def by_prefix(seed: int, prefix: str = "encoder.layer.") -> Setup:
    model = Blocks()
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if name.startswith(prefix)], "lr": 1e-2},
        {"params": [p for name, p in named if name.startswith("head.")], "lr": 1e-2},
    ]
    kept = [group for group in groups if group["params"]]
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.Adam(kept))


cured("groups-by-wrong-prefix", why="The prefix of this network.")(partial(by_prefix, prefix="blocks."))


def evened_digits() -> Tensor:
    """Return digits [n, 64] with mean 0 in each column and deviation 1 in all but the emptiest."""
    x, _ = samples.digit_table()
    return (x - x.mean(0)) / x.std(0).clamp_min(0.3)


class Twice(nn.Module):
    """An autoencoder over two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = stack([64, 64, 64, 2], nn.Tanh), stack([2, 64, 64], nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        """Return images again [batch, 64]."""
        return self.decoder(self.encoder(x))


@case(
    "decoder-alone-owned", label="unowned-parameters", root="encoder", steps=300, fixes=("give the optimizer all parameters",),
    source="discuss.pytorch.org, autoencoder learns only an average image",
    why="Encoder and decoder were to share an optimizer, which was given the decoder's parameters alone.",
)  # fmt: skip
def decoder_alone(seed: int, *, both: bool = False) -> Setup:
    model = Twice()
    x = evened_digits()
    held = model.parameters() if both else model.decoder.parameters()
    return Setup(model, samples.stream(x, x, seed), F.mse_loss, torch.optim.Adam(held, lr=5e-3))


cured("decoder-alone-owned", why="It holds both.")(partial(decoder_alone, both=True))


@case(
    "model-cell-run-again", label="foreign-parameters", root="", steps=300, fixes=("make the optimizer again",),
    source="Stack Overflow, re-running the model cell of a notebook",
    why="The model was made again, the optimizer was not: it holds the first model, which nobody trains. (One may also say: nobody owns the second.)",
)  # fmt: skip
def run_again(seed: int, *, again: bool = True) -> Setup:
    def images() -> nn.Sequential:
        first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, stride=2, padding=1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))

    model = images()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return Setup(images() if again else model, samples.digit_images(seed), F.cross_entropy, optimizer)


cured("model-cell-run-again", why="The optimizer of this model.")(partial(run_again, again=False))


def corridor(seed: int) -> Batches:
    """Return batches of places in a corridor of eight: place, and (action, reward, next place)."""
    draw = samples.generator(43)
    state = torch.randint(8, (960,), generator=draw)
    action = torch.randint(2, (960,), generator=draw)
    after = (state + 2 * action - 1).clamp(0, 7)
    reward = (after == 7).float() - 0.2 * (after == 0).float()
    return samples.stream(F.one_hot(state, 8).float(), (action, reward, F.one_hot(after, 8).float()), seed, size=32)


@case(
    "target-network-in-optimizer", label="foreign-parameters", root="", steps=300, fixes=("optimize the online network",),
    source="Stack Overflow, DQN does not learn; mnih2015",
    why="The optimizer of a Q-network was given the target network, which is no part of what is trained. (Nobody owns the Q-network.)",
)  # fmt: skip
def target_network(seed: int, *, online: bool = False) -> Setup:
    model, target = stack([8, 32, 2]), stack([8, 32, 2])
    target.load_state_dict(model.state_dict())

    def difference(output: Tensor, wanted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        action, reward, after = wanted
        with torch.no_grad():
            goal = reward + 0.5 * target(after).amax(-1)
        return F.mse_loss(output.gather(1, action[:, None])[:, 0], goal)

    held = model.parameters() if online else target.parameters()
    return Setup(model, corridor(seed), difference, torch.optim.Adam(held, lr=3e-3))


cured("target-network-in-optimizer", why="The network itself.")(partial(target_network, online=True))


@case(
    "backbone-never-loaded", label="frozen-layers", root="0", steps=300, fixes=("load the weights", "unfreeze the backbone"),
    source="pytorch/vision, load_state_dict(strict=False) that matched no key",
    why="The backbone is frozen as if it were trained, but not one key of the file matched: it is random, and stays so.",
)  # fmt: skip
def never_loaded(seed: int, *, frozen: bool = True) -> Setup:
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 4), nn.Tanh(),
    )  # fmt: skip
    model = nn.Sequential(backbone.requires_grad_(not frozen), stack([4, 32, 10], nn.ReLU, he))
    return adam(model, samples.digit_images(seed), rate=1e-2)


cured("backbone-never-loaded", why="Nothing is frozen.")(partial(never_loaded, frozen=False))


class Vectors(nn.Module):
    """Word vectors from a file that knows few of the words, a GRU, a head."""

    def __init__(self, *, frozen: bool) -> None:
        super().__init__()
        table = torch.randn(20, 16)
        table[2:] = 0.0  # not in the file
        self.tokens = nn.Embedding.from_pretrained(table, freeze=frozen)
        self.layer, self.head = nn.GRU(16, 32, batch_first=True), nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        return self.head(self.layer(self.tokens(tokens))[0])


@case(
    "vectors-of-unknown-words", label="frozen-layers", root="tokens", steps=300, fixes=("freeze=False",),
    source="Stack Overflow, nn.Embedding.from_pretrained freezes by default",
    why="Eighteen of twenty words are unknown to the file and share the vector 0, and from_pretrained freezes them there.",
)  # fmt: skip
def unknown_words(seed: int, *, frozen: bool = True) -> Setup:
    return adam(Vectors(frozen=frozen), samples.language(seed), token_loss, rate=1e-2)


cured("vectors-of-unknown-words", why="freeze=False.")(partial(unknown_words, frozen=False))
