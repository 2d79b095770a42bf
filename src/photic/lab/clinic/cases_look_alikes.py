"""Healthy networks that look sick at first sight: zeros, frozen parts and cuts that are meant."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.cases_structure import Gated, LowRank, Stream
from photic.lab.clinic.networks import adam, sgd, stack, token_loss


class Backbone(nn.Module):
    """A frozen backbone under no_grad and a head; the backbone was trained beforehand on the same digits."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone.requires_grad_(False), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


@case(
    "frozen-backbone",
    steps=200,
    source="generated",
    why="Frozen on purpose: requires_grad is False, and no gradient is asked for. MEASURED",
)
def frozen_backbone(seed: int) -> Setup:
    backbone = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return adam(Backbone(backbone), samples.digits(seed), rate=1e-2)


@case(
    "low-rank-at-step-0",
    steps=300,
    source="hu2022lora, section 4.1",
    why="The second factor starts at 0, so the first has no gradient at step 0; it has from step 1 on. MEASURED",
)
def low_rank(seed: int) -> Setup:
    return adam(LowRank(0.125, 0.0), samples.digits(seed), rate=1e-2)


@case(
    "rezero",
    steps=300,
    source="bachlechner2021, section 3",
    why="The gate starts at 0: the branch has no gradient at step 0, the gate has. MEASURED",
)
def rezero(seed: int) -> Setup:
    return adam(Gated(zero_branch=False), samples.circles(seed), rate=1e-2)


