"""Stable logarithms: log f(x) computed as one function of x, where f(x) alone overflows or rounds to 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from photic.probes.calls import Call

LOG_TWO = math.log(2.0)


def _log_cosh(x: Tensor) -> Tensor:
    return x.abs() + F.softplus(-2.0 * x.abs()) - LOG_TWO


def _log_i0(x: Tensor) -> Tensor:
    return torch.special.i0e(x).log() + x.abs()


def _log_erfc(x: Tensor) -> Tensor:
    """erfc(x) = erfcx(x) exp(-x^2); erfcx overflows far below 0, where erfc does not."""
    above = x.clamp_min(0.0)
    return torch.where(x > 0.0, torch.special.erfcx(above).log() - above.square(), torch.erfc(x.clamp_max(0.0)).log())


def _log_det(x: Tensor) -> Tensor:
    return torch.linalg.slogdet(x)[1]


# The operation whose result a logarithm is taken of, to that logarithm, with further arguments as the operation has them.
STABLE: dict[str, Callable[..., Tensor]] = {
    "exp": lambda x: x,
    "i0": _log_i0,
    "special_i0": _log_i0,
    "cosh": _log_cosh,
    "erfc": _log_erfc,
    "special_erfc": _log_erfc,
    "special_ndtr": torch.special.log_ndtr,
    "sigmoid": F.logsigmoid,
    "special_expit": F.logsigmoid,
    "softmax": torch.log_softmax,
    "det": _log_det,
    "linalg_det": _log_det,
}

# The same in words that can be pasted, of x.
WORDS = {
    "exp": "x",
    "i0": "torch.special.i0e(x).log() + x.abs()",
    "special_i0": "torch.special.i0e(x).log() + x.abs()",
    "cosh": "x.abs() + torch.nn.functional.softplus(-2 * x.abs()) - 0.6931471805599453",
    "erfc": "torch.special.erfcx(x).log() - x.square()  # for x > 0; else torch.erfc(x).log()",
    "special_erfc": "torch.special.erfcx(x).log() - x.square()  # for x > 0; else torch.erfc(x).log()",
    "special_ndtr": "torch.special.log_ndtr(x)",
    "sigmoid": "torch.nn.functional.logsigmoid(x)",
    "special_expit": "torch.nn.functional.logsigmoid(x)",
    "softmax": "torch.log_softmax(x, dim)",
    "det": "torch.linalg.slogdet(x)[1]",
    "linalg_det": "torch.linalg.slogdet(x)[1]",
}


class StableLog:
    """Remembers what a function is given, and gives its logarithm where that is asked for."""

    def __init__(self, operation: str, factor: float = 1.0) -> None:
        self.logarithm, self.more = STABLE[operation], math.log(factor)
        self.given: list[Tensor] = []

    def enter(self, call: Call) -> Any:
        """Call the function, and keep what its logarithm is."""
        self.given[:] = [self.logarithm(*call.args, **call.kwargs) + self.more]
        return call.run()

    def leave(self, call: Call) -> Any:
        """Return the logarithm; of base 2 or 10 where that is called."""
        base = {"log2": LOG_TWO, "log10": math.log(10.0)}.get(call.operation, 1.0)
        return self.given.pop() / base if self.given else call.run()
