"""Lines that draw weights as wide as a scheme drew them after a look at the data: what it found, as numbers in plain torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from photic.records.runs import Run
from photic.remedies.lines import quoted
from photic.remedies.prescription import Prescription

_ORTHOGONAL = ("lsuv", "orthogonal")
SAME = 0.02  # of the root mean square: as wide as before
ALIKE = 0.05  # of each other: drawn with one number, which a thousand weights show within 2 %


def measured_lines(prescription: Prescription, run: Run, treated: nn.Module, model: str) -> list[str]:
    """Return the lines, without indentation; `model` is the variable that holds the network, `treated` one drawn by the scheme."""
    before = {p.name: r.weight.rms for p, r in zip(run.parameters, run.steps[0].parameters, strict=True)}
    wide: dict[str, float] = {}
    constant: dict[str, float] = {}
    for name, parameter in treated.named_parameters():
        rms = float(parameter.detach().double().square().mean().sqrt())
        if name not in before or abs(rms - before[name]) <= SAME * before[name]:
            continue
        values = parameter.detach()
        if bool((values == values.flatten()[0]).all()):
            constant[name] = float(values.flatten()[0])
        else:
            wide[name] = rms * _orthonormal(values) if _is_orthogonal(prescription, values) else rms
    orthogonal = {
        name: gain for name, gain in wide.items() if _is_orthogonal(prescription, treated.get_parameter(name))
    }
    normal = {name: std for name, std in wide.items() if name not in orthogonal}
    return [
        f"# {prescription.why}",
        *_loop(orthogonal, "gain", "orthogonal_({}, gain={})", model),
        *_loop(normal, "std", "normal_({}, std={})", model),
        *_loop(constant, "value", "constant_({}, {})", model),
    ]


def _is_orthogonal(prescription: Prescription, values: Tensor) -> bool:
    return prescription.scheme in _ORTHOGONAL and values.ndim >= 2


def _orthonormal(values: Tensor) -> float:
    """Return the reciprocal of the root mean square of orthonormal rows or columns, whichever are fewer."""
    return math.sqrt(max(values.shape[0], math.prod(values.shape[1:])))


def _loop(numbers: Mapping[str, float], word: str, call: str, model: str) -> list[str]:
    """Return one line for all where they are alike, else a table."""
    if not numbers:
        return []
    parameter = f"{model}.get_parameter(name)"
    sizes = [abs(number) for number in numbers.values()]
    if max(sizes) <= (1.0 + ALIKE) * min(sizes) and len({number > 0.0 for number in numbers.values()}) == 1:
        draw = call.format(parameter, f"{sum(numbers.values()) / len(numbers):.3g}")
        return [f"for name in {quoted([*numbers])}:", f"    torch.nn.init.{draw}"]
    return [
        f"for name, {word} in [",
        *(f'    ("{name}", {number:.3g}),' for name, number in numbers.items()),
        "]:",
        f"    torch.nn.init.{call.format(parameter, word)}",
    ]
