"""Written without sight of the rules: units that never fire, and layers that take no part."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he


class Pressure(torch.autograd.Function):
    """The identity, which adds the gradient of an L1 penalty on its way back."""

    @staticmethod
    def forward(ctx: Any, code: Tensor, weight: float) -> Tensor:
        """Return the code as it is."""
        ctx.save_for_backward(code)
        ctx.weight = weight
        return code.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient plus that of `weight * |code|`."""
        (code,) = ctx.saved_tensors
        return gradients[0] + ctx.weight * code.sign(), None


class Dictionary(nn.Module):
    """A sparse autoencoder with 128 latents; the rows of its decoder have norm 1."""

    def __init__(self, penalty: float) -> None:
        super().__init__()
        self.W_enc = nn.Parameter(torch.randn(64, 128) / 8.0)
        self.W_dec = nn.Parameter(self.W_enc.detach().t().clone() / 2.0)
        self.b_enc, self.b_dec = nn.Parameter(torch.zeros(128)), nn.Parameter(torch.zeros(64))
        self.penalty = penalty

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction [batch, 64]."""
        latents = F.relu((x - self.b_dec) @ self.W_enc + self.b_enc)
        latents = Pressure.apply(latents, self.penalty)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        return latents @ F.normalize(self.W_dec, dim=1) + self.b_dec


def _superposed(seed: int) -> Batches:
    draw = samples.generator(seed + 54)
    ways = F.normalize(torch.randn(40, 64, generator=draw), dim=1)
    x = (torch.rand(2048, 40, generator=draw) < 0.1).float() * torch.rand(2048, 40, generator=draw) @ ways
    return samples.stream(4.0 * x, 4.0 * x, seed)


@case(
    "sparse-dictionary", label="dead-units", root="", steps=300, fixes=("average the penalty", "lower penalty"),
    source="decoderesearch/SAELens#202, on dead latents; bricken2023",
    why="The L1 penalty is summed, the error is averaged: after 300 steps none of 128 latents fires.",
)  # fmt: skip
def dictionary(seed: int, penalty: float = 0.1) -> Setup:
    return adam(Dictionary(penalty), _superposed(seed), F.mse_loss, rate=3e-3)


cured("sparse-dictionary", why="The penalty is averaged too.")(partial(dictionary, penalty=1e-6))


class Thresholded(nn.Module):
    """Filter response normalisation with a learned threshold instead of a ReLU."""

    def __init__(self, channels: int, tau: float) -> None:
        super().__init__()
        shape = (1, channels, 1, 1)
        self.gamma, self.beta = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))
        self.tau = nn.Parameter(torch.full(shape, tau))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised maps, no value below the threshold."""
        nu2 = x.pow(2).mean((2, 3), keepdim=True)
        return torch.max(self.gamma * x * torch.rsqrt(nu2 + 1e-6) + self.beta, self.tau)


@case(
    "response-norm-images", label="dead-units", root="", steps=300, fixes=("start tau at 0",),
    source="singh2020, on the thresholded linear unit",
    why="The learned threshold starts at 6, as for a ReLU6, above all normalised responses: all 48 maps are constant.",
)  # fmt: skip
def response_norm(seed: int, tau: float = 6.0) -> Setup:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), Thresholded(16, tau), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), Thresholded(32, tau), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    return adam(model, samples.digit_images(seed), rate=2e-3)


cured("response-norm-images", why="Thresholds that start at 0.")(partial(response_norm, tau=0.0))


class Monotone(nn.Module):
    """A network that cannot fall in any input: all its weights are exp of a parameter."""

    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        sizes = (8, 32, 32, 1)
        pairs = list(zip(sizes, sizes[1:], strict=False))
        self.raw = nn.ParameterList([nn.Parameter(torch.randn(a, b) * 0.5 - 3.0) for a, b in pairs])
        self.bias = nn.ParameterList([nn.Parameter(torch.zeros(b)) for _, b in pairs])
        self.centred = centred

    def forward(self, x: Tensor) -> Tensor:
        """Return a value [batch, 1] for the logarithms of eight probabilities."""
        if self.centred:
            x = x + 1.0  # -log of a uniform number has mean and deviation 1
        for i, (raw, bias) in enumerate(zip(self.raw, self.bias, strict=True)):
            x = x @ raw.exp() + bias
            if i < len(self.raw) - 1:
                x = F.relu(x)
        return x


