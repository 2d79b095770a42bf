"""Non-finite: nan or infinity, and the first operation that made one."""

from __future__ import annotations

import math
from dataclasses import replace

from photic.diagnosis.graph import Graph
from photic.diagnosis.hand_written import backward_words, sentence
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence, Finding
from photic.records.runs import Moments, Run, Step

_MASKS = ("masked_fill", "where")  # minus infinity before a softmax is meant

POSITIVE = ("log", "log2", "log10", "sqrt", "rsqrt")  # functions of positive numbers
_BELOW_ZERO = " What a layer gives as it comes may lie below 0: take softplus(x) of a variance or a deviation, wherever it is used."
_PLAIN = ("mul", "add", "sub", "matmul", "bmm", "linear", "einsum")  # of ordinary numbers they make ordinary numbers
_PARTS = ("chunk", "split", "unbind", "tensor_split")
_OVERFLOWING = 1e15  # beyond it a product, or a sum of many, may overflow

_OVERFLOWS = ("square", "pow", "mul", "matmul", "bmm", "linear", "prod", "norm", "sum")


@rule(sources=("micikevicius2018",))
def non_finite(graph: Graph) -> Finding | None:
    """nan or infinity reaches the loss or a gradient.

    Signs: the loss, or the gradient of a parameter, or a parameter, is not finite. Named is the first operation in order of execution
    whose output is not finite while its inputs are; where all signals are finite, the operation nearest to the loss
    that passes back a non-finite gradient (0/0 in a norm, the unused branch of `where`), or what made the infinite number that a
    parameter is multiplied by (the logarithm of 0 in x^gamma = exp(gamma log x)). Also where a square, a power or a
    product overflows and what follows divides by it, so that zeros come out and the loss stays finite.

    Why it matters: one nan in a gradient makes every weight nan at the next step.

    Where the training breaks off later, the batch at which the loss stopped being finite is tried on the untrained network, and else on
    the network as it was right before. Where numbers of the batch are not finite themselves, what takes them is named.

    False alarms: minus infinity in a mask before a softmax is meant and stays inside; it is not reported while loss
    and gradients are finite.
    """
    run, step = graph.run, graph.run.steps[graph.step]
    bad_gradients = [
        parameter.name
        for parameter, reading in zip(run.parameters, step.parameters, strict=True)
        if reading.gradient is not None and reading.gradient.nonfinite
    ]
    bad_loss = step.loss is not None and not math.isfinite(step.loss)
    later = next((index for index, value in enumerate(run.losses) if not math.isfinite(value)), None)
    hidden = [
        parameter.name
        for parameter, first, last in zip(
            run.parameters, run.steps[0].parameters, run.steps[-1].parameters, strict=True
        )
        if last.weight.nonfinite and not first.weight.nonfinite
    ]
    if not bad_loss and not bad_gradients and later is None and not hidden:
        return _swallowed(graph)
    if (
        not bad_loss
        and not bad_gradients
        and run.broke is not None
        and (met := _at_a_batch(run, run.broke)) is not None
    ):
        return met
    origin = _forward_origin(graph) if bad_loss else None
    if origin is not None and any(r.weight.nonfinite for _, r in graph.parameters.get(origin, [])):
        origin, bad_gradients = None, []  # its weights are broken already: an earlier step did it
    backward = origin is None and bool(bad_gradients)
    if backward:
        origin = _backward_origin(graph)
        if origin is None and (origin := _swallowed_before(graph, bad_gradients)) is not None:
            backward = False  # its result was made finite again, as exp(-inf) is, and its slope was not
    takers = [site.order for site in run.sites if any(source < 0 for source, _ in graph.feeders.get(site.order, []))]
    if run.inputs is not None and run.inputs.nonfinite and (backward or origin in (None, *takers)):
        return _of_the_batch(graph, run.inputs, takers)
    if origin is None:
        return Finding(
            problem="non-finite",
            severity="critical",
            sites=(),
            where="",
            evidence=(Evidence("first step with a non-finite loss", float(later or 0), "step"),),
            reason=f"The loss is not finite from step {later or 0} on, while the network before training is."
            if later is not None or not hidden
            else f"{listed(hidden)} are not finite after the steps, and the loss is: what they make is replaced on the way.",
            advice="Lower the learning rate, or clip the gradient, and look for a division or a logarithm near 0.",
            confidence=0.9,
            sources=("micikevicius2018",),
        )
    site, signal = graph.site(origin), graph.reading(origin).signal
    count = (signal.nonfinite if signal is not None else 0) if not backward else len(bad_gradients)
    largest = _largest_input(graph, origin)
    given = graph.reading(origin).given  # what no site made: targets
    outside = not backward and given is not None and given.nonfinite > 0
    enters = (
        f"{given.nonfinite} of the numbers that enter it from outside the network, as targets do, are not finite."
        if given is not None and outside
        else f"what enters it is finite and at most {number(largest)} in magnitude."
    )
    said = sentence(backward_words(graph))
    what = "passes back a gradient that is not finite" if backward else f"makes {count} numbers that are not finite"
    return Finding(
        problem="non-finite",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=(
            Evidence(
                "non-finite numbers it makes" if not backward else "parameters with a non-finite gradient",
                float(count),
                "count",
            ),
            Evidence("largest magnitude that enters it", largest, "value"),
        ),
        reason=f"{site.name} ({site.operation}) {what}; {enters} {said}".rstrip(),
        advice="Write the backward anew, or let torch differentiate the forward: torch.autograd.gradcheck compares the two."
        if said
        else "Keep its argument away from the singular point (add an epsilon inside a root or a logarithm), mask before, not "
        "after, or use a dtype with more range (bfloat16, float32)."
        + (_BELOW_ZERO if site.operation in POSITIVE and not backward else ""),
        confidence=0.95,
        sources=("micikevicius2018",),
    )


