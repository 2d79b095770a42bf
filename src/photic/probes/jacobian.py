"""Singular values of the input-output Jacobian by products with vectors; the matrix is never built."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from photic.records.dissections import Jacobian

Map = Callable[[Tensor], Tensor]


def jacobian(
    function: Map, point: Tensor, *, top: int = 4, directions: int = 8, steps: int = 20, seed: int = 0
) -> Jacobian:
    """Return the largest singular values and the mean squared one of a function's derivative at a point.

    The mean square is E |J^T v|^2 / min(n, m) over random v with E v v^T = 1; the largest ones come from block power
    iteration on J^T J, whose products J u are forward derivatives. Where an operation has none they are left out.

    Args:
        function: maps a tensor to a tensor.
        point: where.
        top: how many of the largest.
        directions: random vectors for the mean square.
        steps: of the power iteration.
    """
    generator = torch.Generator().manual_seed(seed)
    given = point.detach().clone().requires_grad_()
    output = function(given)
    inputs, outputs = given.numel(), output.numel()
    squares: list[float] = []
    for _ in range(directions):
        v = torch.randint(0, 2, output.shape, generator=generator).to(output) * 2.0 - 1.0
        squares.append(float(_backwards(output, given, v).double().square().sum()) / min(inputs, outputs))
    mean = sum(squares) / directions
    error = math.sqrt(sum((square - mean) ** 2 for square in squares) / max(directions - 1, 1) / directions)
    try:
        largest = _largest(function, given, output, top=min(top, inputs, outputs), steps=steps, generator=generator)
        return Jacobian(mean, error, largest, inputs, outputs)
    except (RuntimeError, NotImplementedError) as missing:
        return Jacobian(mean, error, (), inputs, outputs, f"no forward derivative: {str(missing).splitlines()[0]}")


def _backwards(output: Tensor, given: Tensor, v: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(output, given, v, retain_graph=True, materialize_grads=True)
    return found


def _largest(
    function: Map, given: Tensor, output: Tensor, *, top: int, steps: int, generator: torch.Generator
) -> tuple[float, ...]:
    point = given.detach()
    basis = torch.linalg.qr(torch.randn(point.numel(), top, generator=generator, dtype=torch.float64))[0]
    values = torch.zeros(top, dtype=torch.float64)
    for _ in range(steps):
        pushed = [_forwards(function, point, basis[:, k].to(point).reshape(point.shape)) for k in range(top)]
        images = torch.stack([image.double().reshape(-1) for image in pushed], 1)
        back = [_backwards(output, given, image.to(output)).double().reshape(-1) for image in pushed]
        basis = torch.linalg.qr(torch.stack(back, 1))[0]
        values = torch.linalg.svdvals(images)
    return tuple(sorted((float(value) for value in values), reverse=True))


def _forwards(function: Map, point: Tensor, direction: Tensor) -> Tensor:
    with (
        warnings.catch_warnings()
    ):  # torch scripts its own forward derivatives when they are first used, and warns of it
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.func.jvp(function, (point,), (direction,))[1].detach()
