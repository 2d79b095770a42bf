"""Rank collapse: units, positions or examples become one, and what differs is lost."""

from __future__ import annotations

from photic.activations import find
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import (
    arriving,
    learns,
    learns_a_third,
    median_update,
    nothing_learned,
    rescued,
    shrinking,
)
from photic.diagnosis.made_alike_words import rows_made_alike, stack_made_alike
from photic.diagnosis.one_choice import OneChoice, one_choice
from photic.diagnosis.one_position import OnePosition, one_position
from photic.diagnosis.optimizers import adaptive
from photic.diagnosis.registry import rule
from photic.diagnosis.repeated import repeated_layers
from photic.diagnosis.views import Collapsed, collapsed_views
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence, Finding
from photic.records.profiles import Profile


@rule(sources=("dong2021", "noci2022", "schoenholz2017", "hanin2018"))
def rank_collapse(
    graph: Graph,
    depth: Profile | None,
    training: Training | None,
    *,
    units: float = 1e-6,
    tokens: float = 1e-4,
    examples: float = 0.01,
    thin: float = 1.2,
    line: float = 1.2,
) -> Finding | None:
    """What should differ is alike: the units of a layer, the positions of a sequence, or the examples of a batch.

    Signs: the rows of a weight matrix are equal (less than `units` of its mean square differs between them) at the start and
    after the steps; or through two or more attentions the positions of a sequence become equal (less than `tokens` of the
    mean square differs) though they differed below; or through ten or more layers the examples do (`examples`), or they
    have become so at the output within the steps, and the loss does not fall. Or a plain ReLU network, without skips and
    normalisation, is deep for its width: the sum of 1 / width over its layers exceeds `thin`, and the loss does not fall.

    Or through ten or more layers what differs between the examples comes to lie along one direction (less than `line` of them, where
    the first layer has twice as many or more), at the start and after the steps, in a network that bends nothing, and the loss does
    not fall.

    Or one layer is called three times or more on one value, and its results, which are equal, stand side by side.

    Or a loop that nothing enters after its first turn settles in one state for all examples; or the weights of a stack have one sign
    for the most part, and all examples come to lie on one line; or over ten layers or more without a skip the positions of a sequence
    become alike (`examples`), or rows are mixed eight times without a weight and lie on one line; and less
    than a third of what there is to learn is learned.

    Or the answers to all positions of an example are one, though there is one for each and a layer below tells as many apart.

    Or all examples, which differ, choose the same entry of a table, and the outputs are made of nothing else.

    Or two codes of one encoder are drawn together by a cosine or a squared error, both of them with a gradient, and what differs in
    them between the examples falls to a fifth, and below a tenth of the mean square.

    Why it matters: units with equal weights get equal gradients and stay one unit. Attention without skips averages, and
    averages of averages are one vector, doubly exponentially fast; queries and keys then get no gradient. In a deep ordered
    network all inputs end in the same output, even where the gradient arrives whole. In a thin one the lengths of signal and
    gradient are products of as many random factors as there are layers, and all inputs end on one line: in `dev.py bench
    thin` none with a sum of 1.25 or more came below a loss of 1.0 at three settings, most with up to 1 did at one.

    False alarms: alike inputs are not the network's doing (`unscaled-input`). Sigmoids have a common mean of 0.5, so that
    shallow networks of them have alike examples and learn. A network seen to learn is not accused of alike examples,
    nor one whose loss began far above chance and comes down fast. Thin
    networks still learn slowly under an adaptive optimizer: there it is information.
    """
    if depth is None:
        return _made_alike(graph, training)
    if views := collapsed_views(graph):
        return _views(graph, views)
    if (choice := one_choice(graph)) is not None and choice.whole:
        return _one_entry(graph, choice)
    if (same := one_position(graph)) is not None:
        return _one_answer(graph, same)
    return (
        _units(graph, units)
        or _repeated(graph, training)
        or _tokens(graph, tokens)
        or _made_alike(graph, training)
        or _examples(graph, depth, training, examples)
        or _line(graph, depth, training, line)
        or _fallen(graph, depth, training)
        or _thin(graph, training, thin)
    )