def _of_the_batch(graph: Graph, inputs: Moments, takers: list[int]) -> Finding:
    first = graph.site(takers[0]) if takers else None
    return Finding(
        problem="non-finite",
        severity="critical",
        sites=tuple(graph.site(index).name for index in takers[:1]),
        where=first.where if first is not None else "",
        evidence=(
            Evidence("numbers of the batch that are not finite", float(inputs.nonfinite), "count"),
            Evidence("numbers of the batch", float(inputs.count), "count"),
        ),
        reason=f"{inputs.nonfinite} of the {inputs.count} numbers that enter the network are nan or infinite, and spread from there.",
        advice="Look for what made them (a missing value, a column divided by its deviation of 0), fill them in or leave such examples "
        "out, and assert torch.isfinite(x).all() where batches are made.",
        confidence=0.95,
        sources=("micikevicius2018",),
    )


def _at_a_batch(run: Run, broke: Step) -> Finding | None:
    """What the network, untrained or as it was right before, shows on the batch that broke the training."""
    found = non_finite(Graph.of(broken(run, broke)))
    if found is None:
        return None
    if run.broke_trained:
        return replace(found, reason=f"In step {broke.step}: {found.reason} Before the training it does not.")
    return replace(
        found, reason=f"{found.reason} The batch of step {broke.step} does that, to the untrained network too."
    )


def broken(run: Run, broke: Step) -> Run:
    """Return the run as it is on the batch that broke the training."""
    return replace(run, steps=(broke,), losses=(), broke=None, inputs=run.broke_inputs or run.inputs)


