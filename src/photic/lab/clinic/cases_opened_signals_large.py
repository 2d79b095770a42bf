"""Written without sight of the rules: first weights that are too large, each by another slip."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd, token_loss


class Actor(nn.Module):
    """A policy over ten actions, with orthogonal layers as PPO's are made."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.policy = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain if module is self.policy else 2.0**0.5)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of the actions, [batch, 10]."""
        return self.policy(self.trunk(x))


def _expected_reward(logits: Tensor, right: Tensor) -> Tensor:
    return 1.0 - torch.softmax(logits, dim=1).gather(1, right[:, None]).mean()


@case(
    "policy-over-ten-actions", label="weights-too-large", root="policy", steps=300, fixes=("a gain of 0.01",),
    source="andrychowicz2021, section 3.2; The 37 implementation details of PPO, detail 2",
    why="The last gain is 100, not 0.01: logits deviate by 60, one action has 0.98 from the start, none is tried.",
)  # fmt: skip
def policy(seed: int, gain: float = 100.0) -> Setup:
    return sgd(Actor(gain), samples.digits(seed), _expected_reward, rate=1.0)


cured("policy-over-ten-actions", why="A gain of 0.01: all actions are tried.")(partial(policy, gain=0.01))


def _fields(seed: int) -> Batches:
    draw = samples.generator(seed + 21)
    place = torch.linspace(0.0, 2.0 * math.pi, 33)[:32]
    waves = torch.arange(1, 5)[:, None] * place
    amounts = torch.randn(640, 4, generator=draw), torch.randn(640, 4, generator=draw)
    field = amounts[0] @ torch.sin(waves) + amounts[1] @ torch.cos(waves)
    slope = amounts[0] @ (torch.cos(waves) * torch.arange(1, 5)[:, None])
    slope = slope - amounts[1] @ (torch.sin(waves) * torch.arange(1, 5)[:, None])
    return samples.stream(field / field.std(), slope / slope.std(), seed, size=32)


class Spectral(nn.Module):
    """A layer of a Fourier neural operator: a complex matrix for each of six modes, and a pointwise map."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.modes = nn.Parameter(scale * torch.rand(24, 24, 6, dtype=torch.cfloat))
        self.pointwise = nn.Conv1d(24, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, 24, places]."""
        spectrum = torch.fft.rfft(x)
        mixed = torch.zeros_like(spectrum)
        mixed[..., :6] = torch.einsum("bim,iom->bom", spectrum[..., :6], self.modes)
        return torch.fft.irfft(mixed, n=x.shape[-1]) + self.pointwise(x)


class Operator(nn.Module):
    """A Fourier neural operator with four layers, from a field on 32 places to another."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.lift, self.project = nn.Conv1d(1, 24, 1), nn.Conv1d(24, 1, 1)
        self.layers = nn.ModuleList(Spectral(scale) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return the field asked for, [batch, 32]."""
        x = self.lift(x[:, None])
        for layer in self.layers:
            x = F.gelu(layer(x))
        return self.project(x)[:, 0]


@case(
    "operator-in-modes", label="weights-too-large", root="layers", steps=120, fixes=("a scale of 1 / (in * out)",),
    source="neuraloperator, SpectralConv1d: scale = 1 / (in_channels * out_channels), here left out",
    why="Complex weights from torch.rand without a scale of 1 / 576: layers multiply by up to 16; an error of 1e5.",
)  # fmt: skip
def operator(seed: int, scale: float = 1.0) -> Setup:
    return adam(Operator(scale), _fields(seed), F.mse_loss, rate=1e-3)


cured("operator-in-modes", why="A scale of 1 / 576.")(partial(operator, scale=1.0 / 576))


def _facts(seed: int) -> Batches:
    draw = samples.generator(31)
    hidden, relation = torch.randn(60, 3, generator=draw), torch.randn(4, 3, 3, generator=draw)
    rows = torch.stack([torch.randint(top, (2560,), generator=draw) for top in (60, 4, 60)], dim=1)
    value = torch.einsum("bi,bij,bj->b", hidden[rows[:, 0]], relation[rows[:, 1]], hidden[rows[:, 2]])
    return samples.stream(rows, (value > 0.0).float(), seed)


