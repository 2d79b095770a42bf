"""Put in: modules that no forward calls, called in front of the layer that comes next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes.calls import Call
from photic.probes.substitution import Substitute
from photic.remedies.prescription import Prescription


def put_in(prescription: Prescription, model: nn.Module) -> dict[str, Substitute]:
    """Return the substitutes of the layers that are called on x + module(x)."""
    return {site: PutIn(model.get_submodule(name), bare) for name, site, bare in prescription.put_in}


class PutIn:
    """Calls a layer on x + module(x). A list of modules is called one after the other; a single layer (`bare`) gets a ReLU."""

    def __init__(self, module: nn.Module, bare: bool) -> None:
        self.module, self.bare = module, bare

    def __call__(self, call: Call) -> Any:
        """Call the layer."""
        x: Any = call.args[0]
        made: Any = x
        listed = isinstance(self.module, nn.ModuleList)
        for module in self.module if isinstance(self.module, nn.ModuleList) else [self.module]:
            made = module(made)
            made = torch.relu(made) if self.bare or listed else made
        same = isinstance(made, Tensor) and made.shape == x.shape
        return replace(call, args=(x + made if same else x, *call.args[1:])).run()
