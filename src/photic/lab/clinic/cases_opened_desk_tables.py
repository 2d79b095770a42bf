"""From the desk: tables, graphs, rewards and experts. Mistakes of everyday code around small networks."""

from __future__ import annotations

import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd, stack


def _demand(seed: int, rows: int = 1280) -> Batches:
    """Six standardised columns, and units sold in a day, 0 to about 20."""
    draw = samples.generator(seed + 330)
    x = torch.randn(rows, 6, generator=draw)
    level = x[:, :1] + 0.5 * x[:, 1:2] * x[:, 2:3] - 0.5 * x[:, 3:4]
    return samples.stream(x, torch.exp(1.0 + 0.6 * level).round(), seed)


def _percentage(output: Tensor, target: Tensor, least: float) -> Tensor:
    return ((output - target).abs() / target.abs().clamp(min=least)).mean()


@case(
    "demand-by-percentage", label="non-finite", root="", steps=300, fixes=("clamp(min=1)", "another error"),
    source="common mistake: the mean absolute percentage error, and targets of 0",
    why="On some days nothing is sold: the error is divided by 0, the loss infinite, the weights NaN a step later.",
)  # fmt: skip
def demand(seed: int, least: float = 0.0) -> Setup:
    return adam(stack([6, 64, 64, 1]), _demand(seed), partial(_percentage, least=least), rate=5e-3)


cured("demand-by-percentage", why="Divided by at least 1.")(partial(demand, least=1.0))


def _reward_loss(output: Tensor, target: Tensor, *, column: bool) -> Tensor:
    """REINFORCE for one choice: the sampled action earns 1 if it is right; the mean reward is the baseline."""
    policy = torch.distributions.Categorical(logits=output)
    action = policy.sample()
    reward = (action == target).float()
    advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
    log_prob = policy.log_prob(action)
    return -(log_prob * (advantage[:, None] if column else advantage)).mean()


@case(
    "digits-for-a-reward", label="broadcast-target", root="", steps=300, fixes=("advantage of the shape of log_prob",),
    source="williams1992; common mistake: rewards kept as [batch, 1], as a replay buffer gives them",
    why="[batch] times [batch, 1] is [batch, batch]: each advantage weighs all actions, and as their mean is 0, none.",
)  # fmt: skip
def reward(seed: int, *, column: bool = True) -> Setup:
    model = stack([64, 64, 10], nn.Tanh)
    return adam(model, samples.digits(seed), partial(_reward_loss, column=column), rate=5e-3)


cured("digits-for-a-reward", why="Both are [batch].")(partial(reward, column=False))


class Convolved(nn.Module):
    """A graph convolutional network: H = relu(A H W), layer upon layer."""

    def __init__(self, adjacency: Tensor, depth: int, *, skip: bool, width: int = 32) -> None:
        super().__init__()
        self.adjacency, self.skip = nn.Buffer(adjacency), skip
        self.enter, self.leave = nn.Linear(8, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, nodes, 3]."""
        h = F.relu(self.enter(x))
        for layer in self.layers:
            out = F.relu(layer(torch.einsum("mn,bnf->bmf", self.adjacency, h)))
            h = h + out if self.skip else out
        return self.leave(h)


def _graph(nodes: int = 30) -> Tensor:
    """Return the adjacency of a random graph with loops, each row divided by its sum."""
    draw = samples.generator(33)
    edge = (torch.rand(nodes, nodes, generator=draw) < 0.15).float().triu(1)
    full = edge + edge.t() + torch.eye(nodes)
    return full / full.sum(dim=1, keepdim=True)


def _node_loss(output: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), labels.flatten())


@case(
    "nodes-by-twelve-convolutions", label="rank-collapse", root="", steps=300, fixes=("skip connections", "two layers"),
    source="li2018 (oversmoothing); pyg-team/pytorch_geometric, questions on deep GCNs",
    why="Twelve means over neighbours in a row make all nodes of a graph alike; the loss ends at 1.03, log 3 is 1.10.",
)  # fmt: skip
def nodes(seed: int, *, skip: bool = False) -> Setup:
    draw = samples.generator(seed + 331)
    x = torch.randn(640, 30, 8, generator=draw)
    labels = x[..., :3].argmax(dim=-1)
    return adam(Convolved(_graph(), 12, skip=skip), samples.stream(x, labels, seed, size=32), _node_loss, rate=3e-3)


cured("nodes-by-twelve-convolutions", why="Skip connections.")(partial(nodes, skip=True))


class TwoViews(nn.Module):
    """SimSiam with a probe: an encoder that makes two noisy views alike, and a classifier on its detached features."""

    def __init__(self, *, stopped: bool) -> None:
        super().__init__()
        self.encoder = stack([64, 128, 32])
        self.predictor = stack([32, 32, 32]) if stopped else nn.Identity()
        self.probe, self.stopped = nn.Linear(32, 10), stopped

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits [batch, 10], and, in training, how unlike the views are."""
        if not self.training:
            return self.probe(8.0 * F.normalize(self.encoder(x), dim=1))
        views = [self.encoder(x + 0.5 * torch.randn_like(x)) for _ in range(2)]
        unlike = x.new_zeros(())
        for one, other in (views, views[::-1]):
            goal = other.detach() if self.stopped else other
            unlike = unlike - F.cosine_similarity(self.predictor(one), goal, dim=1).mean()
        return self.probe(8.0 * F.normalize(views[0].detach(), dim=1)), unlike


