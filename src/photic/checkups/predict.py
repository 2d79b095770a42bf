"""Predict: what theory expects of a network, from one forward pass."""

from __future__ import annotations

from typing import Any

from torch import nn

from photic.probes.audit import look
from photic.records.predictions import Prediction
from photic.theory.network import predict_run


def predict(model: nn.Module, batch: Any) -> Prediction:
    """Return what mean-field theory expects at every operation of the network; no backward pass is made.

    The architecture and the weights' variances are read in one forward pass on `batch`; the model is left as it was.
    Where theory has no model of an operation, the prediction restarts from the signal measured there.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(4, 4, bias=False)
        >>> _ = torch.nn.init.eye_(layer.weight)
        >>> [(site.site, site.transport) for site in predict(layer, torch.ones(8, 4)).sites]
        [('/linear#1', 1.0)]
    """
    return predict_run(look(model, batch))
