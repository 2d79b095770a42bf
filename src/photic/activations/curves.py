"""The activations of torch.nn, one function each; a function here is found by its torch name."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from photic.activations.activation import Activation, Array, Function, flat_where

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _make(
    name: str,
    value: Function,
    slope: Function,
    low: float = -math.inf,
    high: float = math.inf,
    kinks: tuple[float, ...] = (),
    **closed: object,
) -> Activation:
    return Activation(name, value, slope, low, high, kinks, flat_where(slope), **closed)  # pyright: ignore


def _logistic(x: Array) -> Array:
    return special.expit(x)


def identity() -> Activation:
    """x."""
    return _make("identity", lambda x: x, np.ones_like, mean_square=lambda q: q, slope_square=lambda q: 1.0)


def relu() -> Activation:
    """max(x, 0); V = q/2, D = 1/2 (he2015, section 2.2)."""
    return _make(
        "relu",
        lambda x: np.maximum(x, 0.0),
        lambda x: (x > 0.0).astype(np.float64),
        0.0,
        kinks=(0.0,),
        mean_square=lambda q: q / 2.0,
        slope_square=lambda q: 0.5,
        source="he2015, section 2.2",
    )


def leaky_relu(negative_slope: float = 0.01) -> Activation:
    """x above 0, a x below; V = (1 + a^2) q / 2 (he2015, equation 15)."""
    a = float(negative_slope)
    return _make(
        f"leaky_relu({a:g})",
        lambda x: np.where(x > 0.0, x, a * x),
        lambda x: np.where(x > 0.0, 1.0, a),
        kinks=(0.0,),
        mean_square=lambda q: (1.0 + a * a) * q / 2.0,
        slope_square=lambda q: (1.0 + a * a) / 2.0,
        source="he2015, equation 15",
    )


def prelu(negative_slope: float = 0.25) -> Activation:
    """Leaky ReLU with a learned slope; here at its initial value."""
    return leaky_relu(negative_slope)


def rrelu(lower: float = 0.125, upper: float = 1.0 / 3.0) -> Activation:
    """Leaky ReLU with a random slope; here with the mean slope that evaluation uses."""
    return leaky_relu((float(lower) + float(upper)) / 2.0)


def relu6() -> Activation:
    """min(max(x, 0), 6)."""
    return hardtanh(0.0, 6.0)


def hardtanh(min_val: float = -1.0, max_val: float = 1.0) -> Activation:
    """x clipped to [min_val, max_val]."""
    low, high = float(min_val), float(max_val)
    closed: dict[str, object] = {}
    if low == -high and math.isfinite(high):

        def mean_square(q: float) -> float:
            s = q / (high * high)
            inner = special.erf(1.0 / math.sqrt(2.0 * s))
            edge = math.sqrt(2.0 / (math.pi * s)) * math.exp(-1.0 / (2.0 * s))
            return high * high * (s * (inner - edge) + 1.0 - inner)

        closed = {
            "mean_square": mean_square,
            "slope_square": lambda q: float(special.erf(high / math.sqrt(2.0 * q))),
        }
    kinks = tuple(k for k in (low, high) if math.isfinite(k))
    return _make(
        f"hardtanh({low:g},{high:g})",
        lambda x: np.clip(x, low, high),
        lambda x: ((x > low) & (x < high)).astype(np.float64),
        low,
        high,
        kinks,
        **closed,
    )


def clamp(min: float = -math.inf, max: float = math.inf) -> Activation:
    """x clipped to [min, max]; one of them may be missing."""
    return relu() if (min, max) == (0.0, math.inf) else hardtanh(min, max)


def clamp_min(min: float = 0.0) -> Activation:
    """max(x, min)."""
    return clamp(min=float(min))


def clamp_max(max: float = 0.0) -> Activation:
    """min(x, max)."""
    return clamp(max=float(max))


def tanh() -> Activation:
    """Hyperbolic tangent."""
    return _make("tanh", np.tanh, lambda x: 1.0 / np.square(np.cosh(np.clip(x, -300, 300))), -1.0, 1.0)


def sigmoid() -> Activation:
    """1 / (1 + exp(-x)): mean 1/2, slope at most 1/4."""
    return _make("sigmoid", _logistic, lambda x: _logistic(x) * _logistic(-x), 0.0, 1.0)


def softsign() -> Activation:
    """x / (1 + |x|)."""
    return _make("softsign", lambda x: x / (1.0 + np.abs(x)), lambda x: (1.0 + np.abs(x)) ** -2.0, -1.0, 1.0, (0.0,))


def erf() -> Activation:
    """Error function; V = (2/pi) asin(2q / (1 + 2q)), D = (4/pi) / sqrt(1 + 4q)."""
    return _make(
        "erf",
        special.erf,
        lambda x: 2.0 / math.sqrt(math.pi) * np.exp(-np.square(x)),
        -1.0,
        1.0,
        mean_square=lambda q: 2.0 / math.pi * math.asin(2.0 * q / (1.0 + 2.0 * q)),
        slope_square=lambda q: 4.0 / math.pi / math.sqrt(1.0 + 4.0 * q),
    )


def _elu_mean_square(q: float, a: float) -> float:
    second = special.erfcx(math.sqrt(2.0 * q)) / 2.0  # exp(2q) erfc(sqrt(2q)) / 2 without overflow
    first = special.erfcx(math.sqrt(q / 2.0))
    return q / 2.0 + a * a * (second - first + 0.5)


def elu(alpha: float = 1.0) -> Activation:
    """x above 0, alpha (exp(x) - 1) below."""
    a = float(alpha)
    return _make(
        f"elu({a:g})",
        lambda x: np.where(x > 0.0, x, a * np.expm1(np.minimum(x, 0.0))),
        lambda x: np.where(x > 0.0, 1.0, a * np.exp(np.minimum(x, 0.0))),
        -a,
        kinks=(0.0,),
        mean_square=lambda q: _elu_mean_square(q, a),
        slope_square=lambda q: 0.5 + a * a * float(special.erfcx(math.sqrt(2.0 * q))) / 2.0,
    )


def celu(alpha: float = 1.0) -> Activation:
    """x above 0, alpha (exp(x / alpha) - 1) below."""
    a = float(alpha)
    return _make(
        f"celu({a:g})",
        lambda x: np.where(x > 0.0, x, a * np.expm1(np.minimum(x, 0.0) / a)),
        lambda x: np.where(x > 0.0, 1.0, np.exp(np.minimum(x, 0.0) / a)),
        -a,
        kinks=(0.0,),
    )


def selu() -> Activation:
    """Scaled ELU whose moments at q = 1 are those of a standard normal (klambauer2017, section 2)."""
    inner, s = elu(_SELU_ALPHA), _SELU_SCALE
    return _make(
        "selu",
        lambda x: s * inner.value(x),
        lambda x: s * inner.slope(x),
        -s * _SELU_ALPHA,
        kinks=(0.0,),
        mean_square=lambda q: s * s * _elu_mean_square(q, _SELU_ALPHA),
        slope_square=lambda q: s * s * (0.5 + _SELU_ALPHA**2 * float(special.erfcx(math.sqrt(2.0 * q))) / 2.0),
        source="klambauer2017, section 2",
    )


def gelu(approximate: str = "none") -> Activation:
    """x Phi(x) (hendrycks2016), or its tanh approximation."""
    if approximate == "tanh":
        c = math.sqrt(2.0 / math.pi)

        def inside(x: Array) -> Array:
            return np.tanh(c * (x + 0.044715 * x**3))

        def slope(x: Array) -> Array:
            t = inside(x)
            return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x)

        return _make("gelu(tanh)", lambda x: 0.5 * x * (1.0 + inside(x)), slope, -0.17)

    def mean_square(q: float) -> float:
        r = math.asin(q / (1.0 + q)) + 2.0 * q / ((1.0 + q) * math.sqrt(1.0 + 2.0 * q))
        return q / 4.0 + q / (2.0 * math.pi) * r

    def slope_square(q: float) -> float:
        r = math.asin(q / (1.0 + q)) + q * (5.0 * q + 3.0) / ((1.0 + q) * (1.0 + 2.0 * q) ** 1.5)
        return 0.25 + r / (2.0 * math.pi)

    return _make(
        "gelu",
        lambda x: x * special.ndtr(x),
        lambda x: special.ndtr(x) + x * np.exp(-np.square(x) / 2.0) / math.sqrt(2.0 * math.pi),
        -0.17,
        mean_square=mean_square,
        slope_square=slope_square,
        source="hendrycks2016, section 2",
    )


def silu() -> Activation:
    """x sigmoid(x), also called swish (ramachandran2017)."""
    return _make(
        "silu",
        lambda x: x * _logistic(x),
        lambda x: _logistic(x) * (1.0 + x * _logistic(-x)),
        -0.2785,
        source="ramachandran2017, section 3",
    )


def mish() -> Activation:
    """x tanh(softplus(x)) (misra2019)."""

    def slope(x: Array) -> Array:
        t = np.tanh(np.logaddexp(0.0, x))
        return t + x * (1.0 - t * t) * _logistic(x)

    return _make("mish", lambda x: x * np.tanh(np.logaddexp(0.0, x)), slope, -0.3088, source="misra2019, equation 1")


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Activation:
    """log(1 + exp(beta x)) / beta."""
    b = float(beta)
    return _make(f"softplus({b:g})", lambda x: np.logaddexp(0.0, b * x) / b, lambda x: _logistic(b * x), 0.0)


def logsigmoid() -> Activation:
    """log sigmoid(x)."""
    return _make("logsigmoid", lambda x: -np.logaddexp(0.0, -x), lambda x: _logistic(-x), high=0.0)


def hardsigmoid() -> Activation:
    """x / 6 + 1/2 clipped to [0, 1]."""
    return _make(
        "hardsigmoid",
        lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
        lambda x: ((x > -3.0) & (x < 3.0)) / 6.0,
        0.0,
        1.0,
        (-3.0, 3.0),
    )


def hardswish() -> Activation:
    """x hardsigmoid(x)."""
    return _make(
        "hardswish",
        lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
        lambda x: np.where(x < -3.0, 0.0, np.where(x > 3.0, 1.0, x / 3.0 + 0.5)),
        -0.375,
        kinks=(-3.0, 3.0),
    )


def tanhshrink() -> Activation:
    """x - tanh(x)."""
    return _make("tanhshrink", lambda x: x - np.tanh(x), lambda x: np.square(np.tanh(x)))


def softshrink(lambd: float = 0.5) -> Activation:
    """sign(x) max(|x| - lambda, 0)."""
    edge = float(lambd)
    return _make(
        f"softshrink({edge:g})",
        lambda x: np.sign(x) * np.maximum(np.abs(x) - edge, 0.0),
        lambda x: (np.abs(x) > edge).astype(np.float64),
        kinks=(-edge, edge),
    )


def hardshrink(lambd: float = 0.5) -> Activation:
    """x where |x| > lambda, else 0."""
    edge = float(lambd)
    return _make(
        f"hardshrink({edge:g})",
        lambda x: np.where(np.abs(x) > edge, x, 0.0),
        lambda x: (np.abs(x) > edge).astype(np.float64),
        kinks=(-edge, edge),
    )


def threshold(threshold: float = 0.0, value: float = 0.0) -> Activation:
    """x above the threshold, else a constant."""
    edge, constant = float(threshold), float(value)
    return _make(
        f"threshold({edge:g},{constant:g})",
        lambda x: np.where(x > edge, x, constant),
        lambda x: (x > edge).astype(np.float64),
        kinks=(edge,),
    )


def sin() -> Activation:
    """Sine."""
    return _make("sin", np.sin, np.cos, -1.0, 1.0)
