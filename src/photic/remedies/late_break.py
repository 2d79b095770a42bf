"""Late break: the operation at which a training breaks off that began well, read in the step in which it happens."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from photic.checkups.training import train
from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import non_finite
from photic.probes.audit import measure
from photic.probes.generators import seeded
from photic.records.findings import Finding
from photic.remedies.course import Course
from photic.remedies.material import Material
from photic.remedies.treated import treated_setup


@dataclass(frozen=True)
class LateBreak:
    """What was found in the step that broke the training, with the network as it was right before it."""

    step: int
    finding: Finding
    graph: Graph


def late_break(material: Material, course: Course, *, seed: int) -> LateBreak | None:
    """Train the untreated network again up to the step that broke it, and read that; None where no operation is to blame.

    A gradient that is not finite shows in the loss of the step after it, so the last two steps are read.
    """
    last = len(course.losses) - 1
    if last < 1 or math.isfinite(course.losses[-1]):
        return None
    setup, stream = treated_setup(material, None, seed=seed), material.stream(seed)
    with seeded(seed):
        train(setup, stream, last - 1)
        for step in (last - 1, last):
            batch = next(stream)
            seen = measure(setup.model, batch, setup.loss, optimizer=setup.optimizer)
            graph = Graph.of(seen)
            found = None if seen.stopped else non_finite(graph)
            if found is not None and found.sites:
                return LateBreak(step, found, graph)
            train(setup, itertools.repeat(batch), 1)
    return None