@case(
    "monotone-survival", label="dead-units", root="", steps=300, fixes=("centre the inputs", "elu"),
    source="sill1997, on monotonic networks; runje2023, section 2",
    why="Positive weights times the logarithms of probabilities: all units of the first layer are below 0 for all 1,024 rows.",
)  # fmt: skip
def monotone(seed: int, *, centred: bool = False) -> Setup:
    chance = torch.rand(1024, 8, generator=samples.generator(seed + 50)).clamp_min(1e-3)
    worth = samples.standardised((2.0 * chance[:, :4].amin(1) + chance[:, 4:].log().sum(1) / 4.0)[:, None])
    return adam(Monotone(centred=centred), samples.stream(chance.log(), worth, seed), F.mse_loss, rate=3e-2)


cured("monotone-survival", why="Inputs with mean 0.")(partial(monotone, centred=True))


class Spike(torch.autograd.Function):
    """A step, with a box of width 1 for its derivative."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        """Return 1 where v is above 0."""
        ctx.save_for_backward(v)
        return (v > 0.0).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient near the step."""
        (v,) = ctx.saved_tensors
        return gradients[0] * (v.abs() < 0.5).float()


class Spiking(nn.Module):
    """Leaky integrate-and-fire neurons that see one image for ten ticks; their rates are read out."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.synapses, self.readout = nn.Linear(64, 128), nn.Linear(128, 10)
        self.threshold, self.leak = threshold, 0.9

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        current = self.synapses(x)
        v, count = torch.zeros_like(current), torch.zeros_like(current)
        for _ in range(10):
            v = self.leak * v + current
            s: Any = Spike.apply(v - self.threshold)  # pyright: ignore[reportUnknownMemberType]
            v = v - s.detach() * self.threshold
            count = count + s
        return self.readout(count / 10.0)


@case(
    "spiking-rates", label="dead-units", root="", steps=300, fixes=("lower threshold", "wider surrogate"),
    source="fangwei123456/spikingjelly#190, the rectangular surrogate; eshraghian2023",
    why="The threshold is 30 mV where the potentials reach 16: no neuron fires, and the surrogate is 0 that far away.",
)  # fmt: skip
def spiking(seed: int, threshold: float = 30.0) -> Setup:
    return adam(Spiking(threshold), samples.digits(seed), rate=3e-3)


cured("spiking-rates", why="A threshold of 1.")(partial(spiking, threshold=1.0))


class Rezero(nn.Module):
    """A small transformer written with einsum; every branch is multiplied by a number of its own."""

    def __init__(self, *, learned: bool, vocabulary: int = 8, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(12, width))
        self.qkv = nn.ParameterList([nn.Parameter(torch.randn(3, width, 4, 8) / width**0.5) for _ in range(depth)])
        self.out = nn.ParameterList([nn.Parameter(torch.randn(4, 8, width) / width**0.5) for _ in range(depth)])
        alphas = torch.zeros(depth)
        if learned:
            self.alpha = nn.Parameter(alphas)
        else:
            self.register_buffer("alpha", alphas)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, vocabulary], read at the last place."""
        h = self.embed(tokens) + self.place
        for a, w, o in zip(self.alpha, self.qkv, self.out, strict=True):
            q, k, v = torch.einsum("btd,cdhe->cbhte", h, w)
            mix = torch.einsum("bhqe,bhke->bhqk", q, k).div(8**0.5).softmax(-1)
            h = h + a * torch.einsum("bhqk,bhke,hed->bqd", mix, v, o)
        return self.head(h[:, -1])


@case(
    "rezero-reader", label="idle-layer", root="", steps=300, fixes=("nn.Parameter", "start at 1"),
    source="bachlechner2021; common mistake, a buffer for a parameter",
    why="The factors of the residual branches are 0 and a buffer: no branch ever adds anything, and the word is far away.",
)  # fmt: skip
def rezero(seed: int, *, learned: bool = False) -> Setup:
    text = torch.randint(8, (1024, 12), generator=samples.generator(seed + 51))
    return adam(Rezero(learned=learned), samples.stream(text, text[:, 2], seed, size=32), rate=5e-3)


cured("rezero-reader", why="The factors are parameters.")(partial(rezero, learned=True))


def _dropout(x: Tensor, p: float, training: bool) -> Tensor:
    return x * (torch.rand_like(x) >= p) / max(1.0 - p, 1e-3) if training else x


