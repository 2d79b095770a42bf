"""Units on curves: each activation of a run, with where the network's units sit on it."""

from __future__ import annotations

import numpy as np

from photic.activations import find
from photic.activations.activation import Activation
from photic.records.runs import Run
from photic.reports.curve import Curve


def units_on_curves(run: Run, *, step: int = 0) -> tuple[Curve, ...]:
    """Return a curve for each kind of activation in the model, in order of first use; `step` indexes `run.steps`."""
    if not run.steps:
        return ()
    kinds: dict[str, Activation] = {}
    seen: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for site, reading in zip(run.sites, run.steps[step].sites, strict=True):
        if site.kind != "activation" or site.phase != "model" or reading.units is None:
            continue
        activation = find(site.operation, site.settings)
        if activation is not None:
            kinds[activation.name] = activation
            seen.setdefault(activation.name, []).append((site.name, reading.units.input_quantiles))
    x = np.linspace(-8.0, 8.0, 161)
    return tuple(
        Curve(
            name,
            tuple(map(float, x)),
            tuple(map(float, kinds[name].value(x))),
            tuple(map(float, kinds[name].slope(x))),
            tuple(site for site, _ in found),
            tuple(quantiles for _, quantiles in found),
        )
        for name, found in seen.items()
    )
