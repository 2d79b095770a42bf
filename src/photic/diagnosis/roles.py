"""Roles: which layers and activations of a network are hidden, and what follows what."""

from __future__ import annotations

import math

from photic.activations import find
from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT, Parameter

_RELU_LIKE = {
    "relu",
    "leaky_relu",
    "prelu",
    "rrelu",
    "elu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "relu6",
    "hardswish",
}
_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "einsum"}
_MATRICES = {"linear", "conv1d", "conv2d", "conv3d"}


def hidden_activations(graph: Graph) -> list[int]:
    """Return known activations between two layers; gates (their output multiplies something) are none."""
    weights = {site.order for site in graph.run.sites if site.kind == "weight" and site.phase == "model"}
    found: list[int] = []
    for site in graph.run.sites:
        if site.kind != "activation" or site.phase != "model" or find(site.operation, site.settings) is None:
            continue
        gate = any(graph.site(after).operation in ("mul", "where") for after in graph.consumers.get(site.order, []))
        clamp = site.operation.startswith("clamp") or site.operation in ("sin", "erf")
        above, below = graph.descendants([site.order]), graph.ancestors([site.order])
        if not gate and not clamp and above & weights and below & weights:
            found.append(site.order)
    return found


def normalisable(graph: Graph, fewest: int = 3) -> list[int]:
    """Return the sites before which a signal may be normalised: the hidden activations.

    Where none is known (products of layers, curves written by hand) the layers that take what other layers make, of `fewest` layers or more.
    """
    layers = graph.layers()
    made = [index for index in layers if graph.ancestors([index]) & set(layers)]
    return hidden_activations(graph) or (made if len(layers) >= fewest else [])


def growing_activations(graph: Graph) -> list[int]:
    """Return exponentials and powers between two layers that stand as an activation does: one comes right after a layer and feeds others."""
    weights = {site.order for site in graph.run.sites if site.kind == "weight" and site.phase == "model"}
    found: list[int] = []
    for site in graph.run.sites:
        exponent = site.settings.get("exponent", 2.0)
        slow = isinstance(exponent, (int, float)) and exponent <= 1.0
        if site.operation not in _GROWING or slow or site.phase != "model":
            continue
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        fed = {graph.site(after).kind for after in _past_constants(graph, site.order)}
        after_layer = len(sources) == 1 and sources[0] in weights
        if (
            after_layer
            and fed <= {"weight", "pooling", "shape", "dropout"}
            and graph.descendants([site.order]) & weights
        ):
            found.append(site.order)
    return found


def _past_constants(graph: Graph, index: int) -> list[int]:
    """Return what takes a signal, past sums and products with a plain number: exp(x) - 1."""
    found: list[int] = []
    pending = list(graph.consumers.get(index, []))
    while pending:
        here = pending.pop()
        plain = (
            graph.site(here).operation in ("add", "sub", "rsub", "mul", "div") and "other" in graph.site(here).settings
        )
        if plain:
            pending += graph.consumers.get(here, [])
        else:
            found.append(here)
    return found


_GROWING = ("exp", "expm1", "sinh", "cosh", "pow", "square")  # faster than what enters


def matrices(graph: Graph) -> list[int]:
    """Return the trained linear and convolution layers, in order of execution, each weight once."""
    seen: set[str] = set()
    found: list[int] = []
    for index in graph.layers():
        parameters = weight_and_bias(graph, index)
        if graph.site(index).operation in _MATRICES and parameters is not None and parameters[0] not in seen:
            seen.add(parameters[0])
            found.append(index)
    return found


def written_out(graph: Graph) -> list[int]:
    """Return the products with a trained matrix that no layer of torch's makes, in order of execution, each matrix once."""
    seen: set[str] = set()
    found: list[int] = []
    for index in graph.layers():
        name = own_matrix(graph, index)
        if graph.site(index).operation in _PRODUCTS and name and name not in seen:
            seen.add(name)
            found.append(index)
    return found


def own_matrix(graph: Graph, index: int) -> str:
    """Return the name of the one matrix, or stack of matrices, that a product written out uses as it is; '' of another form, or several."""
    facts = graph.reading(index).weight
    own = [(p, r) for p, r in graph.parameters.get(index, []) if p.trainable and len(p.shape) > 1]
    if facts is None or len(own) != 1 or "<" in own[0][0].name or math.prod(own[0][0].shape) % facts.fan_in:
        return ""
    expected = own[0][1].weight.rms ** 2 * facts.fan_in
    return own[0][0].name if abs(facts.row_square_sum - expected) <= 1e-3 * expected else ""


def activation_after(graph: Graph, index: int) -> str:
    """Return the operation of the activation that follows a layer; '' without one."""
    follower = graph.following_activation(index)
    return "" if follower is None else graph.site(follower).operation


def activation_before(graph: Graph, index: int) -> str:
    """Return the operation of the activation that feeds a layer, past shapes and dropout; '' without one."""
    while True:
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        if len(sources) != 1:
            return ""
        index = sources[0]
        site = graph.site(index)
        if site.kind == "activation":
            return site.operation
        if site.kind not in ("shape", "dropout", "pooling"):
            return ""


def relu_like(operation: str) -> bool:
    """Whether He's gain suits the activation: about half of its inputs pass, about half do not."""
    return operation in _RELU_LIKE


def weight_and_bias(graph: Graph, index: int) -> tuple[str, str] | None:
    """Return the names of a layer's trained weight and bias ('' without one).

    None where it has several weights, or uses a part of one, or another form.
    """
    own: list[Parameter] = [parameter for parameter, _ in graph.parameters.get(index, []) if parameter.trainable]
    weights = [parameter for parameter in own if len(parameter.shape) >= 2]
    biases = [parameter.name for parameter in own if len(parameter.shape) == 1]
    if len(weights) != 1 or len(biases) > 1 or "<" in weights[0].name:
        return None
    facts, plain = graph.reading(index).weight, graph.site(index).operation in _MATRICES
    if plain and facts is not None and facts.fan_in != math.prod(weights[0].shape[1:]):
        return None
    return weights[0].name, biases[0] if biases else ""


def residual_branches(graph: Graph) -> list[list[int]]:
    """Return the weights on each residual branch, in order: x + f(x) has those of f.

    A sum of two values is residual when one of them reaches their last common ancestor without a weight, and is not all 0.
    """
    weights = {site.order for site in graph.run.sites if site.kind == "weight" and site.phase == "model"}
    entered = {site.order for site in graph.run.sites if any(s == INPUT for s, _ in graph.feeders.get(site.order, []))}

    def above(source: int) -> set[int]:
        seen = (graph.ancestors([source]) | {source}) if source >= 0 else {INPUT}
        return seen | {INPUT} if seen & entered else seen

    found: list[list[int]] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.operation != "add" or site.phase != "model" or len(sources) != 2:
            continue
        first, second = map(above, sources)
        common = first & second
        if not common:
            continue
        fork = max(common)
        sides = [sorted(w for w in (side - common) & weights if w > fork) for side in (first, second)]
        if bool(sides[0]) == bool(sides[1]):
            continue
        skip = sources[1] if sides[0] else sources[0]
        given = graph.reading(skip).signal if skip >= 0 else None
        if given is None or given.rms > 0.0:
            found.append(sides[0] or sides[1])
    return found


def multiplies(parameter: Parameter) -> bool:
    """Whether a parameter is a factor of the signal: a matrix, or a vector that scales, as a normalisation's weight does; no bias."""
    return len(parameter.shape) > 1 or parameter.name.rpartition(".")[2] in ("weight", "gamma", "scale")
