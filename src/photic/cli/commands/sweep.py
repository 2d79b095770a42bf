"""`photic sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from photic.records.sweeps import Sweep


def sweep(
    *activations: str,
    low: float = 0.25,
    high: float = 8.0,
    scales: int = 16,
    bias: float = 0.05,
    depth: tuple[int, ...] = (2, 4, 8, 16, 32, 64),
    width: tuple[int, ...] = (32,),
    optimizer: tuple[Literal["sgd", "momentum", "adam"], ...] = ("sgd",),
    rate: tuple[float, ...] = (),
    seeds: int = 1,
    steps: int = 300,
    examples: int = 32,
    processes: int = 1,
    engine: Literal["loky", "ray", "dask", "slurm", "submitit-local"] = "loky",
    out: Path = Path("photic-sweep.png"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a grid of plain networks and draw which of them learn, with theory's critical line and depth on it.

    `photic sweep tanh sigmoid --depth 4 --depth 16 --depth 64` trains activation x initial scale x depth x width x
    optimizer on scikit-learn's digits. Narrow networks are trained hundreds at a time. What was computed is kept (in
    PHOTIC_CACHE, else the user's cache folder): a sweep that was stopped goes on where it stopped.

    Parameters
    ----------
    activations
        Names as torch writes them; tanh by default.
    low
        Smallest weight variance, fan_in Var[w].
    high
        Largest weight variance.
    scales
        How many weight variances between them, by equal factors.
    bias
        Var[b] of the hidden layers.
    depth
        Hidden layers; give it several times.
    width
        Units in each hidden layer; give it several times.
    optimizer
        sgd, momentum (SGD with 0.9) or adam; give it several times.
    rate
        Learning rate of each optimizer; by default 0.01 for sgd, 0.003 for momentum, 0.001 for adam.
    seeds
        Networks at each point.
    steps
        Training steps of each network.
    examples
        Examples in a batch.
    processes
        Stacks trained at once, each on one thread.
    engine
        Who trains the stacks: loky on this machine; ray, dask or slurm (by submitit) on a cluster whose machines share
        the cache's folder. Each has to be installed.
    out
        Figure to write: SVG, PNG or PDF.
    json
        Print the table as JSON to stdout.
    """
    from photic.cli.failures import TargetFailure, UsageFailure
    from photic.cli.output import progress, said
    from photic.records.documents import to_json

    try:
        import numpy as np

        from photic.lab.sweep import Grid
        from photic.lab.sweep import sweep as run

        usual = {"sgd": 0.01, "momentum": 0.003, "adam": 0.001}
        if rate and len(rate) != len(optimizer):
            raise UsageFailure(f"expected a --rate for each of {len(optimizer)} optimizers, got {len(rate)}")
        if not 0.0 < low <= high or min(scales, seeds, steps, examples, processes, *depth, *width) < 1:
            raise UsageFailure("expected 0 < low <= high, and all counts of at least 1")
        grid = Grid(
            activations=activations or ("tanh",),
            weight_variances=tuple(float(x) for x in np.geomspace(low, high, scales)),
            bias_variance=bias,
            depths=depth,
            widths=width,
            optimizers=optimizer,
            learning_rates=rate or tuple(usual[name] for name in optimizer),
            seeds=seeds,
            steps=steps,
            examples=examples,
        )
        found = run(grid, processes=processes, engine=engine, progress=progress(quiet=json))
        from photic.lab.drawings_phases import draw_sweep

        path = draw_sweep(found, out)
    except ImportError as error:
        raise TargetFailure(
            f"a sweep needs what `pip install 'photic[lab]'` brings, or its engine ({error})"
        ) from error
    except ValueError as error:
        raise UsageFailure(str(error)) from error
    if json:
        print(to_json(found))
    else:
        _tell(found)
    said(path)
    return 0


def _tell(found: Sweep) -> None:
    """Print how many trained, within and beyond six depth scales."""
    from rich.table import Table

    from photic.cli.output import console
    from photic.reports.sweeps import shares

    table = Table(
        box=None,
        padding=(0, 1),
        header_style="dim",
        title=f"{len(found.points)} networks; learned: accuracy above 50 %",
    )
    for title in ("networks", "learned, depth up to 6 depth scales", "learned, beyond 12"):
        table.add_column(title)
    for name, (near, within), (far, beyond) in shares(found):
        table.add_row(name, f"{near} of {within}", f"{far} of {beyond}")
    console().print(table)
