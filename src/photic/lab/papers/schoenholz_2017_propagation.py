"""Schoenholz et al. 2017: depth scales of signal and gradient, and how deep a network can be trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch

from photic.activations import find
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches, digits
from photic.lab.drawings import curves_over_layers
from photic.lab.drawings_phases import trained_depths
from photic.lab.stacks import Plain, accuracies, train
from photic.theory.depth_scales import fixed_point
from photic.theory.laws import dropout_correlation, dropout_length

KEY = "schoenholz2017"
TITLE = "Deep information propagation"
FULL = (
    "the quick size is the only one: at the start 1,000 units; trained networks are 64 units wide and up to 64 "
    "layers deep, on the digits. The paper's own trainings are not run: their data are not here."
)
_TANH = find("tanh")
_WIDTH = 1000


def _layers(
    count: int, weight_variance: float, bias_variance: float, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [
        (
            torch.randn(_WIDTH, _WIDTH, generator=generator) * math.sqrt(weight_variance / _WIDTH),
            torch.randn(_WIDTH, generator=generator) * math.sqrt(bias_variance),
        )
        for _ in range(count)
    ]


def gradients(seed: int, size: Size) -> Numbers:
    """Tanh networks of 1,000 units and 40 layers: the slope of log |gradient|^2 along depth, over theory's ln chi."""
    assert _TANH is not None
    found: Numbers = {}
    for name, variance in (("ordered", 1.3), ("critical", 1.76095), ("chaotic", 2.5)):
        generator = torch.Generator()
        generator.manual_seed(seed)
        weights = _layers(40, variance, 0.05, generator)
        z = torch.randn(8, _WIDTH, generator=generator)
        kept: list[torch.Tensor] = []
        for w, b in weights:
            z = (torch.tanh(z) @ w.T + b).requires_grad_()
            kept.append(z)
        parts = torch.autograd.grad(z, kept, torch.randn(z.shape, generator=generator))
        logs = [2.0 * math.log(float(part.norm())) for part in parts]
        # From the top down to layer 10: below, lengths have not settled yet.
        slope = (logs[9] - logs[39]) / 30
        expected = math.log(fixed_point(_TANH, weight_variance=variance, bias_variance=0.05).gain)
        found[f"{name} slope"] = slope
        found[f"{name} over theory"] = slope / expected if name != "critical" else slope
        found[f"{name} logs"] = [math.exp((value - logs[39]) / 2) for value in logs]
        found[f"{name} theory"] = [math.exp(expected * (39 - i) / 2) for i in range(40)]
    return found


def correlations(seed: int, size: Size) -> Numbers:
    """Two inputs through tanh layers of 1,000 units: where their correlation ends, and how fast it gets there."""
    assert _TANH is not None
    found: Numbers = {}
    for name, variance in (("ordered", 1.3), ("chaotic", 2.5)):
        generator = torch.Generator()
        generator.manual_seed(seed)
        point = fixed_point(_TANH, weight_variance=variance, bias_variance=0.05)
        x, other = torch.randn(2, _WIDTH, generator=generator) * math.sqrt(point.length)
        pair = torch.stack((x, 0.6 * x + 0.8 * other))
        course: list[float] = []
        for w, b in _layers(30, variance, 0.05, generator):
            pair = torch.tanh(pair) @ w.T + b
            course.append(float(torch.cosine_similarity(pair[0], pair[1], dim=0)))
        found[f"{name} course"] = course
        found[f"{name} end"] = sum(course[20:]) / 10 - point.correlation
        if name == "ordered":
            scale = (24 - 4) / math.log((1.0 - course[4]) / (1.0 - course[24]))
            found["scale over theory"] = scale / point.correlation_scale
    return found


def dropout(seed: int, size: Size) -> Numbers:
    """The same input twice, units dropped apart, at the critical point: c = 1 is no fixed point any more."""
    assert _TANH is not None
    found: Numbers = {}
    for keep in (0.99, 0.9):
        generator = torch.Generator()
        generator.manual_seed(seed)
        length, c = 0.57, 1.0
        for _ in range(400):
            settings = {"weight_variance": 1.76095, "bias_variance": 0.05, "keep": keep, "length": length}
            c = dropout_correlation(_TANH, correlation=min(1.0, c), **settings)
            length = dropout_length(_TANH, **settings)
        pair = torch.randn(1, _WIDTH, generator=generator).repeat(2, 1) * math.sqrt(0.57)
        course: list[float] = []
        for w, b in _layers(60, 1.76095, 0.05, generator):
            masks = (torch.rand(pair.shape, generator=generator) < keep).float() / keep
            pair = (torch.tanh(pair) * masks) @ w.T + b
            course.append(float(torch.cosine_similarity(pair[0], pair[1], dim=0)))
        found[f"{keep}"] = sum(course[40:]) / 20
        found[f"{keep} gap"] = found[f"{keep}"] - c
    return found


_VARIANCES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
_DEPTHS = (4, 8, 16, 32, 64)


