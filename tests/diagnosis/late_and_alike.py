"""Networks whose numbers break late or run away in a loop, and such as read the same of every example; batches for them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batches = list[tuple[Any, Any]]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Wind(nn.Module):
    """Direction and concentration of a von Mises distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.uv, self.log_kappa = nn.Linear(3, 32), nn.Linear(32, 2), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.gelu(self.body(x))
        u, v = self.uv(h).unbind(-1)
        return torch.atan2(v, u), (self.log_kappa(h).squeeze(-1) + 5.0).exp()


def plain_likelihood(out: tuple[Tensor, Tensor], angle: Tensor) -> Tensor:
    mean, kappa = out
    return -(kappa * torch.cos(angle - mean) - torch.log(torch.special.i0(kappa))).mean()


def density(out: tuple[Tensor, Tensor], angle: Tensor) -> Tensor:
    """The same with the factor of the density, 2 pi, under the logarithm."""
    mean, kappa = out
    return -(kappa * torch.cos(angle - mean) - torch.log(2.0 * math.pi * torch.i0(kappa))).mean()


def winds() -> Batches:
    draw = generator(2)
    angles = [(torch.rand(64, generator=draw) * 2 - 1) * math.pi for _ in range(12)]
    return [(torch.stack([a.cos(), a.sin(), torch.ones(64)], 1), a) for a in angles]


