"""Cut wires: generated weights, an encoded context, physics, an own backward, maps in numpy, samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, stack


class Generated(nn.Module):
    """A hypernetwork that writes the weights of a small network for each task, one task a batch."""

    def __init__(self, *, copies: bool) -> None:
        super().__init__()
        self.hyper = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 8 * 8 + 8))
        self.features = nn.Sequential(nn.Linear(1, 8), nn.Tanh())
        self.target = nn.Linear(8, 8)
        self.out = nn.Linear(8, 1)
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, 1]; the columns of x are the place, and the task's two numbers."""
        made = self.hyper(x[0, 1:])
        weight, bias = made[:64].view(8, 8), made[64:]
        hidden = self.features(x[:, :1])
        if self.copies:
            self.target.weight.data = weight.data
            self.target.bias.data = bias.data
            return self.out(torch.tanh(self.target(hidden)))
        return self.out(torch.tanh(F.linear(hidden, weight, bias)))


@case(
    "hypernetwork-of-waves", label="severed-gradient", root="hyper", steps=300,
    fixes=("functional call with the weights",),
    source="ha2017; common mistake: weights of another network set through .data",
    why="The generated weights are assigned through .data, so the network that generates them never gets a "
    "gradient (r2 0.23 to 0.35).",
)  # fmt: skip
def hypernetwork(seed: int, *, copies: bool = True) -> Setup:
    draw = samples.generator(seed + 31)
    kept: list[Any] = []
    for _ in range(40):
        size, phase = torch.rand(2, generator=draw) * 2.0 - 1.0
        x = torch.rand(64, 1, generator=draw) * 4.0 - 2.0
        kept.append(
            (torch.cat((x, torch.stack((size, phase)).expand(64, 2)), 1), 2.0 * size * torch.sin(2.0 * x + phase))
        )
    return adam(Generated(copies=copies), lambda: iter(kept), F.mse_loss, rate=1e-2)


cured("hypernetwork-of-waves", why="F.linear with the generated weights.")(partial(hypernetwork, copies=False))


class Translator(nn.Module):
    """A sequence to sequence network: an encoder's last state starts a decoder that is fed the true tokens."""

    def __init__(self, carry: Callable[[Tensor], Tensor], words: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 16)
        self.reader, self.writer = nn.GRU(16, 48, batch_first=True), nn.GRUCell(16, 48)
        self.narrow, self.widen = nn.Linear(48, 16), nn.Linear(16, 48)
        self.head, self.carry = nn.Linear(48, words), carry

    def forward(self, source: Tensor) -> Tensor:
        """Return logits [batch, 3, words] for the first words of the source [batch, time]."""
        _, last = self.reader(self.embedding(source))
        state = torch.tanh(self.widen(self.carry(self.narrow(last[0]))))
        word = torch.zeros_like(source[:, 0])
        logits: list[Tensor] = []
        for place in range(3):
            state = self.writer(self.embedding(word), state)
            logits.append(self.head(state))
            word = source[:, place]
        return torch.stack(logits, 1)


def repackaged(state: Tensor) -> Tensor:
    """Wrap a hidden state in a new tensor, to detach it from its history."""
    return state.detach()


def unchanged(state: Tensor) -> Tensor:
    """Return the state itself."""
    return state


def _words(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


@case(
    "opening-words-again", label="severed-gradient", root="", steps=300, fixes=("do not detach the context",),
    source="pytorch/examples, word_language_model, repackage_hidden, taken over for an encoder",
    why="The encoder's state is detached before the decoder starts: the reader stays as drawn (score 0.09 to 0.11).",
)  # fmt: skip
def translator(seed: int, carry: Callable[[Tensor], Tensor] = repackaged) -> Setup:
    text = torch.randint(1, 6, (1024, 10), generator=samples.generator(seed + 41))
    return adam(Translator(carry), samples.stream(text, text[:, :3], seed), _words, rate=1e-2)


cured("opening-words-again", why="The state itself is handed on.")(partial(translator, carry=unchanged))


class Physics(nn.Module):
    """A network for u' = 3 cos 3x with u(0) = 0; returns the residual of the equation and the value at the start."""

    def __init__(self, *, create_graph: bool) -> None:
        super().__init__()
        self.net, self.create_graph = stack([1, 32, 32, 1], nn.Tanh), create_graph

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual [batch, 1] and u(0)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=self.create_graph)
            return slope - 3.0 * torch.cos(3.0 * x), self.net(torch.zeros(1, 1))


