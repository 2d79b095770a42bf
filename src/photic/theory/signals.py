"""Expected signals: how mean and mean square pass forward through each kind of operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from photic.activations import find
from photic.records.runs import SiteReading
from photic.records.sites import Site
from photic.theory.moments import mean, mean_square, slope_square

MOVES = {
    "view", "reshape", "transpose", "permute", "flatten", "unflatten", "squeeze", "unsqueeze", "T", "mT", "contiguous",
    "getitem", "chunk", "split", "unbind", "select", "narrow", "clone", "to", "float", "half", "bfloat16", "double",
    "movedim", "swapaxes", "split_with_sizes", "tensor_split", "view_as", "reshape_as", "type_as", "t", "flip", "roll",
}  # fmt: skip


class Signal(NamedTuple):
    """First and second moment of the numbers at a site, and their variance over the examples, unit by unit.

    The variance over examples is what BatchNorm divides by. It is smaller than `mean_square - mean^2` where
    units differ in their mean: behind a ReLU by the factor 1 - 1/pi, from which BatchNorm's pi / (pi - 1) comes.
    """

    mean: float
    mean_square: float
    spread: float

    @classmethod
    def of(cls, mean: float, mean_square: float) -> Signal:
        """A signal whose units do not differ in their mean."""
        return cls(mean, mean_square, max(mean_square - mean * mean, 0.0))


class Passage(NamedTuple):
    """What an operation does: its output's signal, and by what factor it multiplies the gradient norm, per input.

    Without a signal the measured one is taken: pooling passes gradients by a law, signals by how alike they are.
    """

    signal: Signal | None
    gains: tuple[float, ...]


class Scene(NamedTuple):
    """One operation with what enters it.

    `scale` and `shift` are root mean squares of a normalisation's gamma and beta, (1, 0) without them.
    `sizes` are the numbers of elements of the inputs. `border` is the share of a convolution's mean square that zero
    padding leaves. `apart` tells that the inputs come from different weights, so that they are independent.
    """

    site: Site
    reading: SiteReading
    inputs: Sequence[Signal]
    sizes: Sequence[int]
    scale: float = 1.0
    shift: float = 0.0
    border: float = 1.0
    apart: bool = False


Rule = Callable[[Scene], "Passage | str"]


def passage(scene: Scene) -> Passage | str:
    """Return what theory expects of the operation, or in words why it expects nothing."""
    rule = _BY_OPERATION.get(scene.site.operation) or _BY_KIND.get(scene.site.kind)
    if rule is None:
        return f"theory has no model of `{scene.site.operation}`"
    return rule(scene)


def _weight(scene: Scene) -> Passage | str:
    facts = scene.reading.weight
    if facts is None:
        return f"`{scene.site.operation}` has no single weight matrix"
    if len(scene.inputs) != 1:
        return f"`{scene.site.operation}` of {len(scene.inputs)} signals is not modelled"
    m, second, spread = scene.inputs[0]
    quenched = scene.border * m * m * facts.row_sum_square + 2.0 * m * facts.row_sum_bias + facts.bias_square
    square_sum = facts.row_square_sum * scene.border
    q = quenched + square_sum * max(second - m * m, 0.0)
    return Passage(Signal(0.0, q, square_sum * spread), (math.sqrt(facts.row_square_sum),))


def _embedding(scene: Scene) -> Passage | str:
    facts = scene.reading.weight
    if facts is None:
        return "the table of this embedding was not read"
    return Passage(Signal.of(facts.mean, facts.variance + facts.mean**2), ())


def _activation(scene: Scene) -> Passage | str:
    activation = find(scene.site.operation, scene.site.settings)
    if activation is None or len(scene.inputs) != 1:
        return f"theory has no model of `{scene.site.operation}`"
    m, second, spread = scene.inputs[0]
    variance = max(second - m * m, 0.0)
    if not math.isfinite(variance):
        return "the signal is not finite"
    gain = math.sqrt(slope_square(activation, mean=m, variance=variance).value)
    first = mean(activation, mean=m, variance=variance).value
    square = mean_square(activation, mean=m, variance=variance).value
    varying = min(spread / variance, 1.0) if variance > 0.0 else 0.0
    return Passage(Signal(first, square, max(square - first * first, 0.0) * varying), (gain,))


def _shape(scene: Scene) -> Passage | str:
    if scene.site.operation not in MOVES or len(scene.inputs) != 1:
        return f"`{scene.site.operation}` repeats, drops or mixes values; theory does not follow it"
    return Passage(scene.inputs[0], (1.0,))


def _padding(scene: Scene) -> Passage | str:
    """Zeros thin the signal out; a circular or mirrored border repeats it, and its gradients add in squares."""
    if len(scene.inputs) != 1 or scene.site.settings.get("value", 0) != 0 or not scene.sizes[0]:
        return "padding with a number other than 0 is not modelled"
    if scene.site.settings.get("mode", "constant") != "constant":
        return Passage(scene.inputs[0], (1.0,))
    share = min(1.0, scene.sizes[0] / math.prod(scene.site.shape))
    m, second, spread = scene.inputs[0]
    return Passage(Signal(m * share, second * share, spread * share), (math.sqrt(share),))


def _pooling(scene: Scene) -> Passage | str:
    """Means hand each input its share, sums all, maxima one input all of it: exact for the norm of the gradient."""
    operation, settings = scene.site.operation, scene.site.settings
    if len(scene.inputs) != 1 or not scene.sizes[0]:
        return f"`{operation}` of several signals is not modelled"
    share = math.prod(scene.site.shape) / scene.sizes[0]
    overlapping = settings.get("stride", settings.get("kernel_size")) != settings.get("kernel_size")
    if operation == "sum":
        return Passage(None, (1.0 / math.sqrt(share),)) if share > 0.0 else "a sum of nothing"
    if operation in ("mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"):
        return Passage(None, (math.sqrt(share),))
    if operation.startswith("avg_pool") and not overlapping:
        return Passage(None, (math.sqrt(share),))
    if operation.startswith(("max_pool", "adaptive_max_pool", "amax", "max")) and not overlapping:
        return Passage(None, (1.0,))
    return f"theory has no model of `{operation}` with overlapping windows"


def _concatenation(scene: Scene) -> Passage | str:
    whole = sum(scene.sizes)
    if not whole or not scene.inputs:
        return "nothing predicted is joined here"
    shares = [size / whole for size in scene.sizes]
    first = sum(share * signal.mean for share, signal in zip(shares, scene.inputs, strict=True))
    second = sum(share * signal.mean_square for share, signal in zip(shares, scene.inputs, strict=True))
    spread = sum(share * signal.spread for share, signal in zip(shares, scene.inputs, strict=True))
    return Passage(Signal(first, second, spread), tuple(math.sqrt(share) for share in shares))


def _sum(scene: Scene) -> Passage | str:
    sign = -1.0 if scene.site.operation == "sub" else 1.0
    number = scene.site.settings.get("other")
    if len(scene.inputs) == 1 and isinstance(number, (int, float)):
        m, second, spread = scene.inputs[0]
        shift = sign * number
        if scene.site.settings.get("reflected"):
            m, shift = sign * m, float(number)
        return Passage(Signal(m + shift, second + 2.0 * m * shift + shift * shift, spread), (1.0,))
    if len(scene.inputs) != 2:
        return "something is added that is no signal of the network"
    (m1, v1, s1), (m2, v2, s2) = scene.inputs
    return Passage(Signal(m1 + sign * m2, v1 + v2 + 2.0 * sign * m1 * m2, s1 + s2), (1.0, 1.0))


def _scaling(scene: Scene) -> Passage | str:
    number = scene.site.settings.get("other")
    if len(scene.inputs) == 2 and scene.site.operation == "mul":
        return _gate(scene)
    if len(scene.inputs) != 1 or not isinstance(number, (int, float)) or scene.site.settings.get("reflected"):
        return "a product of signals is not modelled"
    if scene.site.operation == "div":
        if number == 0:
            return "division by zero"
        number = 1.0 / number
    m, second, spread = scene.inputs[0]
    square = number * number
    return Passage(Signal(m * number, second * square, spread * square), (abs(float(number)),))


def _gate(scene: Scene) -> Passage | str:
    """A product of two independent signals: second moments multiply, and each passes the other's gradient."""
    if not scene.apart or len(set(scene.sizes)) != 1:
        return "a product of signals that are not independent is not modelled"
    (m1, v1, s1), (m2, v2, s2) = scene.inputs
    spread = v1 * v2 - (v1 - s1) * (v2 - s2)  # over examples: what is left without the parts that are fixed per unit
    return Passage(Signal(m1 * m2, v1 * v2, spread), (math.sqrt(v2), math.sqrt(v1)))


