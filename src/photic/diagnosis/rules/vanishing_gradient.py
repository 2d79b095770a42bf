"""Vanishing gradient: it shrinks from layer to layer until the lower ones hardly learn."""

from __future__ import annotations

import math
from collections import Counter

from photic.activations import find
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.hand_written import backward_words, sentence
from photic.diagnosis.learning import arriving, decayed, learns, rescued
from photic.diagnosis.optimizers import adaptive
from photic.diagnosis.registry import rule
from photic.diagnosis.roles import multiplies
from photic.diagnosis.scale import scales
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding
from photic.records.profiles import BudgetLine, LayerLine, Profile
from photic.records.vocabulary import Severity

_SHORT = 0.8  # of the wanted fan_in * Var[w]: below it the weights are to blame


@rule(sources=("glorot2010", "schoenholz2017", "hochreiter1998"))
def vanishing_gradient(
    graph: Graph,
    profile: Profile,
    training: Training | None,
    *,
    warning: float = 5e-3,
    critical: float = 1e-3,
    still_moves: float = 0.01,
) -> Finding | None:
    """The error gradient shrinks on its way down until the lower layers hardly learn.

    Signs: along the main path, the path on which most of the gradient comes down, the norm of the gradient at the
    lower layers is less than `warning` of that at the top layer. It is a ratio, so the scale of the loss does not matter.
    `dev.py bench thresholds` is the experiment behind the numbers.

    Why it matters: a step of gradient descent is proportional to the gradient. A layer that gets a millionth of it
    needs a million times as many steps, and its noise does not shrink with it.

    False alarms: an adaptive optimizer (Adam) divides by the gradient's own size; where the layers are seen to move
    as much as the others (`still_moves` of the median relative update), this is information, unless so little arrives
    that even Adam hardly starts, and the loss does not fall. Skips
    carry the gradient past a branch, so only the main path counts. Weights that start at exactly 0 and get a gradient
    (LoRA's second factor, zero-initialised branches) let it through after one step. Frozen layers are no layers here.
    """
    on_path = _above_waking_zeros(graph, [line for line in _lines_on_path(graph, profile) if line.arrival is not None])
    if len(on_path) < 2 or (graph.step > 0 and decayed(graph) is not None):  # pulled to 0: `stalled-training` says so
        return None
    lowest = min(on_path, key=lambda line: line.arrival or 0.0)
    arrival = lowest.arrival or 0.0
    if arrival >= warning or profile.transport is None:
        return None
    severity: Severity = "critical" if arrival < critical else "warning"
    deepest = min(
        graph.run.site(line.site).order for line in on_path
    )  # branches starve with the path that they hang on
    starved = [line.site for line in profile.layers if not line.reached and graph.run.site(line.site).order >= deepest]
    moving = adaptive(graph.run) and _moves(on_path, still_moves)
    learning = severity == "warning" and (learns(training, 0.8) or arriving(training))
    if moving:
        stuck = training is not None and not learns(training, 0.97)
        severity = "warning" if severity == "critical" and stuck and not rescued(graph, arrival) else "info"
    elif learning:
        severity = "info"
    shrinking = [line for line in profile.budget if line.gain < 1.0 and line.kind != "join"]
    if not shrinking:
        return None
    cause = _cause(graph, shrinking)
    return Finding(
        problem="vanishing-gradient",
        severity=severity,
        sites=tuple(cause),
        where=graph.run.site(cause[0]).where,
        evidence=(
            Evidence("gradient at the lowest layer, relative to the top layer", arrival, "ratio"),
            Evidence("layers that the gradient reaches", float(profile.reached), f"of {len(profile.layers)}"),
            Evidence("typical gain per activation", _typical(shrinking, "activation"), "ratio"),
            Evidence("typical gain per weight", _typical(shrinking, "weight"), "ratio"),
        ),
        reason=" ".join(
            filter(None, (_reason(graph, profile, shrinking, arrival, lowest.site), sentence(backward_words(graph))))
        ),
        advice=_advice(graph, shrinking),
        confidence=_confidence(profile, arrival, warning),
        sources=("glorot2010", "schoenholz2017", "hochreiter1998"),
        victims=tuple(starved),
    )


