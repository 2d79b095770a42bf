"""`photic plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from photic.activations.activation import Activation
    from photic.records.atlas import ActivationAtlas, PhaseDiagram
    from photic.records.predictions import Prediction


def plot(
    *what: str,
    phase: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    widest: float = 4.0,
    highest: float = 1.0,
    seed: int = 0,
    input: Annotated[str, Parameter(name="--input")] = "",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Draw theory: activations and their gains, phase diagrams, or what is expected of your network.

    `photic plot sigmoid tanh relu` draws curves, slopes and gains; `photic plot tanh --phase` where deep networks
    vanish or explode; `photic plot FILE.py:NAME` the signal and gradient that mean-field theory expects.

    Parameters
    ----------
    what
        Names of activations as torch writes them (none: the usual ones), or one target FILE.py:NAME.
    phase
        Draw the phase diagram of one activation over the variances of weights and biases.
    out
        File to write: SVG, PNG or PDF.
    widest
        Largest fan_in Var[w] of the phase diagram.
    highest
        Largest Var[b] of the phase diagram.
    seed
        Seed for building the model and for drawn inputs.
    input
        Inputs to draw when the target brings none, as for `photic check`.
    json
        Print what is drawn as JSON to stdout.
    """
    from photic.cli.failures import UsageFailure
    from photic.cli.output import said
    from photic.records.documents import to_json
    from photic.reports.plots import draw_atlas, draw_phase, draw_prediction

    try:
        if len(what) == 1 and ":" in what[0]:
            prediction = _expected(what[0], input, seed)
            path = draw_prediction(prediction, out or Path("photic-prediction.svg"))
            record: object = prediction
        elif phase:
            if len(what) != 1:
                raise UsageFailure(
                    f"a phase diagram is of one activation, got {len(what)}; write `photic plot tanh --phase`"
                )
            record = _phase(what[0], widest, highest)
            path = draw_phase(record, out or Path(f"photic-phase-{what[0]}.svg"))
        else:
            from photic.records.atlas import Atlas
            from photic.theory.atlas import activation_atlas

            record = Atlas(tuple(activation_atlas(_known(name)) for name in what or _USUAL))
            path = draw_atlas(record.activations, out or Path("photic-activations.svg"))
            if not json:
                _table(record.activations)
    except (ModuleNotFoundError, ValueError) as error:
        raise UsageFailure(str(error)) from error
    if json:
        print(to_json(record))
    said(path)
    return 0


_USUAL = ("sigmoid", "tanh", "softsign", "relu", "leaky_relu", "elu", "selu", "gelu", "silu")


def _known(name: str) -> Activation:
    import difflib

    from photic.activations import find, names
    from photic.cli.failures import UsageFailure

    found = find(name)
    if found is None:
        near = difflib.get_close_matches(name, names(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageFailure(f"there is no activation {name!r}{hint} There are: {', '.join(names())}")
    return found


def _phase(name: str, widest: float, highest: float) -> PhaseDiagram:
    import numpy as np

    from photic.theory.atlas import phase_diagram

    return phase_diagram(
        _known(name),
        weight_variances=np.linspace(widest / 100.0, widest, 100),
        bias_variances=np.linspace(0.0, highest, 61),
    )


def _expected(target: str, shape: str, seed: int) -> Prediction:
    from photic.checkups.predict import predict
    from photic.checkups.setup import as_batches
    from photic.cli.failures import TargetFailure
    from photic.cli.targets import load

    loaded = load(target, shape=shape, seed=seed)
    try:
        return predict(loaded.model, next(as_batches(loaded.batches)()))
    except (TypeError, ValueError, RuntimeError, StopIteration) as error:
        raise TargetFailure(f"{target} could not be predicted: {error}") from error


def _table(atlases: tuple[ActivationAtlas, ...]) -> None:
    """Print the gains that keep the gradient, beside those that people use."""
    from rich.table import Table

    from photic.cli.output import console

    table = Table(box=None, padding=(0, 1), header_style="dim", title="std of a weight = gain / sqrt(fan_in), bias 0")
    for title in ("activation", "range", "mean at q = 1", "critical gain", "at q", "holds", "torch's gain"):
        table.add_column(title, justify="left" if title == "activation" else "right")
    for atlas in atlases:
        middle = len(atlas.lengths) // 2
        point = atlas.critical
        table.add_row(
            atlas.name,
            f"{atlas.low:.3g} .. {atlas.high:.3g}",
            f"{atlas.means[middle]:.3f}",
            "none" if point is None else f"{point.weight_variance**0.5:.4f}",
            "" if point is None else f"{point.length:.3g}",
            "" if point is None else ("yes" if point.holds else "no, the length runs away"),
            "none" if atlas.folklore_gain is None else f"{atlas.folklore_gain:.4f}",
        )
    console().print(table)
