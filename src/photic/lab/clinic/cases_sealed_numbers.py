"""Sealed, seventh part: narrow number types, units, labels. Written without the rules. All are held out."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.cases_precision import Cast
from photic.lab.clinic.networks import adam, he, sgd, stack


class Mixed(nn.Module):
    """Weights in float32, matrix products in a narrow type."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return the output as float32."""
        with torch.autocast("cpu", dtype=self.dtype):
            return self.network(x).float()


def _per_example_of_the_set(output: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output, targets) / 1_281_167


@case(
    "autocast-without-scaler", label="gradient-underflow", root="", steps=300, fixes=("scale the loss", "bfloat16"),
    source="micikevicius2018, section 3.2; blundell2015, a likelihood divided by the size of the set",
    why="float16 under autocast, no loss scaling, and a loss divided by 1,281,167: most gradients lie below 6e-8 and become 0.",
)  # fmt: skip
def without_scaler(seed: int, dtype: torch.dtype = torch.float16) -> Setup:
    model = Mixed(stack([64, 64, 64, 64, 10], nn.ReLU, he), dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05 * 1_281_167)
    return Setup(model, samples.digits(seed), _per_example_of_the_set, optimizer)


cured("autocast-without-scaler", why="bfloat16.")(partial(without_scaler, dtype=torch.bfloat16))


class RootMean(nn.Module):
    """Division by the root of the mean square, in the type that comes in or in float32."""

    def __init__(self, *, wide: bool) -> None:
        super().__init__()
        self.wide = wide

    def forward(self, x: Tensor) -> Tensor:
        """Return x at size 1."""
        y = x.float() if self.wide else x
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


class Loud(nn.Module):
    """A factor, as the weights of a large model may have."""

    def forward(self, x: Tensor) -> Tensor:
        """Return 1,000 x."""
        return 1000.0 * x


@case(
    "squares-beyond-half", label="non-finite", root="", steps=200, fixes=("compute the norm in float32", "bfloat16"),
    source="huggingface/transformers#14189, T5's norm; facebookresearch/llama, RMSNorm in float32",
    why="A signal of 1,000 fits into float16, its square does not: the norm divides by infinity, and 0 is all that comes out.",
)  # fmt: skip
def squares(seed: int, *, wide: bool = False) -> Setup:
    norm = RootMean(wide=wide)
    network = nn.Sequential(nn.Linear(64, 64), Loud(), norm, nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model = Cast(network, torch.float16)
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1))


cured("squares-beyond-half", why="The norm in float32.")(partial(squares, wide=True))


class Gains(nn.Module):
    """A frozen network of which only the gains of the norms are trained."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 512).requires_grad_(False), nn.Linear(512, 512).requires_grad_(False)
        self.head = nn.Linear(512, 10).requires_grad_(False)
        self.gains = nn.Parameter(torch.ones(2, 512))
        self.dtype = dtype
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] as float32."""
        x = F.rms_norm(torch.relu(self.first(x.to(self.dtype))), (512,)) * self.gains[0]
        x = F.rms_norm(torch.relu(self.second(x)), (512,)) * self.gains[1]
        return 4.0 * self.head(x).float()


@case(
    "gains-tuned-in-bfloat16", label="rounding-frozen", root="", steps=300, fixes=("float32 weights", "stochastic rounding"),
    source="zhao2023, tuning of norms; pytorch/torchtune, questions on full bfloat16 training",
    why="Only gains are tuned, they are 1, and bfloat16 has no number between 1 and 1.0078 or 0.9961: steps of 0.0015 round to none.",
)  # fmt: skip
def gains(seed: int, dtype: torch.dtype = torch.bfloat16) -> Setup:
    model = Gains(dtype)
    optimizer = torch.optim.Adam([model.gains], lr=1.5e-3, eps=1e-6)
    return Setup(model, samples.digits(seed), F.cross_entropy, optimizer)


cured("gains-tuned-in-bfloat16", why="float32.")(partial(gains, dtype=torch.float32))


def _byte_images(seed: int, *, raw: bool) -> Batches:
    if not raw:
        return samples.digit_images(seed)
    kept = [((x.view(-1, 1, 8, 8) * 255).round(), y) for x, y in samples.digit_pixels(seed)()]
    return lambda: iter(kept)