def _both(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    logits, unlike = output
    return F.cross_entropy(logits, target) + unlike


@case(
    "digits-in-two-views", label="rank-collapse", root="encoder", steps=300,
    fixes=("stop the gradient, and a predictor",),
    source="chen2021 (SimSiam), section 4.1",
    why="Two views are made alike and nothing is held against it: any two digits end with a cosine of 0.9999.",
)  # fmt: skip
def two_views(seed: int, *, stopped: bool = False) -> Setup:
    return adam(TwoViews(stopped=stopped), samples.digits(seed), _both, rate=5e-3)


cured("digits-in-two-views", why="Stopped gradients and a predictor.")(partial(two_views, stopped=True))


def _by_label(seed: int, *, shuffled: bool) -> Batches:
    """Digits in batches of 64, in the order of a folder for each class, or shuffled."""
    x, y = samples.digit_table()
    if shuffled:
        return samples.stream(x, y, seed)
    order = y.argsort(stable=True)
    kept = [(x[rows], y[rows]) for rows in order.split(64) if len(rows) == 64]
    return lambda: iter(kept)


@case(
    "folder-after-folder", label="sorted-batches", root="", steps=300, fixes=("shuffle=True",),
    source="common mistake: ImageFolder and a DataLoader without shuffle",
    why="Batches hold one class each, for three batches on end: the network names the class it saw last.",
)  # fmt: skip
def folders(seed: int, *, shuffled: bool = False) -> Setup:
    return sgd(stack([64, 64, 10]), _by_label(seed, shuffled=shuffled), rate=0.1, momentum=0.9)


cured("folder-after-folder", why="Shuffled.")(partial(folders, shuffled=True))


class Experts(nn.Module):
    """Eight linear experts; a router sends each row to the best `top` of them."""

    def __init__(self, top: int, *, renormalised: bool) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(12, 8), nn.Parameter(0.3 * torch.randn(8, 12, 1))
        self.top, self.renormalised = top, renormalised

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, 1]."""
        share, chosen = self.router(x).softmax(dim=-1).topk(self.top, dim=-1)
        if self.renormalised:
            share = share / share.sum(dim=-1, keepdim=True)
        answers = torch.einsum("bi,eio->beo", x, self.experts)
        picked = answers.gather(1, chosen[:, :, None])
        return (share[:, :, None] * picked).sum(dim=1)


def _regimes(seed: int, rows: int = 1920) -> Batches:
    """Four regimes, told by the first four columns, with a linear law for each over the other eight."""
    draw = samples.generator(seed + 332)
    regime = torch.randint(4, (rows,), generator=draw)
    x = torch.randn(rows, 8, generator=draw)
    law = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]) * torch.randn(1, 8, generator=samples.generator(34))
    law = law + 0.5 * torch.randn(4, 8, generator=samples.generator(35))
    y = (x * law[regime]).sum(dim=1, keepdim=True) / 3.0
    return samples.stream(torch.cat([2.0 * F.one_hot(regime, 4).float(), x], dim=1), y, seed)


@case(
    "regimes-by-one-expert-each", label="severed-gradient", root="router", steps=300,
    fixes=("do not divide by the sum", "two experts for each row"),
    source="jiang2024 (Mixtral) divides for the best two; fedus2022 (Switch) does not, for the best one",
    why="The one share that is kept is divided by itself: it is 1 for all, and the router's gradient is 0.",
)  # fmt: skip
def experts(seed: int, *, top: int = 1, renormalised: bool = True) -> Setup:
    return adam(Experts(top, renormalised=renormalised), _regimes(seed), F.mse_loss, rate=2e-2)


cured("regimes-by-one-expert-each", why="Two experts for each row.")(partial(experts, top=2))


class RawLayer(nn.Module):
    """A layer with parameters of its own."""

    def __init__(self, before: int, after: int, *, centred: bool) -> None:
        super().__init__()
        start = torch.rand(before, after)
        self.weight = nn.Parameter((2.0 * start - 1.0) * (3.0 / before) ** 0.5 if centred else start)
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""
        return x @ self.weight + self.bias


@case(
    "pixels-by-raw-layers", label="saturated-activation", root="1", steps=300, fixes=("(2 * rand - 1) * sqrt(3 / n)",),
    source="common mistake: torch.rand for torch.randn in a layer by hand",
    why="Weights are drawn from 0 to 1, all positive, and pixels are, too: sums of 10 and more, sigmoids of 1.",
)  # fmt: skip
def raw_layers(seed: int, *, centred: bool = False) -> Setup:
    layer = partial(RawLayer, centred=centred)
    model = nn.Sequential(layer(64, 48), nn.Sigmoid(), layer(48, 48), nn.Sigmoid(), layer(48, 10))
    return adam(model, samples.digit_pixels(seed, top=1.0), rate=5e-3)


cured("pixels-by-raw-layers", why="Weights around 0.")(partial(raw_layers, centred=True))


def _capped(output: Tensor, target: Tensor, most: float) -> Tensor:
    return F.mse_loss(output, target, reduction="none").clamp(max=most).mean()


@case(
    "rent-with-capped-errors", label="loss-saturation", root="", steps=300, fixes=("a higher cap", "Huber's loss"),
    source="common mistake: clamp against outliers; huber1964 keeps a gradient",
    why="Rents lie around 8 and errors are capped at 4: all of them are above at first, and clamp has no gradient there.",
)  # fmt: skip
def capped(seed: int, most: float = 4.0) -> Setup:
    batches = samples.diabetes(seed, target_scale=1.0, target_shift=8.0)
    return adam(stack([10, 64, 1]), batches, partial(_capped, most=most), rate=5e-3)


cured("rent-with-capped-errors", why="A cap of 200.")(partial(capped, most=200.0))


@case(
    "digits-after-a-copy", label="foreign-parameters", root="", steps=300, fixes=("make the optimizer after the copy",),
    source="pytorch documentation of torch.optim: move or copy the model first",
    why="The optimizer was made for the model before it was copied: it moves weights that nothing uses any more.",
)  # fmt: skip
def copied(seed: int, *, first: bool = True) -> Setup:
    original = stack([64, 64, 10])
    model = copy.deepcopy(original)
    optimizer = torch.optim.AdamW((original if first else model).parameters(), lr=5e-3)
    return Setup(model, samples.digits(seed), F.cross_entropy, optimizer)


cured("digits-after-a-copy", why="The optimizer holds the copy.")(partial(copied, first=False))


@case(
    "tumours-with-a-start-of-bert", label="weights-too-small", root="", steps=300, fixes=("the start of torch",),
    source="devlin2019 (0.02, for a width of 768), copied to a narrow network",
    why="Weights of 0.02 for a width of 32: each of eight layers divides by twelve, and the loss stays where it began.",
)  # fmt: skip
def narrow(seed: int, spread: float = 0.02) -> Setup:
    def start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=spread)
            nn.init.zeros_(module.bias)

    model = stack([30, *[32] * 7, 1]).apply(start)
    return sgd(model, samples.cancer(seed, column=True), F.binary_cross_entropy_with_logits, rate=0.05, momentum=0.9)


cured("tumours-with-a-start-of-bert", why="0.25 = sqrt(2 / 32).")(partial(narrow, spread=0.25))
