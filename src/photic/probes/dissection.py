"""Dissect: per-example and per-token detail of every site, the Jacobian, and how gradients shatter; on demand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches
from photic.probes.audit import sighted
from photic.probes.examples import GradientFacts, SignalFacts, gradient_facts, signal_facts, site_dissection
from photic.probes.jacobian import jacobian
from photic.probes.untouched import untouched
from photic.records.dissections import Dissection, Jacobian

_LINE = 32  # steps on a line between two examples
_PAIRS = 4


def dissect(
    model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor] | None = None, *, top: int = 4, seed: int = 0
) -> Dissection:
    """Return what the moments of a whole batch do not tell; it costs several passes.

    The spread of gradient norms over the batch, the share of the signal that is mean rather than variation, effective
    rank and likeness of tokens, the singular values of the Jacobian, and how the gradients of neighbouring inputs
    correlate. The model is left as it was.

    Args:
        model, batch, loss: as for `photic.measure`; the first axis of the inputs are the examples.
        top: how many of the largest singular values.
        seed: of the random directions.

    Raises:
        TypeError, ValueError: as for `photic.measure`.
    """
    signals: dict[int, tuple[int, SignalFacts]] = {}
    gradients: dict[int, GradientFacts] = {}
    inputs, _ = batches.split(batch)
    examples = _examples(inputs)

    def see(site: int, value: Tensor) -> None:
        if value.is_floating_point() and value.ndim >= 2 and value.shape[0] == examples and value.numel():
            signals[site] = (examples, signal_facts(value))

    def hear(site: int, value: Tensor) -> None:
        if site in signals and value.ndim >= 2 and value.shape[0] == examples:
            gradients[site] = gradient_facts(value)

    run = sighted(model, batch, loss, see=see, hear=hear)
    sites = tuple(
        site_dissection(site.name, signals[site.order][0], signals[site.order][1], gradients.get(site.order))
        for site in run.sites
        if site.phase == "model" and site.order in signals
    )
    missing: list[str] = []
    spectrum, decay = None, ()
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        with untouched(model), torch.enable_grad():
            spectrum = _spectrum(model, inputs, missing, top=top, seed=seed)
            decay = _shattering(model, inputs, missing)
    else:
        missing.append(
            "Jacobian and shattering: the input is no single tensor of real numbers, so it has no derivative"
        )
    return Dissection(sites, spectrum, decay, tuple(missing))


def _examples(inputs: Any) -> int:
    from photic.probes.calls import tensors_in

    first = next(iter(tensors_in(inputs)), None)
    return int(first.shape[0]) if first is not None and first.ndim else -1


def _output(model: nn.Module, inputs: Tensor) -> Tensor:
    from photic.probes.calls import tensors_in

    return next(tensor for tensor in tensors_in(batches.call(model, inputs)) if tensor.is_floating_point())


def _spectrum(model: nn.Module, inputs: Tensor, missing: list[str], *, top: int, seed: int) -> Jacobian | None:
    try:
        return jacobian(lambda x: _output(model, x), inputs[: min(8, len(inputs))], top=top, seed=seed)
    except Exception as error:
        missing.append(f"Jacobian: {type(error).__name__}: {error}")
        return None


def _shattering(model: nn.Module, inputs: Tensor, missing: list[str]) -> tuple[float, ...]:
    """Return the autocorrelation of d(one direction of the output)/dx along lines between examples.

    Source: balduzzi2017, section 2, there along lines between data points as well.
    """
    if len(inputs) < 2:
        missing.append("shattering: one example makes no line")
        return ()
    sums, counts = [0.0] * (_LINE // 2), [0] * (_LINE // 2)
    try:
        for pair in range(min(_PAIRS, len(inputs) // 2)):
            start, stop = inputs[2 * pair], inputs[2 * pair + 1]
            share = torch.linspace(0.0, 1.0, _LINE, dtype=inputs.dtype, device=inputs.device)
            line = torch.lerp(start[None], stop[None], share.reshape(-1, *[1] * start.ndim)).requires_grad_()
            output = _output(model, line)
            direction = torch.ones_like(output[0]).expand_as(output)
            (found,) = torch.autograd.grad(output, line, direction)
            rows = found.double().reshape(_LINE, -1)
            rows = rows - rows.mean(0)
            for lag in range(_LINE // 2):
                a, b = rows[: _LINE - lag], rows[lag:]
                norm = float(a.norm() * b.norm())
                if norm > 0.0 and math.isfinite(norm):
                    sums[lag] += float((a * b).sum()) / norm
                    counts[lag] += 1
    except Exception as error:
        missing.append(f"shattering: {type(error).__name__}: {error}")
        return ()
    if not all(counts):
        missing.append("shattering: the gradient is the same, or 0, all along the line")
        return ()
    return tuple(total / count for total, count in zip(sums, counts, strict=True))