def training(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """Tanh networks of width 64 on the digits over fan_in Var[w] and depth: which of them train, against 6 xi_c."""
    assert _TANH is not None
    _, held_back = digits()
    scales = [fixed_point(_TANH, weight_variance=v, bias_variance=0.05).correlation_scale for v in _VARIANCES]
    table: list[list[float]] = []
    inside, outside = list[float](), list[float]()
    for depth in _DEPTHS:
        nets = [Plain("tanh", depth, 64, 64, 10, v, 0.05, learning_rate=0.01, seed=seed) for v in _VARIANCES]
        row = accuracies(nets, train(nets, batches(600, seed=seed), device=device), held_back).tolist()
        table.append(row)
        for accuracy, scale in zip(row, scales, strict=True):
            if depth <= 3.0 * scale:
                inside.append(accuracy)
            elif depth > 12.0 * scale:
                outside.append(accuracy)
    limits = [
        limit / scale
        for column, scale in zip(zip(*table, strict=True), scales, strict=True)
        if (limit := _limit(column)) is not None
    ]
    return {
        "accuracies": table,
        "limit in scales": math.exp(sum(map(math.log, limits)) / len(limits)) if limits else math.nan,
        "variances": list(_VARIANCES),
        "depths": list(_DEPTHS),
        "six scales": [6.0 * scale for scale in scales],
        "inside": sum(a > 0.5 for a in inside) / len(inside),
        "outside": sum(a > 0.5 for a in outside) / len(outside),
    }


def _limit(column: Sequence[float]) -> float | None:
    """Return the depth up to which networks of one initial scale train: between the last that does and the next.

    None where all depths of the grid train, or none.
    """
    trained = [place for place, accuracy in enumerate(column) if accuracy > 0.5]
    if not trained or trained[-1] == len(column) - 1:
        return None
    return math.sqrt(_DEPTHS[trained[-1]] * _DEPTHS[trained[-1] + 1])


_ONE_OF = "1,000 units: log |gradient|^2 over 30 layers deviates by sqrt(30 x 3 / 1000) = 0.3, three seeds by 0.17"

CLAIMS = (
    Claim(text="In the ordered phase gradients vanish exponentially, with the depth scale of chi.", place="section 4, equation 22; figure 4",
          experiment=gradients, number="ordered over theory", low=0.93, high=1.07, tolerance=_ONE_OF + " of 3.8"),
    Claim(text="In the chaotic phase they explode, with the depth scale of chi.", place="section 4; figure 4", experiment=gradients,
          number="chaotic over theory", low=0.9, high=1.1, tolerance=_ONE_OF + " of 6.9, and saturation makes kappa larger"),
    Claim(text="On the critical line they do neither.", place="section 4; figure 4", experiment=gradients, number="critical slope",
          low=-0.03, high=0.03, theirs="0", tolerance=_ONE_OF + ", 0.006 per layer, less beta / 2 = 0.0015 and a length still settling"),
    Claim(text="In the ordered phase two inputs end up correlated entirely.", place="section 3; figure 1", experiment=correlations,
          number="ordered end", low=-0.02, high=0.001, theirs="c* = 1", tolerance="after 20 to 30 layers exp(-25 / 7.8) x 0.3 = 1.2 % are left"),
    Claim(text="In the chaotic phase they end at a correlation below 1 that theory gives.", place="section 3; figure 1",
          experiment=correlations, number="chaotic end", low=-0.05, high=0.05, theirs="c* < 1",
          tolerance="c* = 0.447; a cosine of 1,000 units deviates by 0.03, and does not average out over layers entirely"),
    Claim(text="The approach is exponential with the scale xi_c.", place="section 3, equation 12; figure 2", experiment=correlations,
          number="scale over theory", low=0.8, high=1.2, theirs="xi_c", tolerance="xi_c = 7.83 over 20 layers; 10 % from width, 10 % from the start"),
    Claim(text="Dropout destroys the critical point: with 1 % of the units dropped two copies of one input drift apart to 0.77.",
          place="section 4.1 (dropout)", experiment=dropout, number="0.99 gap", low=-0.06, high=0.06,
          tolerance="theory c* = 0.766; near the critical point fluctuations of 1,000 units persist for xi_c = 14.5 layers"),
    Claim(text="With 10 % dropped they end at 0.36.", place="section 4.1 (dropout)", experiment=dropout, number="0.9 gap",
          low=-0.06, high=0.06, tolerance="theory c* = 0.356; as above"),
    Claim(text="Networks well within six correlation depth scales train.", place="section 5; figure 5", experiment=training, number="inside",
          low=0.9, theirs="trainable below 6 xi_c",
          tolerance="depth up to 3 xi_c, 600 steps of SGD at 0.01; trained is 50 % held-back accuracy"),
    Claim(text="Networks far beyond them do not.", place="section 5; figure 5", experiment=training, number="outside", high=0.1,
          theirs="untrainable", tolerance="depth beyond 12 xi_c, 600 steps"),
    Claim(text="The depth at which training stops is about six correlation depth scales.", place="section 5; figure 5", experiment=training,
          number="limit in scales", low=3.0, high=12.0, theirs="6",
          tolerance="a factor of two either way, the paper's 'about'; mean of ln(depth / xi_c) over the initial scales whose limit is in the grid"),
)  # fmt: skip

FIGURES = {
    "4": Figure(
        title="gradient norm along depth", experiments=(gradients,), seeds=3,
        draw=partial(curves_over_layers, title="tanh, Var[b] = 0.05, width 1,000", x="layer", y="|gradient| / |gradient at the top|",
                     lines=tuple(line for name, v in (("ordered", 1.3), ("critical", 1.761), ("chaotic", 2.5))
                                 for line in ((f"{name} logs", f"{name}, fan_in Var[w] = {v}"), (f"{name} theory", f"theory, {name}")))),
    ),
    "5": Figure(
        title="which depths train, and six depth scales", experiments=(training,), seeds=3,
        draw=partial(trained_depths, title="tanh, width 64, Var[b] = 0.05, SGD 0.01, 600 steps on the digits", critical=1.761),
    ),
}  # fmt: skip
