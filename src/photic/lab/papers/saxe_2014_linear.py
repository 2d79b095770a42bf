"""Saxe, McClelland & Ganguli 2014: exact learning dynamics of deep linear networks, and orthogonal weights."""

from __future__ import annotations

import math
from functools import partial

import torch

from photic.initialisers.drawing import fill_orthogonal
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches
from photic.lab.drawings import curves_over_layers
from photic.lab.stacks import Plain, train
from photic.theory.spectra import gaussian_product_edge

KEY = "saxe2014"
TITLE = "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks"
FULL = (
    "the quick size is the only one: linear networks of 32 units on the digits, Jacobians of 200. The paper's own "
    "trainings on images are not run: their data are not here."
)


def modes(seed: int, size: Size) -> Numbers:
    """Gradient descent on both weights of a linear network whose task has four strengths; the growth of each mode."""
    strengths = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    generator = torch.Generator()
    generator.manual_seed(seed)
    left, right = (fill_orthogonal(torch.empty(8, 8, dtype=torch.float64), generator=generator) for _ in range(2))
    task = left[:, :4] @ torch.diag(strengths) @ right[:, :4].T
    start, rate, steps = 1e-3, 1e-3, 12_000
    # Decoupled start: both weights share the singular vectors of the task, each mode begins at u = start.
    root = torch.diag(torch.full((4,), math.sqrt(start), dtype=torch.float64))
    first, second = root @ right[:, :4].T, left[:, :4] @ root
    courses: list[list[float]] = []
    for step in range(steps):
        if step % 20 == 0:
            courses.append((left[:, :4].T @ second @ first @ right[:, :4]).diagonal().tolist())
        error = task - second @ first
        first, second = first + rate * second.T @ error, second + rate * error @ first.T
    times = [20 * rate * i for i in range(len(courses))]
    measured = list(zip(*courses, strict=True))
    theory = [[_mode(s, start, t) for t in times] for s in strengths.tolist()]
    apart = max(
        abs(a - b) / s
        for m, t, s in zip(measured, theory, strengths.tolist(), strict=True)
        for a, b in zip(m, t, strict=True)
    )
    halves = [
        times[next(i for i, u in enumerate(m) if u > s / 2)] for m, s in zip(measured, strengths.tolist(), strict=True)
    ]
    found: Numbers = {"x": times, "largest gap": apart, "slow over fast": halves[3] / halves[0]}
    for i, s in enumerate(strengths.tolist()):
        found[f"strength {s:.0f}"] = list(measured[i])
        found[f"theory {s:.0f}"] = theory[i]
    return found


def _mode(s: float, start: float, t: float) -> float:
    """Return u(t) = s e^(2st) / (e^(2st) - 1 + s / u0), the sigmoidal course of one mode (equation 9)."""
    grown = math.exp(min(2.0 * s * t, 700.0))
    return s * grown / (grown - 1.0 + s / start)


def spectra(seed: int, size: Size) -> Numbers:
    """Singular values of a product of 20 square matrices of 200 units: orthogonal, and Gaussian of the same mean square."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    products = {name: torch.eye(200, dtype=torch.float64) for name in ("orthogonal", "gaussian")}
    for _ in range(20):
        orthogonal = fill_orthogonal(torch.empty(200, 200, dtype=torch.float64), generator=generator)
        products["orthogonal"] = orthogonal @ products["orthogonal"]
        gaussian = torch.randn(200, 200, generator=generator, dtype=torch.float64) / math.sqrt(200)
        products["gaussian"] = gaussian @ products["gaussian"]
    values = {name: torch.linalg.svdvals(product) for name, product in products.items()}
    return {
        "orthogonal spread": float(values["orthogonal"].max() - values["orthogonal"].min()),
        "gaussian edge": float(values["gaussian"].max() ** 2) / gaussian_product_edge(20),
        "gaussian median": float(values["gaussian"].median()),
        "gaussian mean square": float(values["gaussian"].square().mean()),
    }


_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_DEPTHS = (4, 8, 16, 32, 64)


def learning_times(seed: int, size: Size) -> Numbers:
    """Linear networks of width 32 on the digits: steps to a loss of 1 at the best of six learning rates, over depth."""
    steps = 400
    found: Numbers = {"x": list(_DEPTHS)}
    for weights in ("orthogonal", "normal"):
        times: list[float] = []
        for depth in _DEPTHS:
            fastest = steps
            for rate in _RATES:
                # The best rate falls as 1 / depth (section 3.1); the grid is of what is left.
                net = Plain("positive", depth, 32, 64, 10, 1.0, weights=weights, learning_rate=rate / depth, seed=seed)
                losses = train([net], batches(fastest, seed=seed)).losses[0]
                smooth = losses.unfold(0, min(5, len(losses)), 1).mean(1)
                reached = (smooth < 1.0).nonzero()
                fastest = min(fastest, int(reached[0]) + 1) if len(reached) else fastest
            times.append(float(fastest))
        found[weights] = times
        found[f"{weights} growth"] = times[-1] / times[0]
    return {**found, "gaussian over orthogonal": found["normal"][-1] / found["orthogonal"][-1]}


def nonlinear(seed: int, size: Size) -> Numbers:
    """Tanh with orthogonal weights, 100 layers of 200 units: the gradient's norm at gains below, at and just above 1."""
    found: Numbers = {}
    generator = torch.Generator()
    generator.manual_seed(seed)
    x = torch.randn(50, 200, generator=generator)
    weights = [fill_orthogonal(torch.empty(200, 200), generator=generator) for _ in range(100)]
    for gain in (0.9, 1.05, 2.0):
        h = x.clone().requires_grad_()
        z = h
        for w in weights:
            z = torch.tanh(gain * z @ w.T)
        g = torch.randn(z.shape, generator=generator)
        back = torch.autograd.grad(z, h, g)[0]
        found[f"log10 {gain}"] = float((back.norm() / g.norm()).log10())
        found[f"signal {gain}"] = float(z.detach().square().mean().sqrt())
    return found


