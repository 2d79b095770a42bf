"""An experiment of your own with the lab: whether a wider network needs less care with its initial scale.

    python -m photic.lab.examples.own_experiment

A grid is a sweep's question; `sweep` trains what is not known yet, hundreds of narrow networks at a time, and returns
plain records: one point for each network, and theory's depth scales.
"""

from photic.lab.sweep import Grid, sweep
from photic.records.sweeps import Sweep

GRID = Grid(
    activations=("tanh",),
    weight_variances=(0.5, 1.0, 1.76, 3.0, 6.0),
    depths=(16,),
    widths=(16, 64),
    learning_rates=(0.03,),
    seeds=4,
    steps=200,
)


def tolerance(found: Sweep) -> dict[int, float]:
    """Return for each width the share of initial scales at which most networks learned."""
    shares = {}
    for width in sorted({point.width for point in found.points}):
        learned = {}
        for point in found.points:
            if point.width == width:
                learned.setdefault(point.weight_variance, []).append(point.accuracy > 0.5)
        shares[width] = sum(sum(votes) * 2 > len(votes) for votes in learned.values()) / len(learned)
    return shares


if __name__ == "__main__":
    for width, share in tolerance(sweep(GRID)).items():
        print(f"width {width}: {share:.0%} of the initial scales learn at depth 16")  # noqa: T201