def _forward_origin(graph: Graph) -> int | None:
    """Return the first site that makes numbers which are not finite and stay so on a way to the loss; what is absorbed is meant."""

    def bad(index: int) -> bool:
        signal = graph.reading(index).signal
        return signal is not None and signal.nonfinite > 0 and graph.site(index).operation not in _MASKS

    def makers(index: int) -> list[int]:
        """What hands a site such numbers; of several parts of a chunk the first alone was seen, so plain sums look behind it."""
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        found = [source for source in sources if bad(source)]
        if not found and graph.site(index).operation in (*_PLAIN, *_PARTS):
            found = [below for s in sources if graph.site(s).operation in _PARTS for below in makers(s)]
        return found

    ends = [site.order for site in graph.run.sites if site.phase == "loss"]
    reach = ends[-1:] if ends and bad(ends[-1]) else [index for index in ends if bad(index)]
    reached: set[int] = set()
    while reach:
        index = reach.pop()
        if index not in reached:
            reached.add(index)
            reach += makers(index)
    first = min((index for index in reached if not makers(index)), default=None)
    if first is None or graph.site(first).operation not in _PLAIN or _largest_input(graph, first) > _OVERFLOWING:
        return first
    # Finite numbers have a finite product: the other factor may be made of parameters alone, which is no way of the signal.
    own = [i for i in range(first) if bad(i) and not any(s >= 0 and bad(s) for s, _ in graph.feeders.get(i, []))]
    return next((i for i in own if graph.descendants([i]).isdisjoint(ends)), first)


def _backward_origin(graph: Graph) -> int | None:
    for site in reversed(graph.run.sites):
        gradient = graph.reading(site.order).gradient
        if gradient is not None and gradient.nonfinite:
            return min(graph.consumers.get(site.order, []), key=lambda index: _blame(graph, index), default=site.order)
    return None


def _blame(graph: Graph, index: int) -> tuple[bool, bool, bool]:
    """Of several operations that take a signal: what passes nothing back, as a comparison, is not to blame, nor what chooses between others."""
    signal, gradient = graph.reading(index).signal, graph.reading(index).gradient
    overflows = signal is not None and signal.nonfinite > 0
    return gradient is None, not overflows, graph.site(index).operation in _MASKS


def _swallowed_before(graph: Graph, names: list[str]) -> int | None:
    """Return the first site with a result that is not finite, of finite ones, among what reaches the users of these parameters."""
    users = [site for p in graph.run.parameters if p.name in names for site in p.sites]
    for index in sorted(graph.ancestors(users) | set(users)):
        feeders = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
        signal = graph.reading(index).signal
        if signal is not None and signal.nonfinite and not any(below is None or below.nonfinite for below in feeders):
            return index
    return None


def _largest_input(graph: Graph, index: int) -> float:
    found = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
    known = [signal.maximum for signal in found if signal is not None]
    if not known and graph.run.inputs is not None:
        known = [graph.run.inputs.maximum]
    return max(known, default=0.0)


def _swallowed(graph: Graph) -> Finding | None:
    """An overflow inside the model that a division turns into zeros."""
    for site in graph.run.sites:
        signal = graph.reading(site.order).signal
        if (
            site.phase != "model"
            or site.operation not in _OVERFLOWS
            or signal is None
            or not signal.nonfinite
            or 2 * signal.nonfinite < signal.count
        ):
            continue
        sources = [graph.reading(source).signal for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if not sources or any(below is None or below.nonfinite for below in sources):
            continue
        largest = _largest_input(graph, site.order)
        return Finding(
            problem="non-finite",
            severity="critical",
            sites=(site.name,),
            where=site.where,
            evidence=(
                Evidence("non-finite numbers it makes", float(signal.nonfinite), "count"),
                Evidence("largest magnitude that enters it", largest, "value"),
            ),
            reason=(
                f"{site.name} ({site.operation}) overflows in {site.dtype}: {signal.nonfinite} of its {signal.count} numbers are not finite, from "
                f"at most {number(largest)}; what divides by them gives 0, so the loss stays finite and nothing passes."
            ),
            advice="Compute it in float32 (x.float() before the square, back afterwards), or use bfloat16.",
            confidence=0.95,
            sources=("micikevicius2018",),
            victims=tuple(graph.site(i).name for i in graph.layers() if i in graph.descendants([site.order])),
        )
    return None