CLAIMS = (
    Claim(text="Each mode of the task is learned along its own sigmoidal course, known in closed form.", place="equations 8 and 9; figure 3",
          experiment=modes, number="largest gap", high=0.02, seeds=2,
          tolerance="steps of 0.001 of a time unit: Euler's error is of the order rate x strength = 0.4 %, five of it"),
    Claim(text="A mode is learned in a time inversely proportional to its strength.", place="section 2, equation 10", experiment=modes,
          number="slow over fast", low=3.3, high=4.0, seeds=2, theirs="t ~ 1 / s",
          tolerance="ln(s/u0 - 1) / (2 s) for s = 1 and 4: 4 x ln(999) / ln(3999) = 3.33, read every 0.02"),
    Claim(text="In deep linear networks with orthogonal weights all singular values of the whole map are 1, at any depth.", place="section 3",
          experiment=spectra, number="orthogonal spread", high=1e-12, tolerance="exact; float64 over 20 products"),
    Claim(text="Gaussian weights of the same mean square give a few huge singular values.", place="section 3, figure 6", experiment=spectra,
          number="gaussian edge", low=0.7, high=1.1,
          tolerance="edge (L + 1)^(L + 1) / L^L = 55.7 for infinite width; 200 units reach 70 to 110 %"),
    Claim(text="And most of their singular values fall to almost nothing.", place="section 3, figure 6", experiment=spectra,
          number="gaussian median", high=0.01, theirs="vast majority close to 0", tolerance="median below 1 % of the mean square's root"),
    Claim(text="With orthogonal weights the number of steps to learn does not grow with depth.", place="section 3, figure 5 and 6",
          experiment=learning_times, number="orthogonal growth", high=1.6, theirs="depth-independent",
          tolerance="64 layers against 4, best rate of a grid of factors of 3"),
    Claim(text="With scaled Gaussian weights it does.", place="section 3, figure 6", experiment=learning_times, number="normal growth",
          low=3.0, theirs="slower with depth", tolerance="at least threefold from 4 to 64 layers"),
    Claim(text="Below a gain of 1 the gradient of orthogonal tanh networks dies.", place="section 4", experiment=nonlinear,
          number="log10 0.9", high=-4.5, tolerance="0.9^100 = 10^-4.58 at most, as tanh's slope is at most 1"),
    Claim(text="Just above 1 signals and gradients pass through 100 layers.", place="section 4, gain slightly above 1", experiment=nonlinear,
          number="log10 1.05", low=-1.0, high=1.0, theirs="edge of chaos", tolerance="within a factor of 10 over 100 layers"),
    Claim(text="Far above 1 the gradient explodes.", place="section 4", experiment=nonlinear, number="log10 2.0", low=3.0,
          theirs="chaos", tolerance="more than a thousandfold"),
)  # fmt: skip

# matplotlib leaves out of the legend what begins with an underscore.
_LINES = tuple(
    line
    for s in (4, 3, 2, 1)
    for line in ((f"strength {s}", f"strength {s}"), (f"theory {s}", "theory, equation 9" if s == 1 else "_theory"))
)
FIGURES = {
    "3": Figure(
        title="the course of each mode", experiments=(modes,),
        draw=partial(curves_over_layers, title="strengths of four modes, learned by gradient descent", x="time: updates times rate",
                     y="strength", log=False, lines=_LINES),
    ),
    "6": Figure(
        title="steps to learn, over depth", experiments=(learning_times,),
        draw=partial(curves_over_layers, title="linear networks on the digits, best of six rates", x="hidden layers", y="steps to a loss of 1",
                     lines=(("orthogonal", "orthogonal"), ("normal", "Gaussian")), log=False),
    ),
}  # fmt: skip
