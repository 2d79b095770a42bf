"""Tracing: what goes forward and back through a plain network, layer by layer, from one audit of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.audit import measure
from photic.records.runs import Run


class Layers(NamedTuple):
    """Root mean squares at each weight layer of a network, input first; nothing is subtracted.

    Attributes:
        pre_activations: of what the layer gives.
        gradients: of the derivative of the loss with respect to that.
        gradient_norms: Euclidean norm of the same, over batch and units.
        weight_gradients: of the derivative with respect to the weight.
        activations: of what the activations give, and their deviation about the mean.
        activation_deviations: see `activations`.
        run: the record they are from.
    """

    pre_activations: list[float]
    gradients: list[float]
    gradient_norms: list[float]
    weight_gradients: list[float]
    activations: list[float]
    activation_deviations: list[float]
    run: Run


def trace(model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor] = F.cross_entropy) -> Layers:
    """Audit a network and return its profile, layer by layer."""
    run = measure(model, batch, loss)
    step = run.steps[0]
    matrices = [site for site in run.sites if site.kind == "weight" and site.phase == "model"]
    curves = [site for site in run.sites if site.kind == "activation" and site.phase == "model"]
    readings = [step.sites[site.order] for site in matrices]
    moments = [(r.signal, r.gradient) for r in readings]
    weights = {p.name: r.gradient for p, r in zip(run.parameters, step.parameters, strict=True)}
    found = [weights.get(f"{site.name}.weight") for site in matrices]
    signals = [step.sites[site.order].signal for site in curves]
    return Layers(
        pre_activations=[0.0 if s is None else s.rms for s, _ in moments],
        gradients=[0.0 if g is None else g.rms for _, g in moments],
        gradient_norms=[0.0 if g is None else g.norm for _, g in moments],
        weight_gradients=[0.0 if g is None else g.rms for g in found],
        activations=[0.0 if s is None else s.rms for s in signals],
        activation_deviations=[0.0 if s is None else s.deviation for s in signals],
        run=run,
    )


def plain(
    sizes: list[int],
    activation: Callable[[], nn.Module],
    variance: Callable[[int, int], float],
    *,
    seed: int,
    uniform: bool = False,
) -> nn.Sequential:
    """Return linear layers of these sizes with the activation between them; Var[w] = variance(fan_in, fan_out), b = 0."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    layers: list[nn.Module] = []
    for place, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        linear: Any = nn.utils.skip_init(nn.Linear, fan_in, fan_out)  # draws nothing from torch's generator
        with torch.no_grad():
            deviation = variance(fan_in, fan_out) ** 0.5
            if uniform:
                bound = 3.0**0.5 * deviation
                linear.weight.uniform_(-bound, bound, generator=generator)
            else:
                linear.weight.normal_(0.0, deviation, generator=generator)
            linear.bias.zero_()
        layers += [linear] if place == len(sizes) - 2 else [linear, activation()]
    return nn.Sequential(*layers)
