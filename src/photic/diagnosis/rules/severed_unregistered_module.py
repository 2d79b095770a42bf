"""Severed, unregistered module: layers that run but that torch does not know to be part of the model."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed
from photic.diagnosis.wrapped import wrapped
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017",))
def severed_unregistered_module(graph: Graph) -> Finding | None:
    """Parameters are used in the forward pass that `model.parameters()` does not list, so no optimizer moves them.

    Signs: a trainable parameter of a layer kept in a plain list, tuple or dict, used by the model, and held by no optimizer.

    Why it matters: torch finds layers in attributes, `ModuleList` and `ModuleDict` only. A layer in a plain list runs and
    gets gradients, but it is not trained, saved, moved to a device or put into eval mode.

    False alarms: parameters that the optimizer was given by hand, and those of a loss (a critic, a learned
    temperature), are no part of the model's forward or are owned; neither is reported.
    """
    anew = {one.parameter.name for one in wrapped(graph)}  # of what layers give: `severed-gradient`
    lost = [
        (parameter, [site for site in parameter.sites if graph.site(site).phase == "model"])
        for parameter in graph.run.parameters
        if "<unregistered" in parameter.name
        and parameter.trainable
        and parameter.owned is not True
        and parameter.name not in anew
    ]
    lost = [(parameter, sites) for parameter, sites in lost if sites]
    if not lost:
        return None
    places: list[int] = []
    for _, sites in lost:
        places += [site for site in sites if site not in places]
    names = [graph.site(site).name for site in places]
    return Finding(
        problem="severed-unregistered-module",
        severity="critical",
        sites=tuple(names),
        where=graph.site(places[0]).where,
        evidence=(Evidence("parameters that the model does not list", float(len(lost)), "tensors"),),
        reason=(
            f"{len(lost)} parameters, used at {listed(names)}, are in no attribute, ModuleList or ModuleDict of the model: "
            "`model.parameters()` does not list them, so no optimizer moves them."
        ),
        advice="Keep the layers in `nn.ModuleList([...])` (or `nn.ModuleDict`) in place of a plain list or dict.",
        confidence=0.97,
        sources=("paszke2017",),
    )