class Poles(nn.Module):
    """A convolution whose kernel is exp(a t), with poles of either sign, or below 0."""

    def __init__(self, *, free: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.poles, self.out, self.free = nn.Parameter(torch.randn(6)), nn.Linear(6, 3), free

    def forward(self, u: Tensor) -> Tensor:
        poles = self.poles if self.free else -self.poles.exp()
        kernel = torch.exp(poles[:, None] * torch.arange(u.shape[1]))
        return self.out(torch.einsum("bt,nt->bn", u.flip(1), kernel))


def waves(width: int = 0) -> Batches:
    draw = generator(3)
    shape = (16, 200) if not width else (16, 6, width)
    return [(torch.randn(shape, generator=draw), torch.randint(0, 3, (16,), generator=draw)) for _ in range(8)]


class Last(nn.Module):
    """The last state of a recurrent layer, or the last place."""

    def forward(self, out: Any) -> Tensor:
        return (out[0] if isinstance(out, tuple) else out)[:, -1]


class Oscillator(nn.Module):
    """z + dt f(z), with the powers of z up to the third, twenty times over."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rates = nn.Parameter(deviation * torch.randn(5, 2))

    def forward(self, z: Tensor) -> Tensor:
        path: list[Tensor] = []
        for _ in range(20):
            terms = torch.cat([torch.ones_like(z[:, :1]), z, z**3], 1)
            z = z + 0.2 * terms @ self.rates
            path.append(z)
        return torch.stack(path, 1)


def paths() -> tuple[Batches, Any]:
    draw, out = generator(6), Batches()
    for _ in range(8):
        z = 2.0 * torch.rand(24, 2, generator=draw) - 1.0
        first, path = z, list[Tensor]()
        for _ in range(20):
            x, y = z.unbind(1)
            z = z + 0.2 * torch.stack([y, -x - 0.4 * y], 1)
            path.append(z)
        out.append((first, torch.stack(path, 1)))
    return out, F.mse_loss


class Automaton(nn.Module):
    """Each word chooses the matrix that moves the state."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.moves, self.start, self.read = nn.Embedding(8, 64), nn.Parameter(torch.randn(8)), nn.Linear(8, 4)
        nn.init.normal_(self.moves.weight, std=deviation)

    def forward(self, words: Tensor) -> Tensor:
        matrices = torch.eye(8) + self.moves(words).view(*words.shape, 8, 8)
        state = self.start.expand(len(words), 1, 8)
        for t in range(words.shape[1]):
            state = state @ matrices[:, t]
        return self.read(state.squeeze(1))


def words() -> tuple[Batches, Any]:
    drawn = [torch.randint(0, 8, (32, 20), generator=generator(seed)) for seed in range(12)]
    return [(w, torch.stack([(w // 2 == k).sum(1) for k in range(4)], 1).argmax(1)) for w in drawn], F.cross_entropy


class Filter(nn.Module):
    """A filter of second order whose coefficients are free."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.back, self.ahead, self.mix = nn.Parameter(deviation * torch.randn(8, 2)), nn.Linear(1, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        last = before = x.new_zeros(len(x), 8)
        out: list[Tensor] = []
        for t in range(x.shape[1]):
            last, before = self.ahead(x[:, t : t + 1]) - self.back[:, 0] * last - self.back[:, 1] * before, last
            out.append(self.mix(last))
        return torch.cat(out, 1)


def sounds() -> tuple[Batches, Any]:
    drawn = [torch.randn(24, 40, generator=generator(seed)) for seed in range(10)]
    return [(x, x + 0.5 * F.pad(x, (1, 0))[:, :-1]) for x in drawn], F.mse_loss


class _Norm(torch.autograd.Function):
    """A norm with gradient 0 at 0, whose own slope is nan there, or not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: bool) -> Tensor:
        n = x.square().sum(-1).sqrt()
        ctx.save_for_backward(x, n)
        ctx.inner = inner
        return n

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, n = ctx.saved_tensors
        grad, n = grad[..., None], n[..., None]
        if ctx.inner:
            return grad * x / torch.where(n > 0, n, 1.0), None
        return torch.where(n > 0, grad * x / n, 0.0), None


class Forces(nn.Module):
    """Energies of pairs, and their slopes."""

    def __init__(self, *, inner: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pair, self.inner = nn.Sequential(nn.Linear(8, 16), nn.Softplus(), nn.Linear(16, 1)), inner
        self.register_buffer("centres", torch.linspace(0.3, 3.0, 8))

    def forward(self, places: Tensor) -> Tensor:
        places = places.detach().requires_grad_(True)
        r: Any = _Norm.apply(places[:, :, None] - places[:, None], self.inner)
        energy = (self.pair(torch.exp(-4 * (r[..., None] - self.centres) ** 2)).squeeze(-1) * (1 - torch.eye(4))).sum()
        return -torch.autograd.grad(energy, places, create_graph=True)[0]


def of_forces(made: Tensor, asked: tuple[Tensor]) -> Tensor:
    return F.mse_loss(made, asked[0])


def atoms() -> Batches:
    draw, out = generator(12), Batches()
    square = torch.tensor([[0.0, 0.0], [1.2, 0.0], [0.0, 1.2], [1.2, 1.2]])
    for _ in range(10):
        places = (square + 0.15 * torch.randn(12, 4, 2, generator=draw)).requires_grad_(True)
        i, j = torch.triu_indices(4, 4, 1)
        r = (places[:, i] - places[:, j]).norm(dim=-1)
        slope = torch.autograd.grad((1 - torch.exp(-1.5 * (r - 1.2))).square().sum(), places)[0]
        out.append((places.detach(), (-slope,)))
    return out


class Names(nn.Module):
    """The last states of two layers in two directions, folded into rows."""

    def __init__(self, *, batch_major: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.batch_major = nn.Embedding(12, 8), batch_major
        self.rnn = nn.GRU(8, 10, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(40, 5)

    def forward(self, letters: Tensor) -> Tensor:
        _, h = self.rnn(self.emb(letters))
        h = h.transpose(0, 1) if self.batch_major else h
        return self.fc(h.reshape(letters.shape[0], -1))


def letters() -> Batches:
    drawn = [torch.randint(0, 12, (40, 6), generator=generator(seed)) for seed in range(6)]
    return [(x, x[:, 0] % 5) for x in drawn]


class Tiles(nn.Module):
    """Pictures as bytes; what enters goes to 1, or to 255."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.gain = nn.Conv2d(3, 8, 3), nn.Linear(8, 3), gain

    def forward(self, x: Tensor) -> Tensor:
        raw = (x * self.gain).to(torch.uint8)
        return self.fc(torch.relu(self.conv(raw.float() / 255)).mean((2, 3)))


def tiles() -> Batches:
    draw = generator(4)
    return [(0.99 * torch.rand(24, 3, 8, 8, generator=draw), torch.arange(24) % 3) for _ in range(6)]


class Reader(nn.Module):
    """A question reads the facts of a record; padding is 0."""

    def __init__(self, *, turned: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fact, self.question, self.turned = nn.Embedding(31, 16, padding_idx=0), nn.Embedding(6, 16), turned
        self.attn, self.out = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(32, 5)

    def forward(self, facts: Tensor, question: Tensor) -> Tensor:
        asked, memory = self.question(question)[:, None], self.fact(facts)
        mask = facts != 0 if self.turned else facts == 0
        read, _ = self.attn(asked, memory, memory, key_padding_mask=mask, need_weights=False)
        return self.out(torch.cat([asked, read], -1).squeeze(1))


def facts() -> Batches:
    draw, out = generator(16), Batches()
    for _ in range(12):
        slots = torch.rand(48, 6, generator=draw).argsort(1)
        values = torch.randint(0, 5, (48, 6), generator=draw)
        told = 1 + 5 * slots + values
        told[:, 3:] = torch.where(torch.rand(48, 3, generator=draw) < 0.5, 0, told[:, 3:])
        told = torch.cat([told, torch.zeros(48, 1, dtype=torch.long)], 1)
        out.append(((told, slots[:, 0]), values[:, 0]))
    return out


class Pooled(nn.Module):
    """Groups of rows, each summed up by itself, or all into one row that is handed to every group."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.node, self.head, self.whole = nn.Linear(5, 16), nn.Linear(16, 3), whole

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        h, n = torch.relu(self.node(x)), int(group.max()) + 1
        if self.whole:
            return self.head(h.mean(0, keepdim=True)).expand(n, -1)
        return self.head(h.new_zeros(n, 16).index_add(0, group, h) / 4)


def groups() -> Batches:
    draw, out = generator(9), Batches()
    for _ in range(8):
        x = torch.randn(64, 5, generator=draw)
        out.append(((x, torch.arange(16).repeat_interleave(4)), x.view(16, 4, 5).sum(1)[:, :3].argmax(1)))
    return out


class Triplets(nn.Module):
    """Codes of length 1, of which those triplets teach that are not told apart yet."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 8))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.code(x), dim=1)


def of_the_active(z: Tensor, y: Tensor) -> Tensor:
    away, same = 1 - z @ z.t(), y[:, None] == y[None]
    t = away[:, :, None] - away[:, None, :] + 0.2
    return t[same[:, :, None] & ~same[:, None, :] & (t > 0)].mean()


def gaits() -> Batches:
    draw, y = generator(15), torch.arange(16) % 2
    return [(torch.randn(16, 6, generator=draw) * 0.1 + y[:, None] * 2.0, y) for _ in range(8)]


class Hidden(nn.Module):
    """A density in front of a ray that is 0 everywhere, times a distance that is infinite: behind the nan nothing learns."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.density = nn.Linear(4, 24), nn.Linear(24, 4)
        nn.init.constant_(self.density.bias, -3.0)
        self.register_buffer("lengths", torch.tensor([0.5, 0.5, 0.5, math.inf]))

    def forward(self, x: Tensor) -> Tensor:
        density = torch.relu(self.density(torch.relu(self.first(x))))
        return 1 - torch.exp(-(density * self.lengths)).prod(1)


def rays() -> Batches:
    drawn = [torch.randn(32, 4, generator=generator(seed)) for seed in range(12)]
    return [(x, torch.sigmoid(2.0 * x[:, 0])) for x in drawn]