class Relations(nn.Module):
    """Entities as vectors and relations as matrices; a fact's score is the bilinear form of the three."""

    def __init__(self, spread: float, width: int = 32) -> None:
        super().__init__()
        self.entities = nn.Parameter(torch.randn(60, width) * spread)
        self.relations = nn.Parameter(torch.randn(4, width, width) * spread)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the score of each fact, [batch]."""
        left, relation, right = rows.unbind(1)
        return torch.einsum("bi,bij,bj->b", self.entities[left], self.relations[relation], self.entities[right])


@case(
    "facts-as-bilinear-forms", label="weights-too-large", root="", steps=300, fixes=("a deviation of 1 / sqrt(width)",),
    source="nickel2011 (RESCAL); pytorch-tpu/transformers#26, on randn as a start",
    why="Vectors and matrices from randn: a score sums 1,024 products and deviates by 32, the first loss is 11 to 20.",
)  # fmt: skip
def facts(seed: int, spread: float = 1.0) -> Setup:
    return adam(Relations(spread), _facts(seed), F.binary_cross_entropy_with_logits, rate=1e-2)


cured("facts-as-bilinear-forms", why="A deviation of 0.18.")(partial(facts, spread=32**-0.5))


def _restore(module: nn.Module, *, scaled: bool) -> None:
    """Store each matrix as bytes and a scale, and read it again, with or without the scale."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                scale = weight.abs().max() / 127.0
                stored = torch.round(weight / scale).to(torch.int8)
                weight.copy_(stored.float() * scale if scaled else stored.float())


@case(
    "fine-tuned-from-bytes", label="weights-too-large", root="", steps=300, fixes=("multiply by the scale",),
    source="common mistake; jacob2018, equation 1: real = scale * (q - zero)",
    why="Matrices kept as int8 are read without their scales: entries of up to 127, not 0.3; a first loss of 5e7.",
)  # fmt: skip
def from_bytes(seed: int, *, scaled: bool = False) -> Setup:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GELU(), nn.Conv2d(8, 12, 3, stride=2), nn.GELU(), nn.Flatten(), nn.Linear(48, 10)
    )
    _restore(model, scaled=scaled)
    return adam(model, samples.digit_images(seed), rate=3e-3)


cured("fine-tuned-from-bytes", why="The scales are used.")(partial(from_bytes, scaled=True))


class GraphLayer(nn.Module):
    """A graph convolution after Kipf: support = x W, output = A support + b."""

    def __init__(self, before: int, after: int, *, inverse: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(before, after)), nn.Parameter(torch.empty(after))
        stdv = 1.0 / math.sqrt(after) if inverse else math.sqrt(after)
        nn.init.uniform_(self.weight, -stdv, stdv)
        nn.init.uniform_(self.bias, -stdv, stdv)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Return [batch, nodes, after]."""
        return adjacency @ (x @ self.weight) + self.bias


class GraphNet(nn.Module):
    """Four graph convolutions over thirty people."""

    def __init__(self, *, inverse: bool) -> None:
        super().__init__()
        draw = samples.generator(41)
        group = torch.arange(30) // 10
        likely = torch.where(group[:, None] == group[None], 0.5, 0.05)
        edges = (torch.rand(30, 30, generator=draw) < likely).float().triu(1)
        whole = edges + edges.T + torch.eye(30)
        root = whole.sum(1).rsqrt()
        self.register_buffer("adjacency", root[:, None] * whole * root[None])
        sizes = (6, 32, 32, 32, 3)
        self.layers = nn.ModuleList(GraphLayer(a, b, inverse=inverse) for a, b in zip(sizes, sizes[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 30, 3]."""
        for index, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if index else x, self.get_buffer("adjacency"))
        return x


