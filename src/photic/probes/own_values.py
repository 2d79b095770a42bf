"""Values that a model makes of its parameters alone: a transpose, a slice, a norm taken out; to a layer they are its weight."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from torch import Tensor, nn

from photic.probes.calls import Call
from photic.probes.operations import kind_of


class OwnValues:
    """Which sites compute on parameters alone, and on which.

    A layer of torch's on a learned input is none of them, nor is a table that whole numbers look up, nor what takes other numbers
    and has the shape of none of its parameters (a state of zeros that a factor multiplies): those begin a signal. A mask
    keeps the shape.
    """

    def __init__(self) -> None:
        self._roots: dict[int, frozenset[int]] = {}  # site -> ids of parameters

    def __contains__(self, site: int) -> bool:
        return site in self._roots

    def begins(self, call: Call, tensors: Sequence[Tensor], feeders: Collection[int], result: Tensor) -> bool:
        """Whether a call, with its first result, is on parameters alone."""
        if call.phase != "model" or kind_of(call.operation, parameter_operand=False) == "weight":
            return False
        if not all(feeder in self._roots for feeder in feeders) or not all(map(_is_number, tensors)):
            return False
        if "parametrizations" in call.module_path.split("."):  # of `torch.nn.utils.parametrize`
            return True
        if all(tensor.requires_grad for tensor in tensors):
            return True
        product = kind_of(call.operation, parameter_operand=True) == "weight"
        return not product and any(t.shape == result.shape for t in tensors if t.requires_grad)

    def add(self, site: int, tensors: Iterable[Tensor], feeders: Iterable[int]) -> None:
        """Take the site to be one of them, where a parameter is among what it is made of."""
        roots = {id(tensor) for tensor in tensors if isinstance(tensor, nn.Parameter)} | self.roots(feeders)
        if roots:
            self._roots[site] = frozenset(roots)

    def roots(self, sites: Iterable[int]) -> set[int]:
        """Return the ids of the parameters of which such sites are made; of other sites none."""
        return {root for site in sites for root in self._roots.get(site, ())}


def _is_number(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