class WideAndDeep(nn.Module):
    """A linear model of the columns plus a deep one, whose hidden units are dropped at random."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.wide, self.into, self.deep = nn.Linear(10, 1), nn.Linear(10, 64), nn.Linear(64, 1, bias=False)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return the score [batch]."""
        hidden = _dropout(F.relu(self.into(x)), self.rate, self.training)
        return (self.wide(x) + self.deep(hidden)).squeeze(1)


@case(
    "wide-and-deep-ported", label="idle-layer", root="into", steps=300, fixes=("p = 1 - keep_prob",),
    source="cheng2016; common mistake when porting tf.nn.dropout(x, keep_prob)",
    why="keep_prob=1 became p=1: the deep half is all zeros while it trains, and the clicks are products of two columns.",
)  # fmt: skip
def ported(seed: int, rate: float = 1.0) -> Setup:
    x = torch.randn(1024, 10, generator=samples.generator(seed + 52))
    clicked = ((x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3]) > 0.0).float()
    return adam(WideAndDeep(rate), samples.stream(x, clicked, seed), F.binary_cross_entropy_with_logits, rate=1e-2)


cured("wide-and-deep-ported", why="Nothing is dropped.")(partial(ported, rate=0.0))


class Adapted(nn.Module):
    """A frozen linear layer with a low-rank correction beside it."""

    def __init__(self, before: int, after: int, scaling: float, rank: int = 8) -> None:
        super().__init__()
        self.base = nn.Linear(before, after).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, before) / before**0.5)
        self.lora_B = nn.Parameter(torch.zeros(after, rank))
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, corrected."""
        return self.base(x) + self.scaling * (x @ self.lora_A.T @ self.lora_B.T)


@case(
    "adapters-eight-four", label="idle-layer", root="", steps=300, fixes=("alpha / rank",),
    source="hu2022lora, section 4.1; common mistake, integer division",
    why="The scaling is alpha // rank = 4 // 8 = 0: the adapters, all that is trained, add nothing; the loss falls by 0.01.",
)  # fmt: skip
def adapters(seed: int, scaling: float = 4 // 8) -> Setup:
    layers = [Adapted(64, 64, scaling), nn.GELU(), Adapted(64, 64, scaling), nn.GELU(), Adapted(64, 10, scaling)]
    return adam(nn.Sequential(*layers), samples.digits(seed), rate=1e-2)


cured("adapters-eight-four", why="A scaling of a half.")(partial(adapters, scaling=4 / 8))


class Fused(nn.Module):
    """A fine and a coarse branch whose maps are fused with weights that a ReLU keeps from being negative."""

    def __init__(self, first: tuple[float, float]) -> None:
        super().__init__()
        self.fine = nn.Conv2d(4, 16, 3, padding=1)
        self.coarse = nn.Sequential(nn.Conv2d(4, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 16, 2), nn.ReLU())
        self.w = nn.Parameter(torch.tensor(first))
        self.head = nn.Conv2d(16, 4, 1)
        he(self.fine.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 8, 8, 4], a class for each pixel."""
        far = F.interpolate(self.coarse(x), size=x.shape[-2:], mode="nearest")
        w = F.relu(self.w)
        mixed = (w[0] * F.relu(self.fine(x)) + w[1] * far) / (w.sum() + 1e-4)
        return self.head(mixed).permute(0, 2, 3, 1)


def _pixel_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 2), target.flatten())


@case(
    "fused-maps", label="idle-layer", root="coarse", steps=300, fixes=("start both weights at 1", "softmax"),
    source="tan2020, section 3.3, fast normalised fusion",
    why="The coarse branch's weight starts at -0.5, the ReLU makes it 0 and lets no gradient through; 0.11 instead of 1.0.",
)  # fmt: skip
def fused(seed: int, first: tuple[float, float] = (1.0, -0.5)) -> Setup:
    draw = samples.generator(seed + 53)
    x, kinds = 0.3 * torch.randn(512, 4, 8, 8, generator=draw), torch.randint(4, (512,), generator=draw)
    row, column = torch.randint(8, (2, 512), generator=draw)
    x[torch.arange(512), kinds, row, column] += 4.0
    wanted = kinds[:, None, None].expand(-1, 8, 8)
    return adam(Fused(first), samples.stream(x, wanted, seed, size=32), _pixel_loss, rate=5e-3)


cured("fused-maps", why="Weights of 1.")(partial(fused, first=(1.0, 1.0)))
