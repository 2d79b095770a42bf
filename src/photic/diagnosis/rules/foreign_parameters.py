"""Foreign parameters: the optimizer moves tensors that no part of the model uses."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017",))
def foreign_parameters(graph: Graph) -> Finding | None:
    """The optimizer holds tensors that are no parameters of the model and that neither its forward nor the loss uses.

    Signs: of the tensors in the optimizer's groups some are in no `named_parameters()` and were not met in the pass.

    Why it matters: they are usually what is left of a layer that was replaced, wrapped or moved after the optimizer was made;
    the new layer then has no owner, which is `unowned-parameters`, and is reported in its place.

    False alarms: one optimizer for several networks of which photic sees one is as it should be; so this is information.
    """
    if not graph.run.foreign:
        return None
    held = sum(parameter.owned is True for parameter in graph.run.parameters)
    return Finding(
        problem="foreign-parameters",
        severity="info",
        sites=(),
        where="",
        evidence=(
            Evidence("tensors held that nothing here uses", float(graph.run.foreign), "tensors"),
            Evidence("parameters of the model held", float(held), "tensors"),
        ),
        reason=(
            f"The optimizer holds {graph.run.foreign} tensors that are no parameters of this model and that neither its forward "
            f"nor the loss uses, beside {held} that are."
        ),
        advice="Make the optimizer after the model is complete, wrapped and on its device; if they belong to another network, all is well.",
        confidence=0.9,
        sources=("paszke2017",),
    )
