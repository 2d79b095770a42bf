"""Balduzzi et al. 2017: the gradients of near inputs lose their correlation with depth, and what slows that."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from photic.lab.claims import Claim, Figure, Numbers, Size, around
from photic.lab.drawings import curves_over_layers
from photic.theory.laws import shattering

KEY = "balduzzi2017"
TITLE = "The shattered gradients problem: if resnets are the answer, then what is the question?"
FULL = (
    "the quick size is the only one: its claims are about networks at the start. The paper's trainings with "
    "looks-linear weights are not run: their data are not here."
)
_WIDTH, _NETWORKS, _DEPTHS = 400, 24, (1, 2, 3, 5, 7, 10, 15, 20)
Forward = Callable[[Tensor, Sequence[Tensor]], Tensor]


def _plain(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    for w in weights:
        x = torch.relu(x @ w.T * math.sqrt(2.0 / _WIDTH))
    return x


def _residual(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    for w in weights:
        x = (x + torch.relu(x) @ w.T * math.sqrt(2.0 / _WIDTH)) / math.sqrt(2.0)
    return x


def _residual_normalised(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    for w in weights:
        mean, deviation = x.mean(0), x.std(0, correction=0)
        x = x + torch.relu((x - mean) / deviation) @ w.T * math.sqrt(2.0 / _WIDTH)
    return x


def _looks_linear(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    for w in weights:
        q = torch.linalg.qr(w)[0]
        x = torch.relu(x) @ q.T - torch.relu(-x) @ q.T  # concatenated ReLUs with [W, -W]
    return x


def _correlations(forward: Forward, seed: int, depths: Sequence[int], batch: int = 2) -> list[float]:
    """Return, for each depth, the mean correlation of the gradients at two orthogonal inputs."""
    found: list[float] = []
    for depth in depths:
        total = 0.0
        for network in range(_NETWORKS):
            generator = torch.Generator()
            generator.manual_seed(10_000 * seed + 100 * network + depth)
            x = torch.randn(batch, _WIDTH, generator=generator)
            x = torch.linalg.qr(x.T)[0].T.contiguous() * math.sqrt(_WIDTH) if batch <= _WIDTH else x
            x.requires_grad_()
            weights = [torch.randn(_WIDTH, _WIDTH, generator=generator) for _ in range(depth)]
            read = torch.randn(_WIDTH, generator=generator)
            scores = forward(x, weights) @ read
            # Each example's own output by its own input: with BatchNorm the others' outputs depend on it too.
            first, second = (torch.autograd.grad(scores[i], x, retain_graph=True)[0][i] for i in (0, 1))
            total += float(torch.cosine_similarity(first, second, dim=0))
        found.append(total / _NETWORKS)
    return found


def feed_forward(seed: int, size: Size) -> Numbers:
    """Plain ReLU networks with He's weights, 24 of them per depth."""
    found = _correlations(_plain, seed, _DEPTHS)
    theory = [shattering(depth) for depth in _DEPTHS]
    return {
        "x": list(_DEPTHS),
        "measured": found,
        "theory": theory,
        "paper": [0.5**depth for depth in _DEPTHS],
        "at 5 over theory": found[3] / theory[3],
        "at 1": found[0],
        "at 10 over the paper": found[5] * 2**10,
    }


def residual(seed: int, size: Size) -> Numbers:
    """Residual networks without normalisation, branches and skips of equal weight."""
    found = _correlations(_residual, seed, (1, 2, 4, 8))
    plain = _correlations(_plain, seed, (8,))[0]
    return {
        "x": [1, 2, 4, 8],
        "measured": found,
        "at 1": found[0],
        "at 8": found[3],
        "over plain": found[3] / max(plain, 1e-3),
    }


def normalised(seed: int, size: Size) -> Numbers:
    """Residual networks whose branches begin with BatchNorm, a batch of 64."""
    depths = (4, 16, 36)
    found = _correlations(_residual_normalised, seed, depths, batch=64)
    return {"x": list(depths), "measured": found, "falls": found[0] / found[2]}


def looks_linear(seed: int, size: Size) -> Numbers:
    """Concatenated ReLUs with mirrored orthogonal weights, 20 layers."""
    return {"at 20": _correlations(_looks_linear, seed, (20,))[0]}


_SPREAD = (
    "24 networks of width 400: a cosine of two gradients deviates by 0.05, its mean by 0.01, of three seeds by 0.006"
)

CLAIMS = (
    Claim(text="One ReLU layer halves the correlation of the gradients at two orthogonal inputs.", place="theorem 1",
          experiment=feed_forward, number="at 1", low=0.48, high=0.52, theirs="1/2", tolerance=_SPREAD + "; three of them"),
    Claim(text="The correlation falls as the correlation map says, (1 - acos c / pi) per layer.", place="section 2.2",
          experiment=feed_forward, number="at 5 over theory", seeds=6, tolerance="0.105 at depth 5; " + _SPREAD + ": three are 18 %",
          **dict(zip(("low", "high"), around(1.0, relative=0.2), strict=True))),
    Claim(text="It falls as 1 / 2^L with depth in feed-forward networks.", place="theorem 1", experiment=feed_forward,
          number="at 10 over the paper", low=0.5, high=2.0, theirs="1 / 2^L", tolerance="a factor of 2 at depth 10",
          note="The theorem assumes that units are open independently of the other input. In real networks the inputs' correlation "
               "rises with depth, later layers shatter less, and the fall is about L^-3: theory 0.034 at depth 10, not 0.001."),
    Claim(text="One residual block leaves a correlation of 3/4.", place="theorem 2", experiment=residual, number="at 1", low=0.72, high=0.78,
          theirs="(3/4)^L", tolerance=_SPREAD + "; five of them"),
    Claim(text="Skips slow the shattering: after 8 blocks the correlation is several times that of a plain network.", place="theorem 2",
          experiment=residual, number="over plain", seeds=6, low=3.0, theirs="(3/4)^8 against (1/2)^8", tolerance="at least threefold"),
    Claim(text="Skips with BatchNorm make the fall sublinear: from 4 to 36 blocks about threefold, 1 / sqrt(L).", place="theorem 3",
          experiment=normalised, number="falls", seeds=6, low=1.5, high=4.5, theirs="1 / sqrt(L): 3",
          tolerance="3 within half as much again either way"),
    Claim(text="A looks-linear network does not shatter at all.", place="section 4", experiment=looks_linear, number="at 20", low=0.999,
          theirs="1", tolerance="exact; rounding of float32 over 20 layers"),
)  # fmt: skip

FIGURES = {
    "1": Figure(
        title="correlation of gradients over depth", experiments=(feed_forward,), seeds=3,
        draw=partial(curves_over_layers, title="gradients of two orthogonal inputs, plain ReLU networks", x="layers", y="correlation",
                     lines=(("measured", "measured, width 400"), ("theory", "theory: correlation map"), ("paper", "theory: 1 / 2^L (paper)"))),
    ),
}  # fmt: skip
