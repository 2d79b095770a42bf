"""Put in: modules that no forward calls, called in front of the layer that comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes.calls import Call
from photic.probes.substitution import Substitute
from photic.remedies.prescription import Prescription


def put_in(prescription: Prescription, model: nn.Module, others: Mapping[str, Substitute]) -> dict[str, Substitute]:
    """Return the substitutes of the layers that are called on x + module(x), of several modules one after the other.

    Args:
        others: what is called in place of sites otherwise.
    """
    found: dict[str, list[tuple[nn.Module, bool]]] = {}
    for name, site, bare in prescription.put_in:
        found.setdefault(site, []).append((model.get_submodule(name), bare))
    return {site: PutIn(modules, others.get(site)) for site, modules in found.items()}


class PutIn:
    """Calls a layer on x + module(x). A list of modules is called one after the other; single layers get a ReLU."""

    def __init__(self, modules: Sequence[tuple[nn.Module, bool]], inner: Substitute | None) -> None:
        self.modules, self.inner = tuple(modules), inner

    def __call__(self, call: Call) -> Any:
        """Call the layer."""
        x: Any = call.args[0]
        for module, bare in self.modules:
            made: Any = x
            listed = isinstance(module, nn.ModuleList)
            for one in module if isinstance(module, nn.ModuleList) else [module]:
                made = one(made)
                made = torch.relu(made) if bare or listed else made
            x = x + made if isinstance(made, Tensor) and made.shape == x.shape else x
        given = replace(call, args=(x, *call.args[1:]))
        return given.run() if self.inner is None else self.inner(given)
