"""Zero epsilon: the number that should keep Adam from dividing by 0 is itself 0."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import adaptive, setting
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence, Finding

_HALF_OF_THE_SMALLEST = 2.0**-25  # of float16: what lies below rounds to 0


@rule(sources=("kingma2015", "micikevicius2018"))
def zero_epsilon(graph: Graph) -> Finding | None:
    """The epsilon of an adaptive optimizer is 0, or rounds to 0 in the float16 of its parameters.

    Signs: eps is 0; or below 2^-25, about 3e-8, while parameters that it moves are float16: 1e-8, the default, is.

    Why it matters: an element whose gradients so far are 0, or whose squares underflow, divides 0 by 0: one step makes
    nan of the weight.

    False alarms: with an eps of 0 and no gradient that is exactly 0 nothing happens: that is information only. bfloat16 has
    float32's range and holds 1e-8.
    """
    eps = setting(graph.run, "eps")
    if eps is None or not adaptive(graph.run) or eps >= _HALF_OF_THE_SMALLEST:
        return None
    held = [
        (parameter, reading)
        for parameter, reading in zip(graph.run.parameters, graph.run.steps[0].parameters, strict=True)
        if parameter.trainable and parameter.owned is not False and (eps == 0.0 or parameter.dtype == "float16")
    ]
    if not held:
        return None
    hit = [
        parameter
        for parameter, reading in held
        if reading.gradient is not None
        and (reading.gradient.zeros > 0 or (parameter.dtype == "float16" and reading.gradient.rms < 2.0**-12))
    ]
    places = sorted({site for parameter in hit for site in parameter.sites})
    what = "is 0" if eps == 0.0 else f"of {number(eps)} rounds to 0 in float16, whose smallest number is 6e-8"
    names = listed([parameter.name for parameter in hit or [p for p, _ in held]])
    return Finding(
        problem="zero-epsilon",
        severity="critical" if hit else "info",
        sites=tuple(graph.site(site).name for site in places),
        where=graph.site(places[0]).where if places else "",
        evidence=(
            Evidence("epsilon", eps, "gradient"),
            Evidence("parameters where it would be needed", float(len(hit)), "tensors"),
        ),
        reason=(
            f"The optimizer's epsilon {what}: where a gradient is 0, or its square underflows, a step divides 0 by 0 and makes nan "
            f"({names})."
        ),
        advice="Set eps to 1e-8 in float32, 1e-4 for float16 parameters; better, keep the optimizer's weights in float32.",
        confidence=0.95 if hit else 0.7,
        sources=("kingma2015", "micikevicius2018"),
    )
