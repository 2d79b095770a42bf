"""The time axis of fused recurrent layers: the gradient of every time step's input, the signal of every output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call
from photic.records.runs import TimeFacts

FUSED = {"lstm", "gru", "rnn_tanh", "rnn_relu"}


class TimeTap:
    """Listens to what one fused recurrent call passes back to each time step of its input.

    The call gets an alias of its input, so that other consumers of the same value are not counted; an input that
    carries no gradient gets one. Neither changes a bit of the result.
    """

    def __init__(self, call: Call, fault: Callable[[Exception], None] | None = None) -> None:
        self._fault = fault
        given: Tensor = call.args[0]
        alias = given.view_as(given) if given.requires_grad else given.detach().requires_grad_()
        alias.register_hook(self._hear)
        self._call: Call | None = replace(call, args=(alias, *call.args[1:]))
        packed = isinstance(call.args[1], Tensor) and call.args[1].dtype is torch.int64  # batch sizes, no state
        self.batch_sizes: list[int] | None = call.args[1].tolist() if packed else None
        self.time_axis = 1 if not packed and call.args[-1] is True else 0
        self.norms: tuple[float, ...] | None = None

    def run(self) -> Any:
        """Run the call, once, and let it go: it holds the alias, which holds this as its hook."""
        call, self._call = self._call, None
        if call is None:
            raise RuntimeError("the call has run already")
        return call.run()

    def _hear(self, gradient: Tensor) -> None:
        try:
            heard = self._by_step(gradient.detach())
            self.norms = heard if self.norms is None else self.norms
        except Exception as error:
            if self._fault is None:
                raise
            self._fault(error)

    def _by_step(self, values: Tensor) -> tuple[float, ...]:
        """Return the Euclidean norm at every time step, computed on numbers scaled to at most 1."""
        if self.batch_sizes is not None:
            steps = list(values.split(self.batch_sizes))
        else:
            steps = list(values.unbind(self.time_axis))
        largest = float(values.abs().max()) if values.numel() else 0.0
        if largest == 0.0 or largest != largest or largest == float("inf"):
            return tuple(float(torch.linalg.vector_norm(step)) for step in steps)
        return tuple(
            float(torch.linalg.vector_norm(step.to(torch.float64) / largest)) * largest if step.numel() else 0.0
            for step in steps
        )

    def facts(self, result: Any) -> TimeFacts | None:
        """Return what was read; call it after the backward pass, or after the forward pass for the signal alone."""
        output = result[0] if isinstance(result, (tuple, list)) else result
        if not isinstance(output, Tensor):
            return None
        return TimeFacts(signal_norms=self._by_step(output.detach()))


def tap(call: Call, fault: Callable[[Exception], None] | None = None) -> TimeTap | None:
    """Return a tap for a fused recurrent call while gradients are recorded; None for every other call.

    `fault` is told of errors of ours in the backward pass; without it they are raised.
    """
    if call.operation not in FUSED or not torch.is_grad_enabled() or len(call.args) < 3:
        return None
    given = call.args[0]
    usable = isinstance(given, Tensor) and type(given) is Tensor and given.is_floating_point() and given.ndim >= 2
    return TimeTap(call, fault) if usable else None
