"""Normalising: calls that are given their signal normalised, before a layer or where a residual branch begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.calls import Call
from photic.probes.substitution import Substitute
from photic.remedies.prescription import Prescription


def hand_through(call: Call) -> Any:
    """Return the first argument in the place of what the call makes of it."""
    return call.args[0]


def pre_normalised(prescription: Prescription, model: nn.Module) -> dict[str, Substitute]:
    """Return the substitutes that move each normalisation of a sum before its branch."""
    found: dict[str, Substitute] = {}
    for name, entrances in prescription.pre_norm:
        module = model.get_submodule(name)
        found |= {**dict.fromkeys(entrances, PreNormalised(module)), name: hand_through}
        if name == prescription.pre_norm[-1][0]:
            found[name] = _layer_normalised if isinstance(module, nn.LayerNorm) else _rms_normalised
    return found


def _layer_normalise(call: Call) -> Any:
    return _on_signal(call, lambda x: F.group_norm(x, 1) if x.ndim >= 4 else F.layer_norm(x, x.shape[-1:]))


def _rms_normalise(call: Call) -> Any:
    return _on_signal(call, _rms)


def _rms(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[1:] if x.ndim >= 4 else x.shape[-1:])


def _on_signal(call: Call, normalise: Callable[[Tensor], Tensor]) -> Any:
    """Make the call on its signal normalised: the first tensor that is no parameter; of `weight @ x` the features are its rows."""
    packed = call.operation == "einsum" and isinstance(call.args[-1], (tuple, list))  # the operands in one tuple
    args = list(call.args[-1] if packed else call.args)
    place = next((i for i, one in enumerate(args) if isinstance(one, Tensor) and not isinstance(one, nn.Parameter)), 0)
    rows = place == 1 and call.operation in ("matmul", "mm", "bmm") and args[1].ndim > 1
    args[place] = normalise(args[place].transpose(-1, -2)).transpose(-1, -2) if rows else normalise(args[place])
    return call.function(call.args[0], tuple(args)) if packed else call.function(*args, **call.kwargs)


NORMALISE: dict[str, Substitute] = {"layer": _layer_normalise, "rms": _rms_normalise}


class BatchNormalise:
    """Batch normalisation without parameters before a call; its running statistics serve while the model evaluates.

    `training` is set by the forward that it is part of.
    """

    training = True

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.variance: Tensor | None = None

    def __call__(self, call: Call) -> Any:
        """Call the site on normalised units."""
        x: Tensor = call.args[0]
        flat = x if x.ndim in (2, 4, 5) else x.flatten(0, -2)  # a sequence's last axis holds its features
        if self.mean is None or self.variance is None:
            self.mean, self.variance = flat.new_zeros(flat.shape[1]), flat.new_ones(flat.shape[1])
        normal = F.batch_norm(flat, self.mean, self.variance, training=self.training)
        return call.function(normal.reshape(x.shape), *call.args[1:], **call.kwargs)


class PreNormalised:
    """Enters a residual branch with the stream normalised by the module that normalised the sum before."""

    def __init__(self, normalisation: nn.Module) -> None:
        self.normalisation: Any = normalisation

    def __call__(self, call: Call) -> Any:
        """Call the site on the normalised stream."""
        own, x = self.normalisation, call.args[0]
        if isinstance(own, nn.LayerNorm):
            x = F.layer_norm(x, own.normalized_shape, own.weight, own.bias, own.eps)
        else:
            x = F.rms_norm(x, own.normalized_shape, own.weight, own.eps)
        return call.function(x, *call.args[1:], **call.kwargs)


class Branch:
    """Adds to the stream that was kept what the call gives, normalised and times a share; where the shapes agree."""

    def __init__(self, inner: Substitute | None, kept: list[Tensor], share: float) -> None:
        self.inner, self.kept, self.share = inner, kept, share

    def __call__(self, call: Call) -> Any:
        """Return stream + share * norm(what the call gives)."""
        value: Any = call.run() if self.inner is None else self.inner(call)
        stream, self.kept[:] = list(self.kept), []
        same = len(stream) == 1 and isinstance(value, Tensor) and stream[0].shape == value.shape
        return stream[0] + self.share * _rms(value) if same else value


def _layer_normalised(call: Call) -> Any:
    return F.layer_norm(call.args[0], call.args[0].shape[-1:])


def _rms_normalised(call: Call) -> Any:
    return F.rms_norm(call.args[0], call.args[0].shape[-1:])
