"""Transformer layers of torch's: an attention in one is told by the layer how the batch lies."""

from __future__ import annotations

from torch import nn


def layer_around(model: nn.Module, name: str) -> nn.Module | None:
    """Return the transformer's layer that the module of this name is part of; None without one."""
    whole = model.get_submodule(name.rpartition(".")[0])
    return whole if isinstance(whole, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)) else None


def told_together(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the module, or all attentions of the layer that it is part of."""
    layer = layer_around(model, name)
    if layer is None:
        return [model.get_submodule(name)]
    return [part for part in layer.children() if isinstance(part, nn.MultiheadAttention)]
