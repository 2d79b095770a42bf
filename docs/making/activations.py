"""The page of the activations, from their curves, with what theory says of each."""

from __future__ import annotations

import math

from docstrings import cited, first_sentence, plain

from photic.activations import Activation, curves, find, names
from photic.theory.atlas import activation_atlas

_HEAD = """# Activations

Every activation of `torch.nn` that photic knows as a curve: its value, its slope, and what follows from both. With `q` the mean
squared pre-activation and `z ~ N(0, 1)`, `V(q) = E phi(sqrt(q) z)^2` and `D(q) = E phi'(sqrt(q) z)^2`
([Theory](../theory.md)). *Critical gain*: weights drawn with deviation gain / sqrt(fan_in) and biases of 0 keep the gradient
at that length; it holds when a signal that is a little too long or too short comes back to it. *torch's gain* is what
`torch.nn.init.calculate_gain` returns by its documentation.

`photic plot sigmoid tanh relu` draws them, `photic plot tanh --phase` the phase diagram of one.
"""


def page() -> str:
    """Return the page."""
    lines = [
        "| activation | value | range | largest slope | mean at q = 1 | V(1) | D(1) | critical gain | torch's gain |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names():
        atlas, curve = activation_atlas(_known(name)), _known(name)
        middle = len(atlas.lengths) // 2
        point = atlas.critical
        square, slope = atlas.signal_gains[middle] ** 2, atlas.gradient_gains[middle] ** 2
        gain = "none" if point is None else _gain(point.weight_variance, point.length, point.holds)
        torch = "" if atlas.folklore_gain is None else f"{atlas.folklore_gain:.4f}"
        told = cited(plain(first_sentence(getattr(curves, name))).replace("|", "\\|"))
        cells = (
            *(f"`{name}`", told, f"{_end(atlas.low)} to {_end(atlas.high)}", f"{curve.largest_slope:.3g}"),
            *(f"{round(atlas.means[middle], 4) + 0.0:.4f}", f"{square:.4f}", f"{slope:.4f}", gain, torch),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return _HEAD + "\n" + "\n".join(lines)


def _known(name: str) -> Activation:
    found = find(name)
    assert found is not None
    return found


def _gain(variance: float, length: float, holds: bool) -> str:
    return f"{math.sqrt(variance):.4f} at q = {length:.3g}" + ("" if holds else ", does not hold")


def _end(value: float) -> str:
    return {math.inf: "∞", -math.inf: "-∞"}.get(value, f"{value:.4g}")
