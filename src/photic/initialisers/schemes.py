"""Initialisers that treat each layer by its own role: what its fans are and which activation follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from photic.initialisers.drawing import fans, fill_delta_orthogonal, fill_normal, fill_orthogonal, fill_truncated
from photic.initialisers.roles import Layer
from photic.theory.depth_scales import critical_at
from photic.theory.moments import mean, slope_square

Draw = Callable[[Layer, torch.Generator], str]
_FAR = np.array([30.0, -30.0])


@dataclass(frozen=True)
class Scheme:
    """An initialiser of one layer after the other.

    Attributes:
        name: what `photic.initialise` calls it.
        draw: fills weight and bias of a layer and returns in words what it did.
        source: key of references.bib and a place.
    """

    name: str
    draw: Draw
    source: str


_SCHEMES: dict[str, Scheme] = {}


def scheme(source: str) -> Callable[[Draw], Draw]:
    """Register a function as the scheme that bears its name."""

    def register(draw: Draw) -> Draw:
        name = getattr(draw, "__name__", "")
        _SCHEMES[name] = Scheme(name, draw, source)
        return draw

    return register


def schemes() -> dict[str, Scheme]:
    """Return the schemes by name."""
    return dict(_SCHEMES)


def _no_bias(layer: Layer) -> None:
    if layer.bias is not None:
        with torch.no_grad():
            layer.bias.zero_()


def _normal(layer: Layer, variance: float, generator: torch.Generator) -> str:
    fill_normal(layer.weight, variance=variance, generator=generator)
    _no_bias(layer)
    return f"N(0, {variance:.3g}), bias 0"


@scheme("lecun1998, section 4.6")
def lecun(layer: Layer, generator: torch.Generator) -> str:
    """LeCun: Var[w] = 1 / fan_in keeps the signal of a linear unit."""
    return _normal(layer, 1.0 / fans(layer.weight)[0], generator)


@scheme("glorot2010, equation 16")
def xavier(layer: Layer, generator: torch.Generator) -> str:
    """Xavier/Glorot: Var[w] = 2 / (fan_in + fan_out), between what signals and what gradients want."""
    return _normal(layer, 2.0 / sum(fans(layer.weight)), generator)


@scheme("he2015, equations 10 and 15")
def he(layer: Layer, generator: torch.Generator) -> str:
    """He/Kaiming: Var[w] = 2 / ((1 + a^2) fan_in) before ReLU-like activations of negative slope a, else 1 / fan_in.

    With `fan_in` it keeps the norm of the gradient, and the signal; the first factor would be fan_out to keep the
    variance of a gradient's entry.
    """
    fan_in, _ = fans(layer.weight)
    after = layer.after
    if after is None:
        return _normal(layer, 1.0 / fan_in, generator)
    # For large signals every relative of ReLU has slope 1 above and its own slope below.
    squares = float(after.slope(_FAR)[0]) ** 2 + float(after.slope(_FAR)[1]) ** 2
    if math.isfinite(after.high) or not 0.5 < squares < 2.5:
        return _normal(layer, 1.0 / fan_in, generator)
    return _normal(layer, 2.0 / (squares * fan_in), generator)


@scheme("he2015, equation 14")
def he_fan_out(layer: Layer, generator: torch.Generator) -> str:
    """He with fan_out: keeps the variance of each entry of the gradient rather than its norm."""
    fan_in, fan_out = fans(layer.weight)
    with torch.no_grad():
        said = he(layer, generator)
        layer.weight.mul_(math.sqrt(fan_in / fan_out))
    return f"{said}, times fan_in / fan_out in the variance"


@scheme("he2015, equation 10; the true deviation of a cut normal is 0.8796 of its own")
def truncated_normal(layer: Layer, generator: torch.Generator) -> str:
    """Normal numbers cut at two deviations, with the variance of He's or LeCun's rule after the cut, not before it."""
    fan_in, _ = fans(layer.weight)
    half = layer.after is not None and math.isinf(layer.after.high)
    variance = (2.0 if half else 1.0) / fan_in
    fill_truncated(layer.weight, variance=variance, generator=generator)
    _no_bias(layer)
    return f"normal cut at two deviations, variance {variance:.3g}, bias 0"


@scheme("schoenholz2017, section 3; poole2016")
def critical(layer: Layer, generator: torch.Generator) -> str:
    """Critical for the activation that follows: fan_in Var[w] = 1 / E phi'^2 on the line chi = 1.

    The point of that line without bias where its length is stable; where there is none (GELU, SiLU, softplus), the
    variance that keeps the gradient at unit length, which is said.
    """
    fan_in, _ = fans(layer.weight)
    if layer.after is None:
        return _normal(layer, 1.0 / fan_in, generator)
    point = critical_at(layer.after, bias_variance=0.0)
    if point is not None and point.holds:
        return _normal(layer, point.weight_variance / fan_in, generator)
    variance = 1.0 / slope_square(layer.after, variance=1.0).value / fan_in
    return (
        _normal(layer, variance, generator)
        + f"; {layer.after.name} has no stable critical length, unit length is assumed"
    )


@scheme("saxe2014, section 3")
def orthogonal(layer: Layer, generator: torch.Generator) -> str:
    """Orthogonal times the gain sqrt(2) before ReLU-like activations, 1 elsewhere: all singular values are equal."""
    gain = math.sqrt(2.0) if layer.after is not None and math.isinf(layer.after.high) else 1.0
    fill_orthogonal(layer.weight, gain=gain, generator=generator)
    _no_bias(layer)
    return f"orthogonal times {gain:.3g}, bias 0"


@scheme("xiao2018, section 3")
def delta_orthogonal(layer: Layer, generator: torch.Generator) -> str:
    """Delta-orthogonal kernels: an orthogonal matrix at the centre, zeros around; orthogonal for linear layers."""
    if layer.weight.ndim <= 2 or layer.weight.shape[0] < layer.weight.shape[1]:
        return orthogonal(layer, generator)
    gain = math.sqrt(2.0) if layer.after is not None and math.isinf(layer.after.high) else 1.0
    fill_delta_orthogonal(layer.weight, gain=gain, generator=generator)
    _no_bias(layer)
    return f"orthogonal times {gain:.3g} at the kernel's centre, bias 0"


@scheme("glorot2010 for the tanh network it equals; sigmoid(z) = 1/2 + tanh(z / 2) / 2")
def centred_logistic(layer: Layer, generator: torch.Generator) -> str:
    """Centred logistic: 16 / fan_in between sigmoids, 4 / fan_in at the ends, and a bias of minus the input's mean.

    The bias -1/2 sum_j w_ij takes away the sigmoids' mean of 1/2: the network equals a tanh network with 1 / fan_in.
    Other activations get `critical`, with their own mean taken away in the same way.
    """
    fed = layer.before is not None and layer.before.name == "sigmoid"
    before_sigmoid = layer.after is not None and layer.after.name == "sigmoid"
    fan_in, _ = fans(layer.weight)
    if not fed and not before_sigmoid:
        return critical(layer, generator)
    scale = (4.0 if fed else 1.0) * (4.0 if before_sigmoid else 1.0)
    fill_normal(layer.weight, variance=scale / fan_in, generator=generator)
    if layer.bias is not None:
        shift = -mean(layer.before, variance=1.0).value if layer.before is not None else 0.0
        with torch.no_grad():
            layer.bias.copy_(shift * layer.weight.flatten(1).sum(1))
    return f"N(0, {scale:.3g} / fan_in), bias minus the mean of the input"


@scheme("balduzzi2017, section 4, for the idea that a layer starts linear")
def identity(layer: Layer, generator: torch.Generator) -> str:
    """The identity where a layer is square (at the kernel's centre), orthogonal rows elsewhere, bias 0."""
    if layer.weight.shape[0] != layer.weight.shape[1]:
        return orthogonal(layer, generator)
    with torch.no_grad():
        layer.weight.zero_()
        centre = (slice(None), slice(None), *(size // 2 for size in layer.weight.shape[2:]))
        layer.weight[centre] = torch.eye(layer.weight.shape[0], dtype=layer.weight.dtype, device=layer.weight.device)
    _no_bias(layer)
    return "identity, bias 0"
