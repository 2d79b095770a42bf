"""Sick networks in which inputs, tokens, nodes or points become alike, one mechanism each, with their cured twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, sgd, stack


def _grid_laplacian(side: int) -> Tensor:
    place = torch.arange(side * side).view(side, side)
    across, along = torch.stack([place[:, :-1], place[:, 1:]], -1), torch.stack([place[:-1], place[1:]], -1)
    pairs = torch.cat([across.view(-1, 2), along.view(-1, 2)])
    near = torch.zeros(side * side, side * side)
    near[pairs[:, 0], pairs[:, 1]] = 1.0
    near = near + near.T
    return torch.diag(near.sum(1)) - near


class Diffusion(nn.Module):
    """Lets every channel spread over the mesh for a time of its own, by one implicit step, and mixes the channels."""

    def __init__(self, width: int, time: float) -> None:
        super().__init__()
        self.log_time = nn.Parameter(torch.full((width,), math.log(time)))
        self.mix = nn.Linear(width, width)
        self.register_buffer("laplacian", _grid_laplacian(8))
        self.laplacian: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return features [batch, vertices, width]."""
        system = torch.eye(64) + self.log_time.exp()[:, None, None] * self.laplacian
        spread = torch.linalg.solve(system, x.permute(2, 1, 0)).permute(2, 1, 0)
        return F.relu(self.mix(spread))


@case(
    "heat-on-a-mesh", label="rank-collapse", root="", steps=200, fixes=("start the times at the size of an edge",),
    source="sharp2022, DiffusionNet, on learned times; common mistake: a mesh in other units",
    why="Times start at 1e4, for a mesh in millimetres, where an edge is 1 long: vertices differ by 4e-7 of what "
    "they are, not by 0.4.",
)  # fmt: skip
def mesh(seed: int, time: float = 1e4) -> Setup:
    x = samples.digit_table()[0].view(-1, 64, 1)
    wanted = torch.tanh(2.0 * x) + 0.3 * torch.roll(x, 1, 1)
    model = nn.Sequential(nn.Linear(1, 16), Diffusion(16, time), Diffusion(16, time), nn.Linear(16, 1))
    return adam(model, samples.stream(x, wanted, seed, size=32), F.mse_loss, rate=5e-3)


cured("heat-on-a-mesh", why="Times of 0.05.")(partial(mesh, time=0.05))


class Hops(nn.Module):
    """Factors of people and films, carried over the graph of what was seen; scores of one film against another."""

    def __init__(self, seen: Tensor, hops: int, *, every: bool) -> None:
        super().__init__()
        people, films = seen.shape
        self.factors = nn.Embedding(people + films, 16)
        who, what = seen.nonzero(as_tuple=True)
        source, sink = torch.cat([who, what + people]), torch.cat([what + people, who])
        degree = torch.bincount(source, minlength=people + films).clamp_min(1).float()
        self.register_buffer("source", source)
        self.register_buffer("sink", sink)
        self.register_buffer("share", (degree[source] * degree[sink]).rsqrt()[:, None])
        self.source: Tensor
        self.sink: Tensor
        self.share: Tensor
        self.people, self.hops, self.every = people, hops, every

    def forward(self, asked: Tensor) -> Tensor:
        """Return by how much [batch] person asked[:, 0] prefers film asked[:, 1] to film asked[:, 2]."""
        x = self.factors.weight
        kept = [x]
        for _ in range(self.hops):
            x = torch.zeros_like(x).index_add(0, self.sink, self.share * x[self.source])
            kept.append(x)
        x = torch.stack(kept).mean(0) if self.every else kept[-1]
        person, liked, other = x[asked[:, 0]], x[self.people + asked[:, 1]], x[self.people + asked[:, 2]]
        return (person * (liked - other)).sum(1)


def _preferred(output: Tensor, target: Tensor) -> Tensor:
    return F.softplus(-output * target).mean()