def _views(graph: Graph, views: list[Collapsed]) -> Finding:
    one = views[0]
    code, place = graph.site(one.code), graph.site(one.site)
    return _finding(
        graph,
        sorted({view.code for view in views}),
        f"{place.name} draws two codes of the same weights together, both get its gradient, and nothing keeps the examples apart: of the "
        f"mean square of {code.name} {number(one.first)} differed between them at the start and {number(one.last)} does after the steps.",
        "Stop the gradient of the code that is the goal (detach), or add a term that keeps the examples apart.",
        Evidence("share of the mean square that differs between examples", one.last, "share"),
        0.85,
        critical=False,
    )


def _one_entry(graph: Graph, choice: OneChoice) -> Finding:
    site = graph.site(choice.site)
    facts = graph.last.reading(choice.site).choice
    return _finding(
        graph,
        [choice.site],
        f"{site.name} chooses the same entry for all examples, at the first step and at the last, though they differ, and the outputs are "
        "made of that entry alone: all examples are one from there on.",
        "Draw the entries as far apart as what chooses among them (or from it), and draw anew those that are never chosen.",
        Evidence("entries that are chosen", 1.0 if facts is None else float(facts.made), "entries"),
        0.95,
        critical=True,
    )


def _one_answer(graph: Graph, same: OnePosition) -> Finding:
    return _finding(
        graph,
        [same.site],
        f"From {graph.site(same.site).name} on all positions of an example are the same vector, at the first step and at the last: "
        f"{number(same.share)} of the mean square of the answers differs between them, and up to {number(same.below)} did below.",
        "Add what is handed round or spread out to each position (or concatenate it); do not put it in the position's place.",
        Evidence("share of the mean square of the answers that differs between positions", same.share, "share"),
        0.9,
        critical=True,
    )


def _units(graph: Graph, limit: float) -> Finding | None:
    graph, last = graph.first, graph.last
    guilty: list[int] = []
    for index in graph.layers():
        at_first, at_last = graph.reading(index).weight, last.reading(index).weight
        shape = graph.site(index).shape
        if at_first is None and _constant(graph, index):
            guilty.append(index)
        if at_first is None or at_last is None or at_first.row_square_sum == 0.0 or not shape:
            continue
        table = "embedding" in graph.site(index).operation  # its units are its columns
        several = [
            p for p, _ in graph.parameters.get(index, []) if len(p.shape) >= 2 and p.shape[1 if table else 0] > 3
        ]
        if several and at_first.distinct < limit and at_last.distinct < limit:
            guilty.append(index)
    tables = [index for index in guilty if "embedding" in graph.site(index).operation]
    named = [index for index in graph.layers() if "embedding" not in graph.site(index).operation]
    others = len(guilty) - len(tables)
    if not guilty or (named and (not others or others * 2 < len(named))):
        return None  # what reads a table may tell its columns apart
    facts = graph.reading(guilty[0]).weight
    return _finding(
        graph,
        guilty,
        f"All units of {listed([graph.site(i).name for i in guilty])} have the same weights, so they give the same numbers, get the "
        "same gradient and stay one unit each.",
        "Draw the weights at random (He, Xavier), to make the units differ.",
        Evidence(
            "share of the weights' mean square that differs between units",
            0.0 if facts is None else facts.distinct,
            "share",
        ),
        0.97,
        critical=True,
    )


def _repeated(graph: Graph, training: Training | None) -> Finding | None:
    found = repeated_layers(graph)
    if not found:
        return None
    one = found[0]
    return _finding(
        graph,
        [one.layers[0]],
        f"At {graph.site(one.site).name} {len(one.layers)} results of one layer ({one.weight}) on one value are put side by side: they are "
        "the same numbers, get the same gradient, and are one unit, or one set of units, that many times.",
        "Make a new layer each time: [Layer() for _ in range(n)] has n layers, [Layer()] * n has one under n names.",
        Evidence("equal results side by side", float(len(one.layers)), "results"),
        0.95,
        critical=False,
        informs=learns(training, 0.5),
    )


def _constant(graph: Graph, index: int) -> bool:
    """Whether every matrix of a layer, a recurrent one, holds one number, and that is not 0."""
    matrices = [reading.weight for p, reading in graph.parameters.get(index, []) if len(p.shape) > 1]
    return bool(matrices) and all(w.rms > 0.0 and w.of_one_number and w.count > 3 for w in matrices)