def _lines_on_path(graph: Graph, profile: Profile) -> list[LayerLine]:
    names = {graph.site(index).name for index in graph.main_path()}
    return [line for line in profile.layers if line.site in names]


def _above_waking_zeros(graph: Graph, lines: list[LayerLine]) -> list[LayerLine]:
    """Leave out what lies below weights on the main path that are exactly 0 but get a gradient."""
    for index in reversed(graph.main_path()):
        factors = [r for p, r in graph.parameters.get(index, []) if multiplies(p)]
        if factors and all(r.weight.rms == 0.0 and r.gradient is not None and r.gradient.rms > 0.0 for r in factors):
            return [line for line in lines if graph.run.site(line.site).order >= index]
    return lines


def _moves(lines: list[LayerLine], share: float) -> bool:
    """Whether every layer's relative update is at least `share` of the median one; False when it is not known."""
    updates = sorted(line.update_ratio for line in lines if line.update_ratio is not None)
    return len(updates) == len(lines) and updates[0] >= share * updates[len(updates) // 2] > 0.0


def _typical(lines: list[BudgetLine], kind: str) -> float:
    logs = [math.log(line.gain) for line in lines if line.kind == kind and line.gain > 0.0]
    return math.exp(sum(logs) / len(logs)) if logs else 1.0


def _cause(graph: Graph, shrinking: list[BudgetLine]) -> list[str]:
    """Return the sites that take the gradient: what takes half of it, weights too small, or the kind that takes most."""
    worst = min(shrinking, key=lambda line: line.gain)
    total = sum(-math.log(max(line.gain, 1e-300)) for line in shrinking)
    if -math.log(max(worst.gain, 1e-300)) > 0.5 * total and len(shrinking) > 3:
        return [worst.site]
    if taking := _taking(shrinking):
        return [line.site for line in reversed(taking)]  # in order of execution
    weak = [graph.site(index).name for index, ratio in scales(graph).items() if ratio < _SHORT]
    if 2 * len(weak) >= len([line for line in shrinking if line.kind == "weight"]) > 0:
        return weak  # what the activation takes, weights of the right size give back
    shares: Counter[str] = Counter()
    for line in shrinking:
        shares[line.kind] += int(-1e6 * math.log(max(line.gain, 1e-300)))
    kind = shares.most_common(1)[0][0]
    order = {site.name: site.order for site in graph.run.sites}
    return sorted((line.site for line in shrinking if line.kind == kind), key=lambda name: order[name])


def _taking(shrinking: list[BudgetLine]) -> list[BudgetLine]:
    """Return the lines of the arithmetic (a factor, a mean) that takes more than half, if it is one operation, met twice or more.

    Weights and activations are judged together, since one can give back what the other takes; nobody gives this back.
    """
    taken: Counter[str] = Counter()
    for line in shrinking:
        taken[line.operation] += int(-1e6 * math.log(max(line.gain, 1e-300)))
    operation, most = taken.most_common(1)[0]
    lines = [line for line in shrinking if line.operation == operation]
    plain = all(line.kind not in ("weight", "activation", "normalisation") for line in lines)
    return lines if plain and len(lines) > 1 and 2 * most > taken.total() else []


def _factor(graph: Graph, taking: list[BudgetLine]) -> float | None:
    """Return the constant that each of them multiplies by (the mean of them, if they differ); None if it is not one."""
    found: list[float] = []
    for line in taking:
        site = graph.run.site(line.site)
        other = site.settings.get("other")
        if site.operation not in ("mul", "div") or not isinstance(other, (int, float)) or not other:
            return None
        found.append(abs(float(other)) if site.operation == "mul" else 1.0 / abs(float(other)))
    return math.exp(sum(map(math.log, found)) / len(found)) if found else None


def _reason(graph: Graph, profile: Profile, shrinking: list[BudgetLine], arrival: float, lowest: str) -> str:
    acting = [line for line in shrinking if line.kind == "activation"]
    weighing = [line for line in shrinking if line.kind == "weight"]
    ending = f"{number(arrival)} of the top layer's gradient arrives at {lowest or 'the lowest layer'}"
    worst = min(shrinking, key=lambda line: line.gain)
    if worst.gain == 0.0:
        return f"{worst.site} ({worst.operation}) passes no gradient at all; none arrives at {lowest or 'the lowest layer'}."
    if worst.share > 0.5 and len(shrinking) > 3:
        return f"{worst.site} ({worst.operation}) alone passes only {percent(worst.gain)} of the gradient; {ending}."
    if taking := _taking(shrinking):
        factor, sites = _factor(graph, taking), listed([line.site for line in reversed(taking)])
        what = f"{taking[0].operation} operations" if factor is None else f"factors of {number(factor)}"
        each = _typical(taking, taking[0].kind)
        return f"Each of the {len(taking)} {what} on the main path ({sites}) passes {percent(each)} of the gradient; {ending}."
    if not acting or not weighing:
        names = listed([line.site for line in shrinking])
        each = math.exp(sum(math.log(max(line.gain, 1e-300)) for line in shrinking) / len(shrinking))
        return f"Each of {len(shrinking)} operations ({names}) passes {percent(each)} of the gradient; {ending}."
    slope, weight = _typical(acting, "activation"), _typical(weighing, "weight")
    operation = Counter(line.operation for line in acting).most_common(1)[0][0]
    return (
        f"Each of the {len(acting)} {operation} layers passes {percent(slope * weight)} of the gradient: "
        f"{percent(slope)} because {_why_slope(graph, acting, operation)} and {percent(weight)} because "
        f"{_why_weight(graph, weighing)}; over {len(acting)} layers {ending}."
    )


def _why_slope(graph: Graph, acting: list[BudgetLine], operation: str) -> str:
    site = graph.run.site(acting[0].site)
    activation = find(site.operation, site.settings)
    if activation is None:
        return "of its slope"
    if activation.largest_slope < 0.9:
        return f"its slope is at most {number(activation.largest_slope)}"
    if activation.homogeneous:
        return "it is flat for half of its inputs"
    return "its units sit where it is flatter than at 0"


def _why_weight(graph: Graph, weighing: list[BudgetLine]) -> str:
    facts = [graph.reading(graph.run.site(line.site).order).weight for line in weighing]
    products = [item.row_square_sum for item in facts if item is not None]
    if not products:
        return "of its weights"
    product = math.exp(sum(math.log(max(value, 1e-300)) for value in products) / len(products))
    default = " (PyTorch's default)" if 0.28 < product < 0.39 else ""
    return (
        f"the weights have fan_in * Var[w] = {number(product)}{default}, "
        f"{number(1.0 / math.sqrt(product))} times too small for unit gain"
    )


def _advice(graph: Graph, shrinking: list[BudgetLine]) -> str:
    acting = [line for line in shrinking if line.kind == "activation"]
    taking = _taking(shrinking)
    if taking and _factor(graph, taking) is not None:
        return (
            "Take the factor off the way that the gradient comes down: leave it out, or scale the branch alone, x + c * f(x) "
            "instead of c * (x + f(x))."
        )
    if not acting:
        return (
            "Initialise the weights so that fan_in * Var[w] = 1 (Xavier), or add residual connections or normalisation."
        )
    site = graph.run.site(acting[0].site)
    activation = find(site.operation, site.settings)
    if activation is not None and activation.homogeneous:
        return "Initialise the weights for this activation: He, Var[w] = 2 / fan_in (torch.nn.init.kaiming_normal_)."
    if activation is not None and activation.largest_slope < 0.9:
        return (
            f"Replace {site.operation} in the hidden layers (tanh with Xavier, ReLU with He), or keep it with the centred "
            "initialisation: Var[w] = 16 / fan_in and each bias minus half the sum of its weights. Xavier alone does not help."
        )
    return "Initialise with Xavier, Var[w] = 2 / (fan_in + fan_out), or add normalisation or residual connections."


def _confidence(profile: Profile, arrival: float, threshold: float) -> float:
    """0.6 at the threshold, rising by 0.1 per decade below it; theory's agreement makes it surer."""
    decades = math.log10(threshold / max(arrival, 1e-300))
    agrees = any(
        line.low is not None
        and line.high is not None
        and line.transport is not None
        and line.low <= line.transport <= line.high
        for line in profile.layers[:1]
    )
    return min(0.99, 0.6 + 0.1 * decades + (0.1 if agrees else 0.0))
