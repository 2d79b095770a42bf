"""Initialisers of recurrent layers: memory by the forget gate, orthogonal and identity recurrences."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from photic.initialisers.drawing import fill_orthogonal
from photic.theory.memory import chrono_bias

_KINDS = (nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def _recurrent(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, kinds)]
    if not found:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{type(model).__name__} holds no {names} to initialise")
    return found


def _named(module: nn.Module, start: str) -> Iterator[Tensor]:
    for name, parameter in module.named_parameters(recurse=False):
        if name.startswith(start):
            yield parameter


def forget_bias_for(steps: int) -> float:
    """Return the bias of a forget gate that keeps a state for about so many steps, ln(steps), to two digits; 1 at least (jozefowicz2015)."""
    return max(1.0, round(math.log(steps), 2)) if steps > 0 else 1.0


def lstm_forget(model: nn.Module, generator: torch.Generator, *, bias: float = 1.0) -> list[str]:
    """Set the forget gates' bias of every LSTM: memory lasts about exp(bias) + 1/2 steps (gers2000; jozefowicz2015).

    torch's layers have two biases that are added: one is set and the other zeroed there. The forget gate is the second
    quarter.
    """
    said: list[str] = []
    for name, module in _recurrent(model, (nn.LSTM, nn.LSTMCell)):
        hidden = int(getattr(module, "hidden_size", 0))
        with torch.no_grad():
            for given in _named(module, "bias_ih"):
                given[hidden : 2 * hidden] = bias
            for given in _named(module, "bias_hh"):
                given[hidden : 2 * hidden] = 0.0
        said.append(f"{name}: forget bias {bias:g}")
    return said


def chrono(model: nn.Module, generator: torch.Generator, *, longest: int = 100) -> list[str]:
    """Spread the memory of LSTM and GRU units up to `longest` steps: b_f = ln U(1, T - 1), b_i = -b_f (tallec2018).

    A GRU has one gate for both: its update gate, torch's second third, keeps the state and gets b_f.
    """
    _, high = chrono_bias(longest)
    said: list[str] = []
    for name, module in _recurrent(model, (nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell)):
        hidden = int(getattr(module, "hidden_size", 0))
        lstm = isinstance(module, (nn.LSTM, nn.LSTMCell))
        with torch.no_grad():
            for given in _named(module, "bias_ih"):
                times = 1.0 + torch.rand(hidden, generator=generator) * (math.exp(high) - 1.0)
                given[hidden : 2 * hidden] = times.log().to(given)
                if lstm:
                    given[:hidden] = -times.log().to(given)
            for given in _named(module, "bias_hh"):
                given[: 2 * hidden] = 0.0
        said.append(f"{name}: memory of 1 to {longest - 1} steps")
    return said


def orthogonal_recurrence(model: nn.Module, generator: torch.Generator, *, gain: float = 1.0) -> list[str]:
    """Make each recurrent matrix orthogonal, gate by gate (saxe2014; henaff2016)."""
    return _matrices(model, generator, "orthogonal", gain)


def identity_recurrence(model: nn.Module, generator: torch.Generator) -> list[str]:
    """IRNN: the recurrent matrices of plain RNNs become the identity, biases 0; made for ReLU (le2015)."""
    return _matrices(model, generator, "identity", 1.0)


def _matrices(model: nn.Module, generator: torch.Generator, kind: str, gain: float) -> list[str]:
    said: list[str] = []
    for name, module in _recurrent(model, (nn.RNN, nn.RNNCell) if kind == "identity" else _KINDS):
        hidden = int(getattr(module, "hidden_size", 0))
        with torch.no_grad():
            for weight in _named(module, "weight_hh"):
                for gate in weight.split(hidden):
                    if kind == "identity":
                        gate.copy_(torch.eye(*gate.shape))
                    else:
                        fill_orthogonal(gate, gain=gain, generator=generator)
            if kind == "identity":
                for given in _named(module, "bias"):
                    given.zero_()
        said.append(f"{name}: {kind} recurrence")
    return said
