"""Severed gradient: an operation cuts the only way from the loss to parameters that should learn."""

from __future__ import annotations

from photic.diagnosis.cuts import NOT_DIFFERENTIABLE, Cut, RoundTrip, find_cut, hidden_parameters, round_trip
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.loops import state_cuts
from photic.diagnosis.registry import rule
from photic.diagnosis.severed_ways import by_a_derivative, by_a_function, by_a_parameter, by_a_sample, by_a_share_of_one
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding
from photic.records.sites import Parameter


@rule(sources=("paszke2017", "pascanu2013"))
def severed_gradient(graph: Graph, training: Training | None = None) -> Finding | None:
    """An operation cuts the only way from the loss down to parameters that are meant to learn.

    Signs: trainable parameters took part in the forward pass, their output flows on towards the loss, no gradient at all comes back, and on
    the way stands an operation that passes none: `detach()`, `.data`, a block under `no_grad`. One without a derivative is
    `severed-nondifferentiable`. Or their output ends nowhere, and a later layer is fed by as many numbers that nothing made: they went
    through a list, NumPy or `item()`. Or a custom autograd function used them without recording, as a reentrant checkpoint does whose
    inputs require no gradient, or its backward returns None for the signal that it took. Or trained layers take what `sample()` drew of a
    distribution that has `rsample()`. Or most of the loss is a derivative that was taken without `create_graph`, so that another term alone
    is trained. Or a loop detaches its state at every step, so that only the last one learns, and the loss does not fall. Or the forward
    makes an `nn.Parameter` of what layers give. Or numbers are divided by a sum over each alone, so that they are 1, and layers below get
    rounding for a gradient.

    Why it matters: no error is raised; the layers below the cut stay as they were initialised.

    False alarms: frozen layers (requires_grad=False), parameters that another way reaches, heads whose output no loss
    uses, a state that is cut now and then (truncated back-propagation), a value that is only a target of the loss (stop-gradient) unless
    it comes of a head on trained layers that the optimizer holds, a sample whose log probability is trained (a policy gradient) are no cut.
    """
    if (made := by_a_parameter(graph)) is not None:
        return made
    cut = find_cut(graph)
    if (cut is None or "sampled" in graph.site(cut.site).settings) and (sample := by_a_sample(graph)) is not None:
        return sample
    if cut is None and (trip := round_trip(graph)) is not None:
        return _tripped(graph, trip)
    if cut is None and (state := _each_step(graph, training)) is not None:
        return state
    if cut is None and (hidden := hidden_parameters(graph)):
        return _hidden(hidden)
    if cut is None and (other := by_a_function(graph) or by_a_derivative(graph, training) or by_a_share_of_one(graph)):
        return other
    if cut is None or (graph.site(cut.site).operation in NOT_DIFFERENTIABLE and not cut.into_loss_only):
        return None
    site, aside = graph.site(cut.site), cut.into_loss_only
    head = aside and _on_trained(graph, cut)
    lost = [parameter.name for parameter in cut.parameters]
    return Finding(
        problem="severed-gradient",
        severity="warning" if head else "info" if aside else "critical",
        sites=(site.name,),
        where=site.where,
        evidence=(
            Evidence("trainable parameters without any gradient", float(len(lost)), "tensors"),
            Evidence("their share of the trainable numbers", cut.share, "share"),
        ),
        reason=(
            f"{_how(site.operation, cut.under_no_grad)} at {site.name}{f' ({site.where})' if site.where else ''} cuts the way: "
            f"{listed(lost)} take part in the output and get no gradient."
        ),
        advice=f"Remove it, or freeze what lies below on purpose (requires_grad_(False)); {_instead(site.operation)}",
        confidence=0.8 if head else 0.6 if aside else 0.97,
        sources=("paszke2017",),
        victims=tuple(graph.site(index).name for index in cut.layers),
    )


