"""Frozen layers: left as they are by `requires_grad=False` or next to no learning rate, while the loss stands still."""

from __future__ import annotations

import math

from photic.diagnosis.drawn import as_drawn, drawn_evenly, one_number
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, nothing_learned
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding
from photic.records.sites import Parameter

_NEXT_TO_NONE = 1e-6  # of the largest rate; layer-wise decay of fine-tuning ends above 1e-4
_SOME = 256  # numbers of layers that fill the range evenly; what was learned ends elsewhere
_PLENTY = 4096  # numbers from which on the variance of one matrix says how it was drawn


@rule(sources=("zhang2022",))
def frozen_layers(graph: Graph, training: Training | None, *, enough: int = 40) -> Finding | None:
    """Layers do not move because they are told not to, and the loss does not fall, or nothing was ever learned in them.

    Signs: layers all of whose parameters have `requires_grad=False`, or a learning rate of 0 (a millionth) beside others that have
    one, and training steps that do not lower the loss.

    Why it matters: what is frozen by a line that was forgotten looks like any other layer.

    False alarms: freezing is nearly always meant (a pre-trained backbone, the base of a low-rank update), so this is
    information, and nothing is said where several optimizers take turns (a GAN). Where nothing was learned in what is frozen (it has
    the variance that torch draws layers with, or all numbers alike) it is a warning after `enough` steps that do not lower the loss,
    and information while the loss falls and nothing is trained beneath, since features drawn at random may be meant; otherwise
    nothing is said while it falls.
    """
    run = graph.run
    if training is None or run.facts.get("optimizers") == "several":
        return None
    learning = learns(training)
    rates = {p.learning_rate for p in run.parameters if p.trainable and p.learning_rate is not None}
    none = _NEXT_TO_NONE * max(rates, default=0.0)
    by_rate = len(rates) > 1 and min(rates) <= none
    still: dict[str, str] = {}
    places: list[int] = []
    for site in run.sites:
        held = [p for p, _ in graph.parameters.get(site.order, [])]
        if site.kind != "weight" or site.phase != "model" or not held:
            continue
        if not any(p.trainable for p in held):
            still[site.name] = "requires_grad=False"
        elif by_rate and all(p.learning_rate is not None and p.learning_rate <= none for p in held if p.trainable):
            still[site.name] = "a learning rate of 0" if min(rates) == 0.0 else f"a learning rate of {min(rates):g}"
        else:
            continue
        places.append(site.order)
    # What is frozen and takes numbers of words lies in no way of the gradient: no site knows of it.
    alike = [p for p in one_number(graph) if not p.trainable]
    unseen = [p.name.rpartition(".")[0] or p.name for p in alike if not p.sites]
    empty = [p.name.rpartition(".")[0] or p.name for p in _mostly_zeros(graph)]
    sites = tuple(still)
    still |= dict.fromkeys([*unseen, *empty], "requires_grad=False")
    if not still:
        return None
    causes = " and ".join(sorted(set(still.values())))
    # Small parameters that are trained between frozen layers (gains, adapters) are a way to fine-tune, and freeze on purpose.
    frozen = set(frozen_parameters(graph))
    moved = [min(p.sites) for p in run.parameters if p.sites and p.name not in frozen]
    beneath = bool(places and moved) and min(moved) < max(places)
    fresh = _fresh(graph, places)
    raw = not beneath and (bool(unseen) or bool(fresh))
    if learning and not raw and not empty:
        return None
    course = "although the loss falls, it might fall further" if learning else nothing_learned(training)
    return Finding(
        problem="frozen-layers",
        severity="warning" if raw and not learning and training.steps >= enough else "info",
        sites=sites,
        where=run.site(sites[0]).where if sites else "",
        evidence=(Evidence("layers that are frozen", float(len(still)), "layers"),),
        reason=f"{listed(list(still))} stay as they are, by {causes}, and {course}"
        + (_nothing_learned(graph, fresh, places) if raw else "")
        + (f"; most numbers of {listed(empty)} are 0." if empty and not raw else "" if raw else "."),
        advice="If they are meant to learn, set requires_grad to True and give them a rate; if not, all is well with them.",
        confidence=0.9 if raw or empty else 0.6,
        sources=("zhang2022",),
    )


def frozen_parameters(graph: Graph) -> list[str]:
    """Return the parameters of the model that are frozen, or have next to no learning rate beside others."""
    own = [
        p for p in graph.run.parameters if "<" not in p.name and not any(graph.site(i).phase == "loss" for i in p.sites)
    ]
    none = _NEXT_TO_NONE * max((p.learning_rate for p in own if p.learning_rate is not None), default=0.0)
    return [p.name for p in own if not p.trainable or (p.learning_rate is not None and p.learning_rate <= none)]


def unlearned_parameters(graph: Graph) -> list[str]:
    """Return the frozen parameters of the layers in which nothing was learned, where others were learned; else all that are frozen."""
    frozen = set(frozen_parameters(graph))
    places = [
        site.order
        for site in graph.run.sites
        if site.kind == "weight" and site.phase == "model" and _all_in(graph, site.order, frozen)
    ]
    fresh = _fresh(graph, places)
    held = {p.name for index in fresh for p, _ in graph.parameters.get(index, [])}
    unlearned = (held | {p.name for p in one_number(graph)}) & frozen or frozen
    return [p.name for p in graph.run.parameters if p.name in unlearned]


def _all_in(graph: Graph, index: int, names: set[str]) -> bool:
    held = [p.name for p, _ in graph.parameters.get(index, [])]
    return bool(held) and names.issuperset(held)


def _mostly_zeros(graph: Graph) -> list[Parameter]:
    """Return frozen tables that no site knows of and that are 0 for the most part, as those of words that a file does not have."""
    read = zip(graph.run.parameters, graph.first.run.steps[0].parameters, strict=True)
    return [
        p
        for p, reading in read
        if not p.trainable
        and not p.sites
        and len(p.shape) == 2
        and 2 * reading.weight.zeros > reading.weight.count > reading.weight.zeros
    ]


def _fresh(graph: Graph, places: list[int]) -> list[int]:
    """Return the layers that are as torch draws them: all of them, or those whose numbers fill the range evenly; too few numbers say nothing."""
    sizes = {index: sum(math.prod(p.shape) for p, _ in graph.parameters.get(index, [])) for index in places}
    if as_drawn(graph, places, fewest=1 if max(sizes.values(), default=0) >= _PLENTY else 2):
        return places
    even = [index for index in places if drawn_evenly(graph, index)]
    return even if sum(sizes[index] for index in even) >= _SOME else []


def _nothing_learned(graph: Graph, fresh: list[int], places: list[int]) -> str:
    which = "them" if fresh == places or not fresh else listed([graph.site(index).name for index in fresh])
    return f"; nothing was learned in {which}: they are as torch draws them, or all numbers alike."
