"""Gates of fused recurrent layers: their pre-activations, computed again on a sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call
from photic.records.runs import GateFacts

FLAT = 6.0  # beyond it the logistic sigmoid's slope is below 1 % of its largest
EXAMPLES, STEPS = 16, 32
# Which quarters (of an LSTM) or thirds (of a GRU) of the weight's rows are sigmoid gates.
_GATES: dict[str, tuple[int, tuple[int, ...]]] = {"lstm": (4, (0, 1, 3)), "gru": (3, (0, 1))}


def gate_facts(call: Call, result: Any) -> GateFacts | None:
    """Return how the gates stand; None for other calls, packed sequences and projected states."""
    if call.operation not in _GATES or len(call.args) < 9 or not isinstance(call.args[0], Tensor):
        return None
    parts, gates = _GATES[call.operation]
    given, weights, biased, layers, first = call.args[0], call.args[2], call.args[3], call.args[4], call.args[8]
    if given.ndim != 3 or not isinstance(weights, (list, tuple)) or len(weights) < 2:
        return None
    with torch.no_grad():
        x_NTD = (given.detach() if first is True else given.detach().transpose(0, 1))[:EXAMPLES, :STEPS].float()
        into, across = weights[0].detach().float(), weights[1].detach().float()
        width = into.shape[0] // parts
        if across.shape[1] != width:
            return None
        z_NTH = x_NTD @ into.T
        if biased:
            z_NTH = z_NTH + weights[2].detach().float() + weights[3].detach().float()
        if layers == 1:  # the states in between are its output; of stacked layers they stay inside
            out: Tensor = result[0].detach()
            h_NTH = (out if first is True else out.transpose(0, 1))[:EXAMPLES, :STEPS, :width].float()
            z_NTH = z_NTH[:, 1:] + h_NTH[:, :-1] @ across.T
        chosen = torch.cat([z_NTH[..., gate * width : (gate + 1) * width] for gate in gates], -1)
        if chosen.numel() == 0 or not bool(torch.isfinite(chosen).all()):
            return None
        around = chosen - chosen.mean((0, 1))
        return GateFacts(
            shut=float((chosen < -FLAT).float().mean()),
            open=float((chosen > FLAT).float().mean()),
            deviation=float(around.square().mean().sqrt()),
        )