def _on_trained(graph: Graph, cut: Cut) -> bool:
    """Whether the severed layers are a head on layers that are trained, and the optimizer holds them: a target network has its own."""
    if not cut.layers or not all(parameter.owned for parameter in cut.parameters):
        return False
    below = graph.ancestors(list(cut.layers))
    return any(
        reading.gradient is not None and reading.gradient.rms > 0.0 and len(parameter.shape) > 1
        for index in graph.layers()
        if index in below
        for parameter, reading in graph.parameters.get(index, [])
    )


def _how(operation: str, under_no_grad: bool) -> str:
    if under_no_grad:
        return f"`{operation}` under no_grad"
    words = {
        "detach": "`detach()`",
        "data": "`.data`",
        "item": "turning it into a plain number",
        "grad": "a derivative taken without `create_graph=True`",
    }
    return words.get(operation, f"`{operation}`, which passes no gradient,")


def _instead(operation: str) -> str:
    if operation == "item":
        return "add the tensor itself to the loss, and take `item()` only to log."
    if operation == "grad":
        return "torch.autograd.grad(..., create_graph=True) gives the derivative a history."
    if operation in ("detach", "data"):
        return "detach only copies that you log."
    return "take the call out of `torch.no_grad()`."


def _tripped(graph: Graph, trip: RoundTrip) -> Finding:
    leaves, returns = graph.site(trip.leaves), graph.site(trip.returns)
    lost = [parameter.name for parameter in trip.parameters]
    return Finding(
        problem="severed-gradient",
        severity="critical",
        sites=(leaves.name,),
        where=leaves.where or returns.where,
        evidence=(Evidence("trainable parameters without any gradient", float(len(trip.parameters)), "tensors"),),
        reason=(
            f"What {leaves.name} makes goes nowhere, and {returns.name} is fed by {'as many ' if trip.fits else ''}numbers that no operation "
            f"made: on the way they left torch (a list, NumPy, `item()`), so {listed(lost)} {'gets' if len(lost) == 1 else 'get'} no gradient."
        ),
        advice=f"Hand the tensor itself from {leaves.name} to {returns.name}; `torch.tensor(...)` of its values has no history."
        if trip.fits
        else f"Compute in torch what is computed between {leaves.name} and {returns.name}: torch.fft, torch.linalg and most of NumPy's functions.",
        confidence=0.9,
        sources=("paszke2017",),
        victims=tuple(
            graph.site(i).name for i in sorted(graph.ancestors([trip.leaves])) if graph.site(i).kind == "weight"
        ),
    )


def _hidden(parameters: list[Parameter]) -> Finding:
    return Finding(
        problem="severed-gradient",
        severity="critical",
        sites=tuple(dict.fromkeys(parameter.hidden for parameter in parameters)),
        where="",
        evidence=(Evidence("trainable parameters without any gradient", float(len(parameters)), "tensors"),),
        reason=(
            f"{listed([p.name for p in parameters])} are used inside a custom autograd function that records nothing, as a reentrant "
            "checkpoint does when none of its inputs requires a gradient: they get none."
        ),
        advice="Call torch.utils.checkpoint with use_reentrant=False, or let its input require a gradient "
        "(`model.enable_input_require_grads()` in transformers).",
        confidence=0.95,
        sources=("paszke2017",),
    )


def _each_step(graph: Graph, training: Training | None) -> Finding | None:
    """A loop of which every step but the last is cut off, in a network that does not learn."""
    found = state_cuts(graph)
    if found is None:
        return None
    loop, cuts = found
    stuck = training is not None and training.steps >= 20 and not learns(training, 0.95)
    site = graph.site(cuts[-1])
    return Finding(
        problem="severed-gradient",
        severity="critical" if stuck else "info",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence("steps of the loop without any gradient", float(len(loop.sites) - 1), "steps"),),
        reason=(
            f"The loop over {loop.parameter} detaches its state at every one of {len(loop.sites)} steps ({site.name}): only the last "
            "step gets a gradient, and none learns what a later one needs."
        ),
        advice="Detach between sequences, or every so many steps (truncated back-propagation), not at each.",
        confidence=0.9 if stuck else 0.6,
        sources=("paszke2017", "pascanu2013"),
        victims=tuple(graph.site(index).name for index in loop.sites[:-1]),
    )
