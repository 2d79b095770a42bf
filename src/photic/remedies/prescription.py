"""Prescription: what a remedy changes, as plain data; it can be carried out on a model and written as a patch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# How a layer's weights are drawn; all normal with mean 0.
#   xavier    Var[w] = 2 / (fan_in + fan_out), bias 0
#   he        Var[w] = 2 / fan_in, bias 0
#   lecun     Var[w] = 1 / fan_in, bias 0
#   centred   Var[w] = scale / fan_in, bias = shift * (sum of the unit's weights)
Scheme = Literal["xavier", "he", "lecun", "centred"]


@dataclass(frozen=True)
class LayerInitialisation:
    """New weights for one layer.

    Attributes:
        site: name of the layer's site.
        weight, bias: names of its parameters; `bias` is '' without one.
        scheme: how they are drawn.
        scale, shift: of the scheme `centred`.
    """

    site: str
    weight: str
    bias: str
    scheme: Scheme
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Prescription:
    """What is changed.

    Attributes:
        layers: new weights, layer by layer.
        activations: site name to the operation that takes its place: `{"/sigmoid#1": "tanh"}`.
        normalised: sites before which the signal is normalised over its features (LayerNorm without parameters).
        removed: sites that hand their input through: a `detach` that severs.
        clip: largest norm of the gradient at a step; None leaves it as it is.
        rate: factor on the learning rate; 1 leaves it as it is.
        recurrence: how recurrent layers are drawn anew: `chrono` spreads the memory of LSTM and GRU units over
            `longest` steps, `orthogonal` makes recurrent matrices orthogonal; '' leaves them as they are.
        why: one line for a comment in the patched source.
    """

    layers: tuple[LayerInitialisation, ...] = ()
    activations: dict[str, str] = field(default_factory=dict[str, str])
    normalised: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    clip: float | None = None
    rate: float = 1.0
    recurrence: Literal["", "chrono", "orthogonal"] = ""
    longest: int = 0
    why: str = ""