@case(
    "films-by-who-saw-them", label="rank-collapse", root="", steps=300,
    fixes=("the mean over all hops", "two or three hops"),
    source="he2020, LightGCN, section 3.1.2; li2018, deeper insights into graph convolutional networks",
    why="Only the last of 24 hops is read: the factors of all films have a cosine of 0.99998 by then.",
)  # fmt: skip
def films(seed: int, *, every: bool = False) -> Setup:
    draw = samples.generator(41)
    people, things = torch.randn(60, 3, generator=draw), torch.randn(80, 3, generator=draw)
    taste = people @ F.normalize(things, dim=1).T
    seen = taste > taste.topk(24, dim=1).values[:, -1:]
    who, liked = seen.nonzero(as_tuple=True)
    rows = torch.randint(len(who), (4096,), generator=draw)
    other = liked[torch.randint(len(who), (4096,), generator=draw)]
    fair = ~seen[who[rows], other]
    asked = torch.stack([who[rows], liked[rows], other], 1)[fair]
    return adam(Hops(seen, 24, every=every), samples.stream(asked, torch.ones(len(asked)), seed), _preferred, rate=1e-2)


cured("films-by-who-saw-them", why="The mean over all hops.")(partial(films, every=True))


class EdgeMax(nn.Module):
    """Each point takes, feature by feature, the largest of what its nearest points say."""

    def __init__(self, before: int, after: int, *, centred: bool) -> None:
        super().__init__()
        self.say, self.centred = nn.Linear(2 * before if centred else before, after), centred

    def forward(self, x: Tensor) -> Tensor:
        """Return features [batch, points, after]."""
        near = torch.cdist(x.detach(), x.detach()).topk(12, largest=False).indices
        other = x[torch.arange(len(x))[:, None, None], near]
        own = x.unsqueeze(2).expand_as(other)
        edge = torch.cat([own, other - own], -1) if self.centred else other
        return F.leaky_relu(self.say(edge), 0.2).amax(2)


@case(
    "points-and-their-neighbours", label="rank-collapse", root="", steps=200, fixes=("the point itself in each edge",),
    source="wang2019, DGCNN, on the choice of edge functions",
    why="Edges show the neighbour alone, not the point: after five maxima over 12 of 24 points differ by 0.04, not "
    "0.14.",
)  # fmt: skip
def points(seed: int, *, centred: bool = False) -> Setup:
    draw = samples.generator(43)
    cloud = torch.randn(512, 24, 3, generator=draw)
    kind = (cloud[..., 0] > 0).long() + 2 * (cloud[..., 1] * cloud[..., 2] > 0).long()
    body = [EdgeMax(3 if index == 0 else 16, 16, centred=centred) for index in range(5)]
    return adam(nn.Sequential(*body, nn.Linear(16, 4)), samples.stream(cloud, kind, seed, size=32), _each, rate=3e-3)


def _each(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, -2), target.flatten())


cured("points-and-their-neighbours", why="The point and the difference.")(partial(points, centred=True))


class Settled(nn.Module):
    """Turns a state forty times through one layer, until it settles, and reads it."""

    def __init__(self, *, fed: bool) -> None:
        super().__init__()
        self.enter, self.turn, self.read = nn.Linear(64, 48), nn.Linear(48, 48), nn.Linear(48, 10)
        nn.init.orthogonal_(self.turn.weight, 0.7)
        self.fed = fed

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        shown = self.enter(x)
        state = torch.tanh(shown)
        for _ in range(40):
            state = torch.tanh(self.turn(state) + shown if self.fed else self.turn(state))
        return self.read(state)


@case(
    "thinks-until-it-settles", label="rank-collapse", root="", steps=300, fixes=("feed the input at every turn",),
    source="bai2019, deep equilibrium models: the input is injected at each iteration",
    why="The input is the first state alone, and the turn is a contraction: all images settle at one point, to 8e-7 "
    "(0.6 when fed).",
)  # fmt: skip
def settled(seed: int, *, fed: bool = False) -> Setup:
    return sgd(Settled(fed=fed), samples.digits(seed), rate=0.1)


cured("thinks-until-it-settles", why="The input at every turn.")(partial(settled, fed=True))