def _dropout(scene: Scene) -> Passage | str:
    p = float(scene.site.settings.get("p", 0.5)) if scene.site.settings.get("train", 1) else 0.0
    if len(scene.inputs) != 1 or p >= 1.0:
        return "dropout of everything"
    m, second, spread = scene.inputs[0]
    return Passage(Signal(m, second / (1.0 - p), spread + second * p / (1.0 - p)), (1.0 / math.sqrt(1.0 - p),))


def _batch_normalisation(scene: Scene) -> Passage | str:
    if not scene.site.settings.get("training", 1):
        return "batch norm in eval mode divides by stored statistics"
    return _normalised(scene, scene.inputs[0].spread if scene.inputs else 0.0)


def _centred_normalisation(scene: Scene) -> Passage | str:
    return _normalised(scene, scene.inputs[0].mean_square - scene.inputs[0].mean ** 2 if scene.inputs else 0.0)


def _rms_normalisation(scene: Scene) -> Passage | str:
    return _normalised(scene, scene.inputs[0].mean_square if scene.inputs else 0.0)


def _normalised(scene: Scene, variance: float) -> Passage | str:
    if variance <= 0.0 or not math.isfinite(variance):
        return "the signal has no variance to normalise"
    made = scene.scale**2 + scene.shift**2
    return Passage(Signal(0.0, made, scene.scale**2), (scene.scale / math.sqrt(variance),))


_BY_OPERATION: dict[str, Rule] = {
    "embedding": _embedding,
    "cat": _concatenation,
    "pad": _padding,
    "sum": _pooling,
    "mul": _scaling,
    "div": _scaling,
    "rms_norm": _rms_normalisation,
    "batch_norm": _batch_normalisation,
}
_BY_KIND: dict[str, Rule] = {
    "weight": _weight,
    "activation": _activation,
    "shape": _shape,
    "sum": _sum,
    "dropout": _dropout,
    "normalisation": _centred_normalisation,
    "pooling": _pooling,
}
