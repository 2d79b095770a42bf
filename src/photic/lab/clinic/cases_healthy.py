"""Healthy networks of the usual kinds: nothing odd about them, and nothing to report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.cases_recurrent import LastState
from photic.lab.clinic.cases_structure import Stream
from photic.lab.clinic.cases_transformer import language_model
from photic.lab.clinic.networks import adam, begin, he, normal, sgd, stack, token_loss, xavier


@case("linear-model", steps=300, source="generated", why="One layer. MEASURED")
def linear(seed: int) -> Setup:
    return sgd(nn.Linear(64, 10), samples.digits(seed))


@case("relu-default-3", steps=300, source="paszke2017", why="Three ReLU layers with torch's first weights. MEASURED")
def relu_three(seed: int) -> Setup:
    return sgd(stack([64, 128, 128, 128, 10]), samples.digits(seed))


@case("relu-he-12", steps=300, source="he2015, equation 10", why="Twelve ReLU layers with He's start. MEASURED")
def relu_twelve(seed: int) -> Setup:
    return sgd(stack([64, *[128] * 12, 10], nn.ReLU, he), samples.digits(seed), rate=0.03)


@case(
    "tanh-xavier-16",
    steps=300,
    source="glorot2010, equation 16",
    why="Sixteen tanh layers with Xavier's start. MEASURED",
)
def tanh_sixteen(seed: int) -> Setup:
    return sgd(stack([64, *[64] * 16, 10], nn.Tanh, xavier), samples.digits(seed), rate=0.1)


@case("selu-lecun-20", steps=300, source="klambauer2017", why="Twenty self-normalising layers. MEASURED")
def selu_twenty(seed: int) -> Setup:
    return sgd(stack([64, *[64] * 20, 10], nn.SELU, normal(1.0)), samples.digits(seed), rate=0.03)


@case("sigmoid-1", steps=300, source="lecun1998", why="One hidden layer of sigmoids is no disease. MEASURED")
def sigmoid_one(seed: int) -> Setup:
    return adam(stack([64, 64, 10], nn.Sigmoid), samples.digits(seed), rate=1e-2)


@case(
    "swish-batch-norm-10",
    steps=300,
    source="ramachandran2017; ioffe2015",
    why="Ten layers of BatchNorm and Swish. MEASURED",
)
def swish(seed: int) -> Setup:
    blocks = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.SiLU())]
    return sgd(nn.Sequential(*blocks, nn.Linear(64, 10)), samples.digits(seed), rate=0.1)


@case("regression-diabetes", steps=300, source="generated", why="A small regression on standardised data. MEASURED")
def regression(seed: int) -> Setup:
    return adam(stack([10, 32, 32, 1], nn.ReLU, he), samples.diabetes(seed), F.mse_loss, rate=3e-3)


@case(
    "two-relu-units",
    steps=300,
    source="Stack Overflow 41372874, counted as faulty in two benchmarks",
    why="Two layers of two ReLU units, a sigmoid and the binary cross entropy: small, and sound. MEASURED",
)
def two_units(seed: int) -> Setup:
    model = nn.Sequential(*stack([30, 4, 4, 1], nn.ReLU, he), nn.Sigmoid())
    return adam(model, samples.cancer(seed, column=True), F.binary_cross_entropy, rate=1e-2)


def _convolutions(norm: Callable[[int], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), norm(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10))


@case("convolutions-batch-norm", steps=200, source="ioffe2015", why="Three convolutions with BatchNorm. MEASURED")
def convolutions_normed(seed: int) -> Setup:
    return adam(_convolutions(nn.BatchNorm2d), samples.digit_images(seed), rate=3e-3)


@case("convolutions-he", steps=200, source="he2015, equation 10", why="Three convolutions without norms. MEASURED")
def convolutions_plain(seed: int) -> Setup:
    model = begin(_convolutions(lambda _: nn.Identity()), he)
    return adam(model, samples.digit_images(seed), rate=3e-3)


@case("residual-pre-norm-12", steps=200, source="zhang2019", why="Twelve residual blocks with LayerNorm. MEASURED")
def residual(seed: int) -> Setup:
    return adam(Stream(64, 10, 12, norm=True), samples.digits(seed), rate=1e-3)


@case("transformer-pre-norm-4", steps=200, source="huang2020", why="Four pre-norm layers of a language model. MEASURED")
def transformer_pre(seed: int) -> Setup:
    model, batches, loss = language_model(seed, pre=True, depth=4)
    return adam(model, batches, loss, rate=3e-3)


@case("transformer-post-norm-2", steps=200, source="huang2020", why="Two post-norm layers need no warm-up. MEASURED")
def transformer_post(seed: int) -> Setup:
    model, batches, loss = language_model(seed, pre=False, depth=2)
    return adam(model, batches, loss, rate=1e-3)


class Words(nn.Module):
    """Embedding, a recurrent layer of torch, a head at every step."""

    def __init__(self, layer: Callable[..., nn.RNNBase]) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 32)
        self.layer, self.head = layer(32, 64, batch_first=True), nn.Linear(64, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        return self.head(self.layer(self.tokens(tokens))[0])


@case(
    "lstm-language-model",
    steps=200,
    source="gers2000",
    why="A language model where each word follows from the last. MEASURED",
)
def lstm_words(seed: int) -> Setup:
    return adam(Words(nn.LSTM), samples.language(seed), token_loss, rate=1e-2)


@case("gru-two-layers", steps=200, source="jozefowicz2015", why="The same with a GRU of two layers. MEASURED")
def gru_words(seed: int) -> Setup:
    return adam(Words(partial(nn.GRU, num_layers=2)), samples.language(seed), token_loss, rate=1e-2)


@case(
    "short-memory",
    steps=300,
    source="hochreiter1998",
    why="torch's own RNN, and a class shown six steps before the end: within its reach. MEASURED",
)
def short_memory(seed: int) -> Setup:
    layer = nn.RNN(samples.KINDS + 1, 32, batch_first=True)
    return adam(LastState(layer), samples.recall(seed, length=6), rate=3e-3)


@case("autoencoder", steps=300, source="generated", why="Digits through eight numbers and back. MEASURED")
def autoencoder(seed: int) -> Setup:
    x, _ = samples.digit_table()
    model = nn.Sequential(*stack([64, 32, 8], nn.Tanh), *stack([8, 32, 64], nn.Tanh))
    return adam(model, samples.stream(x, x, seed), F.mse_loss, rate=1e-2)