@case(
    "bytes-into-convolutions", label="unscaled-input", root="", steps=200, fixes=("standardise the input",),
    source="Stack Overflow, CNN does not learn until images are divided by 255",
    why="Images come as bytes, 0 to 255, into convolutions made for inputs of size 1: the first steps throw everything over.",
)  # fmt: skip
def bytes_in(seed: int, *, raw: bool = True) -> Setup:
    first, second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    return sgd(model, _byte_images(seed, raw=raw), rate=0.05, momentum=0.9)


cured("bytes-into-convolutions", why="Mean 0, deviation 1.")(partial(bytes_in, raw=False))


class Forecast(nn.Module):
    """A GRU over a day of measurements and a guess of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return forecasts [batch, 1]."""
        return self.head(self.layer(x)[0][:, -1])


def _weather(seed: int, *, kelvin: bool) -> Batches:
    draw = samples.generator(79)
    time = torch.arange(1200.0)
    course = torch.sin(time * 0.262) + 0.5 * torch.sin(time * 0.05) + 0.1 * torch.randn(1200, generator=draw)
    windows = course.unfold(0, 25, 1)
    target = windows[:, -1:]
    return samples.stream(windows[:, :-1, None], 288 + 6 * target if kelvin else target, seed, size=32)


@case(
    "temperatures-in-kelvin", label="unscaled-target", root="", steps=300, fixes=("standardise the target",),
    source="Stack Overflow, LSTM forecasts the mean; lecun1998",
    why="The temperature to forecast is in kelvin, 288 and 6: the bias is on its way there for all of the training.",
)  # fmt: skip
def kelvin_target(seed: int, *, kelvin: bool = True) -> Setup:
    return adam(Forecast(), _weather(seed, kelvin=kelvin), F.mse_loss, rate=3e-3)


cured("temperatures-in-kelvin", why="Mean 0, deviation about 1.")(partial(kelvin_target, kelvin=False))


def _prices(seed: int, *, scaled: bool) -> Batches:
    draw = samples.generator(83)
    x = torch.randn(960, 8, generator=draw)
    price = x[:, :1] + 0.5 * x[:, 1:2] * x[:, 2:3] + 0.2 * torch.randn(960, 1, generator=draw)
    return samples.stream(x, price if scaled else 250_000 + 90_000 * price, seed, size=32)


@case(
    "prices-in-dollars", label="unscaled-target", root="", steps=300, fixes=("standardise the target", "logarithm of the price"),
    source="Stack Overflow, house prices and a loss of 1e10",
    why="House prices in dollars: Adam moves an output by a few units per step, and they lie at a quarter of a million.",
)  # fmt: skip
def prices(seed: int, *, scaled: bool = False) -> Setup:
    return adam(stack([8, 64, 64, 1], nn.ReLU, he), _prices(seed, scaled=scaled), F.mse_loss, rate=1e-3)


cured("prices-in-dollars", why="The price standardised.")(partial(prices, scaled=True))


def _fraud(seed: int, share: float) -> Batches:
    draw = samples.generator(89)
    y = (torch.rand(1920, generator=draw) < share).long()
    x = torch.randn(1920, 8, generator=draw)
    x[:, 0] += 1.6 * y
    return samples.stream(x, y, seed)


@case(
    "two-in-a-hundred", label="class-prior-only", root="", steps=300, fixes=("balance the classes", "class weights"),
    source="Stack Overflow, network predicts only the majority class; he2009imbalanced",
    why="Two in a hundred are of the second class, and classes overlap: to say the first of all is best; the loss falls, nothing is found.",
)  # fmt: skip
def imbalanced(seed: int, share: float = 0.02) -> Setup:
    return adam(stack([8, 16, 2]), _fraud(seed, share), rate=3e-3)


cured("two-in-a-hundred", why="As many of each.")(partial(imbalanced, share=0.5))


@case(
    "shuffled-without-labels", label="class-prior-only", root="", steps=300, fixes=("shuffle inputs and labels together",),
    source="Stack Overflow, np.random.shuffle of the inputs alone",
    why="The inputs were shuffled and the labels were not: nothing ties them, but how often each class comes.",
)  # fmt: skip
def apart(seed: int, *, together: bool = False) -> Setup:
    x, y = samples.digit_table()
    drawn = torch.randperm(len(x), generator=samples.generator(97))
    batches = samples.stream(x if together else x[drawn], y, seed)
    return adam(stack([64, 32, 10], nn.ReLU, he), batches, rate=3e-3)


cured("shuffled-without-labels", why="Together.")(partial(apart, together=True))