def _tokens(graph: Graph, limit: float) -> Finding | None:
    mixing = [s.order for s in graph.run.sites if graph.reading(s.order).shares is not None and s.phase == "model"]
    if len(mixing) < 2:
        return None
    for places in (False, True):
        seen = [(s.order, value) for s in graph.run.sites if (value := _apart(graph, s.order, places)) is not None]
        mixed, last = graph.descendants(mixing[:1]), graph.descendants(mixing[-1:])
        below = [value for order, value in seen if order < mixing[0]]
        alike = [order for order, value in seen if order in mixed and value < limit]
        above = [value for order, value in seen if order in last]
        if not below or max(below) < 100.0 * limit or not alike or not above or max(above) >= limit:
            continue
        return _finding(
            graph,
            alike[:1],
            f"From {graph.site(alike[0]).name} on all positions of a sequence are the same vector (only {number(max(above))} of the mean "
            f"square differs, {number(max(below))} before the {len(mixing)} attentions): attention without a way around averages them "
            "away, and positions that begin alike ask alike.",
            "Put a skip around each attention, start it near the identity, or draw apart what begins alike.",
            Evidence("share of the mean square that differs between positions", max(above), "share"),
            0.9,
            critical=True,
        )
    return None


def _made_alike(graph: Graph, training: Training | None) -> Finding | None:
    if training is None or learns_a_third(training) or not training.last > 0.0:
        return None
    said = stack_made_alike(graph) if not learns(training) else None
    if (said := said or rows_made_alike(graph)) is None:
        return None
    return _finding(
        graph, list(said.sites), said.reason, said.advice, said.evidence, said.confidence, critical=said.critical
    )


def _apart(graph: Graph, index: int, places: bool) -> float | None:
    facts = graph.reading(index).spread
    return None if facts is None else facts.places if places else facts.tokens


def _examples(graph: Graph, profile: Profile, training: Training | None, limit: float) -> Finding | None:
    if profile.transport is None or profile.transport < 5e-3:
        return None  # a gradient that fades says more
    path = sorted(graph.main_path())
    layers = [index for index in graph.layers() if index in path]
    if len(layers) < 10 or training is None or learns(training) or arriving(training) or not training.last > 0.0:
        return None
    known = [(index, facts.examples) for index in layers if (facts := graph.reading(index).spread) is not None]
    sigmoids = any(graph.site(index).operation in ("sigmoid", "hardsigmoid", "softmax") for index in path)
    if sigmoids or len(known) < 10 or known[0][1] < 10.0 * limit or known[-2][1] >= limit:
        return None
    alike = next(index for index, value in known if value < limit)
    return _finding(
        graph,
        [alike],
        f"Over {len(layers)} layers all examples become one: at {graph.site(known[-2][0]).name} only {number(known[-2][1])} of the mean "
        f"square differs between them, {number(known[0][1])} at the first layer; {nothing_learned(training)}.",
        "Add residual connections or normalisation, or use fewer layers.",
        Evidence("share of the mean square that differs between examples", known[-2][1], "share"),
        0.8,
        critical=False,
    )


def _line(graph: Graph, profile: Profile, training: Training | None, limit: float) -> Finding | None:
    """A product of many matrices has one large singular value (saxe2014, section 3), and nothing brings the others back."""
    path = graph.main_path()
    layers = [index for index in graph.layers() if index in path]
    bent = any(graph.site(index).kind in ("activation", "attention", "sum") for index in path)
    if len(layers) < 10 or bent or training is None or training.steps < 10 or not training.last > 0.0:
        return None
    if learns(training) or arriving(training) or profile.transport is None or profile.transport < 5e-3:
        return None  # a gradient that fades says more
    graph = graph.first
    below, top, later = (
        _directions(g, index) for g, index in ((graph, layers[0]), (graph, layers[-2]), (graph.last, layers[-2]))
    )
    if below is None or top is None or later is None or max(top, later) >= limit or below < 2.0 * limit:
        return None
    return _finding(
        graph,
        [next(index for index in layers if (_directions(graph, index) or limit) < limit)],
        f"Over {len(layers)} layers all that differs between the examples comes to lie on one line: {number(top)} directions at "
        f"{graph.site(layers[-2]).name}, {number(below)} at the first layer; {nothing_learned(training)}.",
        "Start the matrices orthogonal, so that no direction grows at the cost of the others, or add residual connections.",
        Evidence("directions along which the examples differ", top, "directions"),
        0.8,
        critical=False,
    )