@case(
    "fixup",
    steps=200,
    source="zhang2019, section 3",
    why="The last layer of every branch starts at 0: the layers before it rest for one step. MEASURED",
)
def fixup(seed: int) -> Setup:
    model = Stream(64, 10, 12, norm=False)
    for branch in model.branches:
        assert isinstance(branch, nn.Sequential)
        last = branch[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
    return adam(model, samples.digits(seed), rate=1e-3)


class ZeroGamma(nn.Module):
    """Residual convolutions whose last BatchNorm scales by 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.branches = nn.ModuleList(self._branch() for _ in range(3))
        self.head = nn.Linear(16 * 4, 10)

    def _branch(self) -> nn.Module:
        last = nn.BatchNorm2d(16)
        nn.init.zeros_(last.weight)
        first = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        return nn.Sequential(first, nn.Conv2d(16, 16, 3, padding=1, bias=False), last)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images [batch, 1, 8, 8]."""
        x = self.stem(x)
        for branch in self.branches:
            x = torch.relu(x + branch(x))
        return self.head(F.adaptive_avg_pool2d(x, 2).flatten(1))


@case(
    "zero-gamma",
    steps=200,
    source="generated, after goyal2017, section 5.1",
    why="BatchNorm's scale starts at 0 at the end of each branch, so that blocks begin as the identity. MEASURED",
)
def zero_gamma(seed: int) -> Setup:
    return adam(ZeroGamma(), samples.digit_images(seed), rate=3e-3)


@case(
    "bias-before-batch-norm",
    steps=200,
    source="ioffe2015, section 3.2",
    why="The mean is subtracted behind them, so the biases' gradient is 0 but for rounding. MEASURED",
)
def bias_before_norm(seed: int) -> Setup:
    blocks = [layer for _ in range(3) for layer in (nn.Linear(64, 64, bias=True), nn.BatchNorm1d(64), nn.ReLU())]
    return sgd(nn.Sequential(*blocks, nn.Linear(64, 10)), samples.digits(seed))


class Experts(nn.Module):
    """A router that sends each example to the best of 16 experts, and weighs its answer with the probability."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(64, 16)
        self.experts = nn.ModuleList(stack([64, 32, 10]) for _ in range(16))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        probability, chosen = self.router(x).softmax(-1).max(-1)
        output = torch.zeros(len(x), 10)
        for index, expert in enumerate(self.experts):
            rows = (chosen == index).nonzero().flatten()
            if len(rows):
                output = output.index_add(0, rows, expert(x[rows]))
        return output * probability[:, None] * 4


@case(
    "unrouted-experts",
    steps=300,
    source="generated, after fedus2022, section 2.1",
    why="Experts that got no example of a batch have no gradient in it. MEASURED",
)
def unrouted(seed: int) -> Setup:
    return adam(Experts(), samples.digits(seed, size=32), rate=3e-3)


@case(
    "sparse-embedding",
    steps=300,
    source="paszke2017",
    why="A table of 5000 words of which a batch shows a few hundred: other rows have no gradient, and the optimizer skips them. MEASURED",
)
def sparse_embedding(seed: int) -> Setup:
    draw = samples.generator(3)
    topics = torch.randint(4, (1024,), generator=draw)
    words = torch.randint(4900, (1024, 12), generator=draw)
    words[:, :4] = 4900 + topics[:, None] * 10 + torch.randint(10, (1024, 4), generator=draw)
    model = nn.Sequential(nn.EmbeddingBag(5000, 16, mode="mean", sparse=True), nn.Linear(16, 4))
    return Setup(
        model, samples.stream(words, topics, seed), F.cross_entropy, SparseAndDense(model.parameters(), lr=0.03)
    )


class SparseAndDense(torch.optim.SGD):
    """Gradient descent that takes sparse gradients as they are, and steps a hundred times as far on them."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Descend."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                sparse = parameter.grad.is_sparse
                parameter.add_(parameter.grad, alpha=-group["lr"] * (100 if sparse else 10))


@case(
    "padding-row",
    steps=200,
    source="generated",
    why="The row of the padding token is 0 and has no gradient, by padding_idx. MEASURED",
)
def padding(seed: int) -> Setup:
    text, labels = padded_sets()
    model = nn.Sequential(
        nn.Embedding(20, 16, padding_idx=0), nn.Flatten(), nn.Linear(16 * 10, 32), nn.ReLU(), nn.Linear(32, 4)
    )
    return adam(model, samples.stream(text, labels, seed), rate=1e-2)


def padded_sets() -> tuple[Tensor, Tensor]:
    """Return tokens [n, 10], 0 behind the end, and labels: which of the tokens 1 to 4 comes first."""
    draw = samples.generator(13)
    labels = torch.randint(4, (1024,), generator=draw)
    text = torch.randint(5, 20, (1024, 10), generator=draw)
    text[:, 0] = labels + 1
    ends = torch.randint(3, 10, (1024, 1), generator=draw)
    return text.masked_fill(torch.arange(10) >= ends, 0), labels


class Tied(nn.Module):
    """A language model whose output weights are its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.middle = nn.Embedding(20, 32), nn.Linear(32, 32)
        self.head = nn.Linear(32, 20, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [batch, time, 20]."""
        return self.head(torch.tanh(self.middle(self.tokens(tokens))))


@case(
    "tied-weights",
    steps=200,
    source="generated, after press2017",
    why="One tensor gets two gradients, and a larger one than all others. MEASURED",
)
def tied(seed: int) -> Setup:
    return adam(Tied(), samples.language(seed), token_loss, rate=1e-2)


@case(
    "loss-in-tiny-units",
    steps=300,
    source="kingma2015, section 2.1",
    why="A loss times 1e-5: all gradients are small, and Adam does not mind while they exceed its epsilon. MEASURED",
)
def tiny_units(seed: int) -> Setup:
    return adam(stack([64, 64, 64, 10]), samples.digits(seed), lambda o, y: 1e-5 * F.cross_entropy(o, y), rate=3e-3)


@case(
    "summed-loss",
    steps=300,
    source="generated",
    why="A loss summed over the batch has gradients 64 times as large; the rate is as much smaller. MEASURED",
)
def summed(seed: int) -> Setup:
    return sgd(
        stack([64, 64, 64, 10]), samples.digits(seed), lambda o, y: F.cross_entropy(o, y, reduction="sum"), rate=0.002
    )


class WarmUp(torch.optim.Adam):
    """Adam whose rate rises from 0 to its full value in 60 steps; the first step moves nothing."""

    def step(self, closure: Any = None) -> Any:
        """Set the rate, then step."""
        for group in self.param_groups:
            done = group.get("done", 0)
            group["peak"] = group.get("peak", group["lr"])
            group["lr"], group["done"] = group["peak"] * min(1.0, done / 60), done + 1
        return super().step(closure)


@case(
    "warm-up-from-zero",
    steps=300,
    source="huang2020, section 3",
    why="The rate is 0 at the first step, so nothing moves in it. MEASURED",
)
def warm_up(seed: int) -> Setup:
    model = stack([64, 64, 64, 10])
    return Setup(model, samples.digits(seed), F.cross_entropy, WarmUp(model.parameters(), lr=3e-3))


def trained(setup: Setup, steps: int) -> Setup:
    """Train a set-up for a while and return it, its optimizer with its state."""
    done = 0
    while done < steps:
        for x, y in setup.batches():
            setup.optimizer.zero_grad()
            assert setup.loss is not None
            setup.loss(setup.model(x), y).backward()
            setup.optimizer.step()
            done += 1
    return setup


@case(
    "resumed-when-converged",
    steps=100,
    source="generated",
    why="Trained for 600 steps before: small gradients, sure outputs, a loss that hardly falls any more. MEASURED",
)
def resumed(seed: int) -> Setup:
    return trained(adam(stack([64, 64, 64, 10]), samples.digits(seed), rate=3e-3), 600)


@case(
    "sure-because-right",
    steps=100,
    source="generated",
    why="Separable data, trained before: the last sigmoid is saturated because it is right. MEASURED",
)
def sure(seed: int) -> Setup:
    model = nn.Sequential(*stack([30, 16, 1], nn.Tanh), nn.Sigmoid())
    return trained(adam(model, samples.cancer(seed, column=True), F.binary_cross_entropy, rate=1e-2), 300)


class Through(nn.Module):
    """A code of signs with a straight-through estimator, and a classifier of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.classifier = stack([64, 64, 16]), stack([16, 64, 10])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        code = torch.tanh(self.encoder(x))
        return self.classifier(code + (code.sign() - code).detach())


@case(
    "straight-through",
    steps=300,
    source="generated, after bengio2013",
    why="sign() has no gradient, and detach() cuts, but the tanh beside them carries it on. MEASURED",
)
def straight_through(seed: int) -> Setup:
    return adam(Through(), samples.digits(seed), rate=3e-3)


class Quantised(nn.Module):
    """Weights rounded to 4 bits on the way, gradients straight through, none beyond the range."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for layer in (self.first, self.second):
            weight = layer.weight.clamp(-0.3, 0.3)
            rounded = (weight / 0.04).round() * 0.04
            x = F.linear(x, weight + (rounded - weight).detach(), layer.bias)
            x = torch.relu(x) if layer is self.first else x
        return x


@case(
    "quantised-weights",
    steps=300,
    source="generated, after bengio2013",
    why="round() inside a straight-through estimator; weights beyond the range get a gradient of 0. MEASURED",
)
def quantised(seed: int) -> Setup:
    return adam(Quantised(), samples.digits(seed), rate=3e-3)


class Unused(nn.Module):
    """Two heads, one of which no loss uses yet."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.later, self.now = stack([64, 64, 64]), nn.Linear(64, 5), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is not used [batch, 5] and logits [batch, 10]."""
        x = torch.relu(self.trunk(x))
        return self.later(x), self.now(x)


@case(
    "unused-head",
    steps=200,
    source="generated",
    why="The second head belongs to a later phase of training; it has no gradient. MEASURED",
)
def unused_head(seed: int) -> Setup:
    return adam(Unused(), samples.digits(seed), lambda o, y: F.cross_entropy(o[1], y), rate=3e-3)


@case(
    "dropout-nine-tenths",
    steps=300,
    source="generated",
    why="Nine units in ten are 0, but others at each step. MEASURED",
)
def dropout(seed: int) -> Setup:
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.9), nn.Linear(256, 10))
    return adam(model, samples.digits(seed), rate=3e-3)


