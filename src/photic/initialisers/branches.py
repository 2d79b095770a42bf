"""Initialisers of residual networks: the depth decides how loud a branch may start."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from photic.initialisers.drawing import fans, fill_normal
from photic.initialisers.roles import Layer
from photic.initialisers.schemes import he


def _branches(layers: Sequence[Layer]) -> dict[int, list[Layer]]:
    found: dict[int, list[Layer]] = {}
    for layer in layers:
        if layer.branch is not None:
            found.setdefault(layer.branch, []).append(layer)
    if not found:
        raise ValueError(
            "no residual branch is seen (a sum of a value with a function of it); this scheme is for residual networks. "
            "Pass a batch, so that one forward pass shows the sums"
        )
    return found


def _zero(layer: Layer) -> None:
    with torch.no_grad():
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()


def fixup(layers: Sequence[Layer], generator: torch.Generator) -> list[str]:
    """Fixup without normalisation: the last layer of each branch and the classifier 0, the others He x L^(-1/(2m-2)).

    L branches of m layers each. The scalar biases and multipliers of the paper are the model's to have; biases become 0.
    A branch of a single layer has only its last one: 0. Source: zhang2019.
    """
    found = _branches(layers)
    said: list[str] = []
    for layer in layers:
        he(layer, generator)
        if layer.branch is not None:
            power = -1.0 / (2 * layer.length - 2) if layer.length > 1 else 0.0
            factor = 0.0 if layer.place == layer.length - 1 else len(found) ** power
            with torch.no_grad():
                layer.weight.mul_(factor)
            said.append(f"He times {factor:.3g}")
        elif layer.last:
            _zero(layer)
            said.append("0, the classifier")
        else:
            said.append("He")
    return said


def skip_init(layers: Sequence[Layer], generator: torch.Generator) -> list[str]:
    """SkipInit, zero-gamma: He, and the last layer of each branch 0, so that every block starts as the identity.

    Where the model has a scalar gate per branch (ReZero), set the gates to 0 instead. Source: bachlechner2021.
    """
    _branches(layers)
    said: list[str] = []
    for layer in layers:
        if layer.branch is not None and layer.place == layer.length - 1:
            _zero(layer)
            said.append("0: the block starts as the identity")
        else:
            said.append(he(layer, generator))
    return said


def gpt2(layers: Sequence[Layer], generator: torch.Generator, *, deviation: float = 0.02) -> list[str]:
    """GPT-2: N(0, 0.02^2), the last layer of each branch times 1 / sqrt(number of branches). Source: radford2019, 2.3."""
    found = _branches(layers)
    said: list[str] = []
    for layer in layers:
        ends = layer.branch is not None and layer.place == layer.length - 1
        factor = 1.0 / math.sqrt(len(found)) if ends else 1.0
        fill_normal(layer.weight, variance=(deviation * factor) ** 2, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        said.append(f"deviation {deviation * factor:.3g}")
    return said


def _scaled(layers: Sequence[Layer], generator: torch.Generator, factor: float) -> list[str]:
    """Xavier, with the weights on branches that carry values (not queries and keys) times `factor`."""
    _branches(layers)
    said: list[str] = []
    for layer in layers:
        fan_in, fan_out = fans(layer.weight)
        together = layer.branch is not None and layer.place == 0 and fan_out == 3 * fan_in  # query, key, value in one
        variance = 2.0 / (fan_in + (fan_out // 3 if together else fan_out))
        fill_normal(layer.weight, variance=variance, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if layer.branch is not None:
            with torch.no_grad():
                layer.weight[2 * fan_in :].mul_(factor) if together else layer.weight.mul_(factor)
        said.append(f"Xavier times {factor:.3g}" if layer.branch is not None else "Xavier")
    return said


def t_fixup(layers: Sequence[Layer], generator: torch.Generator) -> list[str]:
    """T-Fixup for transformer encoders without normalisation: value, output and feed-forward weights x 0.67 N^(-1/4).

    N blocks of two branches each. Embeddings are the model's to scale. Source: huang2020.
    """
    return _scaled(layers, generator, 0.67 * max(1.0, len(_branches(layers)) / 2.0) ** -0.25)


def deepnorm(layers: Sequence[Layer], generator: torch.Generator) -> list[str]:
    """DeepNorm for post-norm encoders or decoders: value, output and feed-forward weights Xavier x (8 N)^(-1/4).

    The skip must be multiplied by (2 N)^(1/4) in the model: `deepnorm_skip`. Source: wang2022deepnet.
    """
    return _scaled(layers, generator, (8.0 * max(1.0, len(_branches(layers)) / 2.0)) ** -0.25)


def deepnorm_skip(blocks: int) -> float:
    """Return alpha of LayerNorm(alpha x + f(x)) for an encoder or a decoder of so many blocks: (2 N)^(1/4)."""
    if blocks < 1:
        raise ValueError(f"expected at least one block, got {blocks}")
    return (2.0 * blocks) ** 0.25