def _physics_loss(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
    return output[0].pow(2).mean() + output[1].pow(2).mean()


@case(
    "equation-of-a-wave", label="severed-gradient", root="", steps=300, fixes=("create_graph=True",),
    source="raissi2019; pytorch docs, torch.autograd.grad, create_graph",
    why="The derivative is taken without create_graph: the residual has no history, of a loss of 4 to 5 only "
    "u(0), below 0.1, is trained.",
)  # fmt: skip
def physics(seed: int, *, create_graph: bool = False) -> Setup:
    x = torch.rand(1024, 1, generator=samples.generator(seed + 51)) * 2.0
    model = Physics(create_graph=create_graph)
    return adam(model, samples.stream(x, torch.zeros_like(x), seed), _physics_loss, rate=5e-3)


cured("equation-of-a-wave", why="create_graph=True.")(partial(physics, create_graph=True))


class Fused(torch.autograd.Function):
    """A linear map and ReLU in one function, whose backward serves the parameters alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return relu(x W' + b)."""
        out = torch.relu(x @ weight.t() + bias)
        ctx.save_for_backward(x, weight, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradients of x, W and b; that of x is left out."""
        x, _, out = ctx.saved_tensors
        inner = grad_outputs[0] * (out > 0)
        return None, inner.t() @ x, inner.sum(0)


class FusedWhole(Fused):
    """The same, with the gradient of x."""

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradients of x, W and b."""
        x, weight, out = ctx.saved_tensors
        inner = grad_outputs[0] * (out > 0)
        return inner @ weight, inner.t() @ x, inner.sum(0)


class FusedLayer(nn.Module):
    """A layer around a fused function."""

    def __init__(self, before: int, after: int, function: type[Fused]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) * (2.0 / before) ** 0.5)
        self.bias, self.function = nn.Parameter(torch.zeros(after)), function

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x W' + b)."""
        return self.function.apply(x, self.weight, self.bias)  # pyright: ignore[reportReturnType]


@case(
    "fused-linear-relu", label="severed-gradient", root="", steps=300, fixes=("return the gradient of the input",),
    source="pytorch docs, extending autograd; common mistake: a backward that returns None",
    why="An own backward returns None for the input, so that of three fused layers only the "
    "last is trained.",
)  # fmt: skip
def fused(seed: int, function: type[Fused] = Fused) -> Setup:
    sizes = (64, 32, 6, 32)
    layers = [FusedLayer(before, after, function) for before, after in zip(sizes, sizes[1:], strict=False)]
    return adam(nn.Sequential(*layers, nn.Linear(32, 10)), samples.digits(seed), rate=3e-3)


cured("fused-linear-relu", why="The gradient of the input is returned too.")(partial(fused, function=FusedWhole))


class Segmenter(nn.Module):
    """A small encoder and decoder for masks; the map between them is made larger in numpy, or in torch."""

    def __init__(self, *, numpy: bool) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 3, padding=1), nn.MaxPool2d(2)
        )
        self.up = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
        self.numpy = numpy

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 1, 16, 16]."""
        code = self.down(x)
        if self.numpy:
            large = np.kron(code.detach().numpy(), np.ones((1, 1, 2, 2), dtype=np.float32))
            code = torch.from_numpy(large)
        else:
            code = F.interpolate(code, scale_factor=2, mode="nearest")
        return self.up(code)


def striped_images(seed: int, *, rows: int = 512, noise: float = 0.8) -> tuple[Tensor, Tensor]:
    """Return images [n, 1, 16, 16] of horizontal stripes with a window of vertical ones, and masks of the window."""
    draw = samples.generator(seed)
    place = torch.arange(16)
    x, mask = torch.empty(rows, 1, 16, 16), torch.zeros(rows, 1, 16, 16)
    for row in range(rows):
        top, left = (int(torch.randint(9, (1,), generator=draw)) for _ in range(2))
        mask[row, 0, top : top + 8, left : left + 8] = 1.0
        turn = int(torch.randint(2, (1,), generator=draw))
        stripes = ((place + turn) % 2 * 2 - 1).float()
        x[row, 0] = torch.where(mask[row, 0] > 0.0, stripes[None, :], stripes[:, None])
    return x + noise * torch.randn(x.shape, generator=draw), mask


@case(
    "striped-window-masks", label="severed-gradient", root="", steps=200, fixes=("F.interpolate",),
    source="common mistake: cv2.resize or scipy.ndimage.zoom inside a network",
    why="The code is enlarged in numpy and comes back without history: the encoder, two maps wide, stays as drawn.",
)  # fmt: skip
def segmenter(seed: int, *, numpy: bool = True) -> Setup:
    x, mask = striped_images(seed + 61)
    model = Segmenter(numpy=numpy)
    return adam(model, samples.stream(x, mask, seed, size=32), F.binary_cross_entropy_with_logits, rate=1e-2)


cured("striped-window-masks", why="F.interpolate.")(partial(segmenter, numpy=False))


class Variational(nn.Module):
    """A variational autoencoder; draws its code with or without a path back to the mean and the deviation."""

    def __init__(self, *, path: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = stack([64, 48, 16]), stack([8, 48, 64])
        self.path = path

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, the mean and the log variance."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        code = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
        return self.decoder(code.rsample() if self.path else code.sample()), mean, log_variance


def _bound(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    made, mean, log_variance = output
    divergence = -0.5 * (1.0 + log_variance - mean.pow(2) - log_variance.exp()).mean()
    return F.mse_loss(made, target) + 0.02 * divergence


@case(
    "variational-digits", label="severed-gradient", root="", steps=300, fixes=("rsample",),
    source="pytorch docs, torch.distributions, pathwise derivative; kingma2014",
    why="sample() has no history where rsample() has: the encoder learns from the divergence alone, and the "
    "loss falls by 9 % at most.",
)  # fmt: skip
def variational(seed: int, *, path: bool = False) -> Setup:
    x = samples.digit_table()[0]
    x = 1.5 * (x - x.mean(0))
    return adam(Variational(path=path), samples.stream(x, x, seed), _bound, rate=5e-3)


cured("variational-digits", why="rsample().")(partial(variational, path=True))