def _people(seed: int) -> Batches:
    draw = samples.generator(seed + 42)
    group = (torch.arange(30) // 10).expand(256, 30)
    x = torch.randn(256, 30, 6, generator=draw)
    turned = (group + torch.randint(2, (256, 1), generator=draw)) % 3
    x = x + 1.0 * F.one_hot(turned, 6).float()
    return samples.stream(x, turned.contiguous(), seed, size=8)


@case(
    "groups-in-a-network", label="weights-too-large", root="", steps=300, fixes=("1 / sqrt(out)",),
    source="common mistake, after tkipf/pygcn, reset_parameters",
    why="stdv is sqrt(out), not 1 / sqrt(out): 32 times too large in three layers of four, logits of 3,000.",
)  # fmt: skip
def groups(seed: int, *, inverse: bool = False) -> Setup:
    return sgd(GraphNet(inverse=inverse), _people(seed), token_loss, rate=0.1)


cured("groups-in-a-network", why="1 / sqrt(out).")(partial(groups, inverse=True))


class Cleaner(nn.Module):
    """A convolutional autoencoder that takes noise off images."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(8, 16, 3, padding=1))
        self.up = nn.Sequential(nn.SiLU(), nn.ConvTranspose2d(16, 8, 2, stride=2), nn.SiLU(), nn.Conv2d(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return cleaned images."""
        return self.up(self.down(x))


def _clients(model: nn.Module, *, averaged: bool, count: int = 16) -> dict[str, Tensor]:
    """What the server makes of its clients, each of which moved a little away from the common start."""
    total = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for _ in range(count):
        for name, value in model.state_dict().items():
            total[name] += value + 0.01 * torch.randn_like(value)
    return {name: value / count if averaged else value for name, value in total.items()}


def _noisy(seed: int) -> Batches:
    draw = samples.generator(seed + 43)
    kept = [(x + 0.4 * torch.randn(x.shape, generator=draw), x) for x, _ in samples.digit_images(seed)()]
    return lambda: iter(kept)


@case(
    "cleaner-of-sixteen-clients", label="weights-too-large", root="", steps=300, fixes=("the mean of the clients",),
    source="common mistake; mcmahan2017, algorithm 1, with the sum for the weighted mean",
    why="The weights of sixteen clients are added and not divided: four layers 16 times too large, an error of 1e6.",
)  # fmt: skip
def clients(seed: int, *, averaged: bool = False) -> Setup:
    model = Cleaner()
    model.load_state_dict(_clients(model, averaged=averaged))
    return adam(model, _noisy(seed), F.mse_loss, rate=3e-3)


cured("cleaner-of-sixteen-clients", why="The mean of the clients.")(partial(clients, averaged=True))


class Members(nn.Module):
    """Four networks in one: every layer is a tensor [member, in, out] and an einsum over it."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        shapes = [(4, 10, 128), (4, 128, 128), (4, 128, 128), (4, 128, 1)]
        self.tensors = nn.ParameterList(torch.randn(shape) * (2.0 / shape[axis]) ** 0.5 for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(4, shape[2]) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of what the members say, [batch, 1]."""
        x = x[:, None].expand(-1, 4, -1)
        for index, (tensor, bias) in enumerate(zip(self.tensors, self.biases, strict=True)):
            x = torch.einsum("bmi,mio->bmo", F.mish(x) if index else x, tensor) + bias
        return x.mean(1)


@case(
    "four-members-in-one", label="weights-too-large", root="", steps=200, fixes=("the axis of the inputs",),
    source="common mistake; pytorch/pytorch, nn.init._calculate_fan_in_and_fan_out on tensors of three axes",
    why="The fan is read from axis 0, 4 members, not axis 1, 128 inputs: deviations of 0.7, not 0.13; an error of 3e4.",
)  # fmt: skip
def members(seed: int, axis: int = 0) -> Setup:
    return adam(Members(axis), samples.diabetes(seed), F.mse_loss)


cured("four-members-in-one", why="The fan of axis 1.")(partial(members, axis=1))