class ByHand(nn.Module):
    """Matrices and biases drawn by hand, used one after the other."""

    def __init__(self, draw: Callable[[int, int], Tensor]) -> None:
        super().__init__()
        sizes = [64] * 9
        self.w = nn.ParameterList([nn.Parameter(draw(a, b)) for a, b in zip(sizes, sizes[1:], strict=False)])
        self.b = nn.ParameterList([nn.Parameter(torch.zeros(b)) for b in sizes[1:]])
        self.head = nn.Parameter(torch.randn(64, 10) / 8.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        for w, b in zip(self.w, self.b, strict=True):
            x = F.elu(x @ w + b)
        return x @ self.head


def _rand(before: int, after: int) -> Tensor:
    return 2.0 * torch.rand(before, after) / before


def _randn(before: int, after: int) -> Tensor:
    return torch.randn(before, after) * math.sqrt(1.5 / before)


@case(
    "matrices-drawn-by-hand", label="rank-collapse", root="", steps=300,
    fixes=("torch.randn, or a start of torch.nn.init",),
    source="common mistake: torch.rand where torch.randn was meant",
    why="torch.rand draws no negative weight: each of eight layers is the mean of the one before in 64 copies, "
    "stable rank 1.000001.",
)  # fmt: skip
def by_hand(seed: int, draw: Callable[[int, int], Tensor] = _rand) -> Setup:
    return sgd(ByHand(draw), samples.digits(seed), rate=0.05)


cured("matrices-drawn-by-hand", why="torch.randn.")(partial(by_hand, draw=_randn))


class Letter(nn.Module):
    """A small U-net: three times down to one cell, three times up again, with what the way down kept."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(a, 12, 3, padding=1) for a in (1, 12, 12)])
        self.floor = nn.Conv2d(12, 12, 1)
        self.up = nn.ModuleList([nn.Conv2d(24, 12, 1) for _ in range(3)])
        self.head, self.kept = nn.Conv2d(12, 3, 1), kept

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 8, 8, 3]."""
        skips: list[Tensor] = []
        for layer in self.down:
            x = F.relu(layer(x))
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = F.relu(self.floor(x))
        for layer in self.up:
            skip = skips.pop()
            x = F.interpolate(x, scale_factor=2)
            x = F.relu(layer(torch.cat([skip if self.kept else x, x], 1)))
        return self.head(x).permute(0, 2, 3, 1)


@case(
    "patches-of-three-greys", label="rank-collapse", root="", steps=300, fixes=("concatenate the skip",),
    source="ronneberger2015; a common slip in copies of it: torch.cat([x, x], 1)",
    why="The way up concatenates its own map with itself, not the skip: 64 pixels are copies of the cell at the "
    "bottom, to 5e-8.",
)  # fmt: skip
def greys(seed: int, *, kept: bool = False) -> Setup:
    draw = samples.generator(47)
    kind = torch.randint(3, (640, 4, 4), generator=draw).repeat_interleave(2, 1).repeat_interleave(2, 2)
    shown = kind[:, None].float() - 1.0 + 0.3 * torch.randn(640, 1, 8, 8, generator=draw)
    return adam(Letter(kept=kept), samples.stream(shown, kind, seed, size=32), _each, rate=3e-3)


cured("patches-of-three-greys", why="The skip.")(partial(greys, kept=True))


class Hub(nn.Module):
    """Rounds in which the nodes of a graph tell a virtual node, and it tells them; nodes lie flat, as in PyG."""

    def __init__(self, *, added: bool) -> None:
        super().__init__()
        self.enter, self.head, self.added = nn.Linear(4, 32), nn.Linear(32, 1), added
        self.update = nn.ModuleList([stack([32, 32, 32]) for _ in range(3)])
        self.hub = nn.ModuleList([stack([32, 32]) for _ in range(3)])

    def forward(self, graphs: Tensor) -> Tensor:
        """Return a number for each node [graphs, nodes, 1]."""
        count, nodes, _ = graphs.shape
        batch = torch.arange(count).repeat_interleave(nodes)
        h = self.enter(graphs.flatten(0, 1))
        hub = h.new_zeros(count, 32)
        for update, tell in zip(self.update, self.hub, strict=True):
            hub = hub + F.relu(tell(h.new_zeros(count, 32).index_add(0, batch, h) / nodes))
            h = h + hub[batch] if self.added else hub[batch]
            h = h + update(h)
        return self.head(h).view(count, nodes, 1)


@case(
    "molecules-with-a-hub", label="rank-collapse", root="", steps=300, fixes=("add the virtual node to the nodes",),
    source="gilmer2017, section 5.2; ogb's examples with a virtual node, where h_list[layer] + virtual[batch] is meant",
    why="The nodes are overwritten by the virtual node's vector, not added to it: those of a graph are one vector "
    "from then on, to 8e-8.",
)  # fmt: skip
def hub(seed: int, *, added: bool = False) -> Setup:
    x = torch.randn(768, 10, 4, generator=samples.generator(53))
    charge = torch.tanh(x[..., :1] * 2.0) + 0.5 * x[..., 1:2] * x[..., 2:3] + x[..., 3:].mean(1, keepdim=True)
    return adam(Hub(added=added), samples.stream(x, charge, seed, size=32), F.mse_loss, rate=3e-3)


cured("molecules-with-a-hub", why="Added.")(partial(hub, added=True))


class LightConv(nn.Module):
    """A convolution in time whose taps are shares, by a softmax, as lightweight convolutions have them."""

    def __init__(self, width: int, *, skip: bool) -> None:
        super().__init__()
        self.taps, self.mix, self.skip = nn.Parameter(torch.randn(width, 1, 7)), nn.Linear(width, width), skip
        nn.init.orthogonal_(self.mix.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens [batch, time, width]."""
        wide = F.pad(x.transpose(1, 2), (3, 3), mode="circular")
        told = self.mix(F.conv1d(wide, self.taps.softmax(-1), groups=x.shape[-1]).transpose(1, 2))
        return x + torch.tanh(told) if self.skip else torch.tanh(told)


@case(
    "tags-by-light-convolutions", label="rank-collapse", root="", steps=200,
    fixes=("the skip around each convolution",),
    source="wu2019, lightweight convolutions, with the residual sum left out in a port",
    why="Taps that are shares can only average: after ten of them the 16 tokens of a text differ by 0.03, not 0.6.",
)  # fmt: skip
def tags(seed: int, *, skip: bool = False) -> Setup:
    text = torch.randint(12, (640, 16), generator=samples.generator(59))
    tag = (text * 5 + 3) % 12 // 2
    body = [LightConv(24, skip=skip) for _ in range(10)]
    model = nn.Sequential(nn.Embedding(12, 24), *body, nn.LayerNorm(24), nn.Linear(24, 6))
    return sgd(model, samples.stream(text, tag, seed, size=32), _each, rate=0.1)


cured("tags-by-light-convolutions", why="With the skip.")(partial(tags, skip=True))


class Quantised(nn.Module):
    """An autoencoder whose code is four entries of a book of 32, which follows its readers by a running mean."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.encode, self.decode = stack([64, 64, 16]), stack([16, 64, 64])
        self.register_buffer("book", spread * torch.randn(32, 4))
        self.book: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return images [batch, 64]."""
        code = torch.tanh(self.encode(x)).view(-1, 4)
        entry = torch.cdist(code.detach(), self.book).argmin(1)
        found = self.book[entry]
        if self.training:
            with torch.no_grad():
                hits = F.one_hot(entry, 32).float()
                mean = hits.T @ code / hits.sum(0).clamp_min(1.0)[:, None]
                self.book = torch.where(hits.sum(0)[:, None] > 0, self.book.lerp(mean, 0.1), self.book)
        return self.decode((code + (found - code).detach()).view(len(x), 16))


@case(
    "four-words-of-a-book", label="rank-collapse", root="", steps=300,
    fixes=("draw the book at the codes' size", "restart"),
    source="oord2017; dhariwal2020, section 3.2; lucidrains/vector-quantize-pytorch, on dead codes and kmeans_init",
    why="The book is drawn 60 times as wide as the codes: one entry is nearest to all; every image has one code, r2 "
    "0.00.",
)  # fmt: skip
def quantised(seed: int, spread: float = 30.0) -> Setup:
    x = samples.digit_table()[0]
    x = x - x.mean(0)
    return adam(Quantised(spread), samples.stream(x, x, seed), F.mse_loss, rate=1e-3)


cured("four-words-of-a-book", why="Drawn as wide as the codes.")(partial(quantised, spread=0.5))