class TopK(nn.Module):
    """Only the 16 largest of 256 units of an example are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.Linear(64, 256), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        x = torch.relu(self.lower(x))
        kept = x.topk(16, dim=-1)
        return self.upper(torch.zeros_like(x).scatter(-1, kept.indices, kept.values))


@case(
    "top-k-sparsity",
    steps=300,
    source="generated, after makhzani2014",
    why="15 units in 16 are 0 by design, others for each example. MEASURED",
)
def top_k(seed: int) -> Setup:
    return adam(TopK(), samples.digits(seed), rate=3e-3)


@case(
    "layerwise-rates",
    steps=300,
    source="generated, after howard2018, section 3.2",
    why="The rate falls 2.6-fold from layer to layer on the way down, on purpose. MEASURED",
)
def layerwise(seed: int) -> Setup:
    model = stack([64, *[64] * 4, 10])
    layers = [module for module in model if isinstance(module, nn.Linear)]
    groups = [
        {"params": list(layer.parameters()), "lr": 3e-3 / 2.6 ** (4 - index)} for index, layer in enumerate(layers)
    ]
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.Adam(groups))


@case(
    "frozen-teacher",
    steps=200,
    source="generated",
    why="A copy that is frozen gives a target; it is in the model and is not trained. MEASURED",
)
def teacher(seed: int) -> Setup:
    first = trained(adam(stack([64, 64, 10]), samples.digits(seed), rate=3e-3), 200).model
    model = Student(first)
    return adam(model, samples.digits(seed), distilled, rate=3e-3)


class Student(nn.Module):
    """A narrow student with its frozen teacher."""

    def __init__(self, taught: nn.Module) -> None:
        super().__init__()
        self.teacher, self.student = copy.deepcopy(taught).requires_grad_(False), stack([64, 24, 10])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's and the student's logits [batch, 10]."""
        return self.teacher(x), self.student(x)


def distilled(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
    """Return the divergence of the student's from the teacher's probabilities; labels are not used."""
    return F.kl_div(output[1].log_softmax(-1), output[0].detach().softmax(-1), reduction="batchmean")
