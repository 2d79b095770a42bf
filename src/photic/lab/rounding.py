"""Rounding: one network of a stack trained alone, and what a change of its last bit alone would do to it.

A stack adds up in another order than a single network does, so both round differently. Where training is chaotic, that grows
until the two runs are as different as two seeds. Whether a stack trains each network as it would train alone can therefore
not be told from the end of a run; it is told from when the runs part, beside what cannot be a fault of the stack:
a *twin*, the network alone with its first layer's weights moved to the next number, and both again with float64's 29
further bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from photic.lab.stacks import Batch, Plain, make_optimizer, module

Verdict = Literal["trained", "not trained", "undecided"]
APART = 1e-3  # of the loss: ours. A thousandth is far above rounding, 6e-8, and far below what two seeds differ by


class Alone(NamedTuple):
    """What training one network gave.

    Attributes:
        losses: [steps], on every batch.
        accuracy: the share of held-back examples that it names rightly; what is not finite is wrong.
    """

    losses: Tensor
    accuracy: float


def alone(
    network: Plain,
    batches: Iterable[Batch],
    held_back: Batch,
    *,
    dtype: torch.dtype = torch.float32,
    twin: bool = False,
) -> Alone:
    """Train one network the ordinary way: `nn.Sequential`, `F.cross_entropy`, `torch.optim`.

    Args:
        twin: move every weight of the first layer to the next larger number before training: its last bit.
    """
    model = module(network).to(dtype)
    if twin:
        first = next(model.parameters())
        with torch.no_grad():
            first.copy_(torch.nextafter(first, torch.full_like(first, math.inf)))
    optimizer = make_optimizer(network, model.parameters())
    losses: list[Tensor] = []
    for x, y in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x.to(dtype)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    images, labels = held_back
    with torch.no_grad():
        output = model(images.to(dtype))
    right = (output.argmax(1) == labels) & output.isfinite().all(1)
    return Alone(torch.stack(losses), float(right.double().mean()))


def parting(losses: Tensor, others: Tensor) -> int:
    """Return the first step at which two courses of the loss differ by more than `APART` of it; all steps if none does."""
    a, b = losses.double(), others.double()
    apart = ~((a - b).abs() <= APART * a.abs())  # nan is apart
    apart &= ~(a.isnan() & b.isnan())
    found = apart.nonzero()
    return int(found[0]) if len(found) else len(losses)


def verdict(accuracy: float, examples: int, *, threshold: float = 0.5) -> Verdict:
    """Return whether a network was trained, as far as its accuracy on so many examples can tell.

    Within two standard errors of the threshold, 2 sqrt(t (1 - t) / examples), it is undecided: 5.8 points for one half and
    the 297 digits. A bare threshold makes a verdict of what the last bit decides.
    """
    margin = 2.0 * math.sqrt(threshold * (1.0 - threshold) / examples)
    if abs(accuracy - threshold) <= margin:
        return "undecided"
    return "trained" if accuracy > threshold else "not trained"