def _directions(graph: Graph, index: int) -> float | None:
    facts = graph.reading(index).spread
    return None if facts is None else facts.directions


def _fallen(graph: Graph, profile: Profile, training: Training | None) -> Finding | None:
    """The examples differed at the top at first and are one after some steps that did not lower the loss."""
    if training is None or training.chance is None or learns(training) or training.steps < 10:
        return None
    fades = profile.transport is not None and profile.transport < 5e-3
    if fades and profile.transport is not None and not rescued(graph, profile.transport):
        return None  # a gradient that fades says more
    if (shrinking(graph) or 1.0) < 0.5 or graph.run.facts.get("optimizer") == "assumed":
        return None  # weight decay: `stalled-training` says so
    if (median_update(graph.first) or 0.0) >= 0.5:
        return None  # one step replaces the weights: `learning-rate-too-large` says so
    graph, last = graph.first, graph.last
    layers = graph.layers()
    if graph.run.neighbours is not None and graph.run.neighbours < 0.25 and len(layers) >= 10:
        return None  # a gradient that was noise from the start says more
    early, late = (g.reading(layers[-1]).spread for g in (graph, last))
    if (
        len(layers) < 2
        or early is None
        or late is None
        or late.examples > 1e-7
        or late.examples > 1e-3 * early.examples
    ):
        return None
    return _finding(
        graph,
        [layers[-1]],
        f"After {training.steps} steps the output no longer depends on the input: {number(late.examples)} of its mean square differs "
        f"between examples, {number(early.examples)} did at the start; the loss is that of chance.",
        "Lower the learning rate or warm it up, and normalise what enters the activations.",
        Evidence("share of the mean square of the output that differs between examples", late.examples, "share"),
        0.7,
        critical=False,
    )


def _thin(graph: Graph, training: Training | None, limit: float) -> Finding | None:
    """Many layers of few units each, which the loss does not get through."""
    if training is None or training.steps < 10 or learns(training) or not training.last > 0.0:
        return None
    path = graph.main_path()
    if any(graph.site(index).kind in ("sum", "normalisation", "attention") for index in path):
        return None
    shaping = [graph.site(index) for index in path if graph.site(index).kind == "activation"]
    if not shaping or any((known := find(s.operation, s.settings)) is None or not known.homogeneous for s in shaping):
        return None
    layers = [index for index in graph.layers() if index in path]
    widths = {
        index: p.shape[0] for index in layers[:-1] for p, _ in graph.parameters.get(index, []) if len(p.shape) == 2
    }
    total = sum(1.0 / width for width in widths.values())
    if len(widths) < len(layers) - 1 or total <= limit:
        return None
    return _finding(
        graph,
        [layers[0]],
        f"{len(widths)} layers of {min(widths.values())} to {max(widths.values())} units are deep for their width: the sum of 1 / width is "
        f"{number(total)}, so that signals end on one line and their lengths, products of random factors, differ by orders of "
        f"magnitude; {nothing_learned(training)}.",
        "Add residual connections or normalisation, make the layers wider, or use fewer of them.",
        Evidence("sum of 1 / width over the layers", total, "ratio"),
        0.7,
        critical=False,
        informs=adaptive(graph.run) or graph.run.facts.get("optimizer") == "assumed",
    )


def _finding(
    graph: Graph,
    sites: list[int],
    reason: str,
    advice: str,
    evidence: Evidence,
    confidence: float,
    *,
    critical: bool,
    informs: bool = False,
) -> Finding:
    return Finding(
        problem="rank-collapse",
        severity="info" if informs else "critical" if critical else "warning",
        sites=tuple(graph.site(index).name for index in sites),
        where=graph.site(sites[0]).where,
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=confidence,
        sources=("dong2021", "noci2022", "schoenholz2017"),
    )
