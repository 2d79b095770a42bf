"""Unowned parameters: layers that are meant to be trained and that the optimizer was not given."""

from __future__ import annotations

from photic.diagnosis.drawn import as_drawn
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, nothing_learned
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017",))
def unowned_parameters(graph: Graph, training: Training | None = None, *, enough: int = 40) -> Finding | None:
    """The optimizer does not hold parameters that require a gradient and get one.

    Signs: an optimizer was given, and a registered parameter with requires_grad and a gradient is in none of its groups.

    Why it matters: what the optimizer does not hold never moves, however good its gradient: a module that was replaced or
    added after the optimizer was made, or a list of parameters that was written by hand.

    False alarms: fine-tuning often gives the optimizer the upper layers only and leaves the lower ones unfrozen; where all
    that is left out lies below all that is held, it is information only; unless the optimizer also holds tensors that nothing
    uses, as it does after layers were replaced, or the loss has not fallen after `enough` steps, or
    what is left out, two matrices or more, still has the variance that torch draws layers with, 1 / (3 fan_in), but for chance.
    """
    left_out = [
        parameter
        for parameter, reading in zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True)
        if parameter.owned is False
        and parameter.trainable
        and "<unregistered" not in parameter.name
        and reading.gradient is not None
        and parameter.sites
    ]
    held = [site for parameter in graph.run.parameters if parameter.owned for site in parameter.sites]
    if not left_out:
        return None
    places = sorted({site for parameter in left_out for site in parameter.sites})
    below = bool(held) and max(places) < min(held) and not graph.run.foreign
    stuck = training is not None and training.steps >= enough and training.first > 0.0 and not learns(training)
    raw = as_drawn(graph, places)
    warns = below and (stuck or raw)
    names = [parameter.name for parameter in left_out]
    return Finding(
        problem="unowned-parameters",
        severity="warning" if warns else "info" if below else "critical",
        sites=tuple(graph.site(site).name for site in places),
        where=graph.site(places[0]).where,
        evidence=(
            Evidence("trainable parameters that the optimizer does not hold", float(len(left_out)), "tensors"),
            Evidence("parameters that it holds", float(sum(p.owned is True for p in graph.run.parameters)), "tensors"),
        ),
        reason=(
            f"The optimizer does not hold {listed(names)}, which require a gradient and get one: they never move"
            + (
                "; all of them lie below what it holds, as in fine-tuning"
                + (", but they are as torch draws them: nothing was learned in them" if raw else "")
                + (f", and {nothing_learned(training)}" if stuck and training is not None else "")
                if below
                else "; it holds nothing of this model at all"
                if not held
                else ""
            )
            + (
                f"; instead it holds {graph.run.foreign} tensors that nothing uses, as after layers were replaced"
                if graph.run.foreign
                else ""
            )
            + "."
        ),
        advice="Give the optimizer all of `model.parameters()` after the model is complete, or set requires_grad to False for "
        "what is meant to stay.",
        confidence=0.8 if warns else 0.6 if below else 0.9,
        sources=("paszke2017",),
    )
