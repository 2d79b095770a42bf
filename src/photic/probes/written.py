"""What a model writes into its parameters past autograd: `weight.data = made`, or `weight.copy_(made)` under no_grad."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from torch import Tensor, nn

from photic.probes.calls import Call


class Written:
    """Knows which parameters a call writes into; a layer that uses one then takes what was written."""

    def __init__(self) -> None:
        self._others: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}  # `weight.data` -> weight

    def taken(self, call: Call, result: object) -> None:
        """Remember a tensor that shares the numbers of a parameter."""
        own = call.args[0] if call.args else None
        if call.operation in ("data", "detach") and isinstance(own, nn.Parameter) and isinstance(result, Tensor):
            self._others[id(result)] = (weakref.ref(result), own)

    def assigned(self, call: Call) -> list[Tensor]:
        """Return the parameter whose `.data` the call sets; a setter returns nothing."""
        return [call.args[0]] if call.operation == "set" and isinstance(call.args[0], nn.Parameter) else []

    def into(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the parameters that are changed where these tensors are."""
        found = [tensor for tensor in outputs if isinstance(tensor, nn.Parameter)]
        others = [self._others[id(tensor)] for tensor in outputs if id(tensor) in self._others]
        return found + [own for ref, own in others if any(ref() is tensor for tensor in outputs)]
