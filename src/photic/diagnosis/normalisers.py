"""Normalisers: sites that take away the scale of a signal, torch's own and those written out."""

from __future__ import annotations

from photic.diagnosis.graph import Graph

_LENGTHS = {
    "norm",
    "vector_norm",
    "linalg_vector_norm",
    "linalg_norm",
    "std",
    "var",
    "std_mean",
    "var_mean",
    "sqrt",
    "rsqrt",
}
_BETWEEN = {
    *_LENGTHS, "clamp", "clamp_min", "add", "mean", "sum", "pow", "square", "mul", "sub", "reciprocal", "abs", "maximum",
}  # fmt: skip
_CENTRED = {"sub"}


def normaliser_of(graph: Graph, index: int) -> int | None:
    """Return the site whose scale the site takes away, `index` itself never; None where it is no normaliser.

    Written out it is a quotient of a signal by its own length, deviation or root of a mean square, or a product with the
    inverse of one: x / x.norm(), (x - mean) / std, x * rsqrt(mean square).
    """
    site = graph.site(index)
    sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    if site.kind == "normalisation":
        return sources[0] if sources else None
    if site.operation not in ("div", "mul") or len(sources) != 2:
        return None
    for signal, size in (sources, sources[::-1]):
        walked = _walk(graph, size, _BETWEEN)
        measured = {graph.site(one).operation for one in walked} & _LENGTHS
        if measured and walked & _walk(graph, signal, _CENTRED) and size not in _walk(graph, signal, _CENTRED):
            return signal
    return None


def normalised_right_after(graph: Graph, index: int) -> bool:
    """Whether what a site gives is normalised, by hand or by torch, before anything else but shapes, dropout, pooling and centring."""
    pending = [index]
    while pending:
        for after in graph.consumers.get(here := pending.pop(), []):
            site = graph.site(after)
            if site.kind == "normalisation" or normaliser_of(graph, after) == here:
                return True
            if site.kind in ("shape", "dropout", "pooling") or site.operation in _CENTRED:
                pending.append(after)
    return False


def _walk(graph: Graph, index: int, operations: set[str]) -> set[int]:
    """Return a site and those below it, as long as only such operations and shapes lie between."""
    seen, pending = {index}, [index]
    while pending:
        here = pending.pop()
        if graph.site(here).operation not in operations and graph.site(here).kind != "shape":
            continue
        for source, _ in graph.feeders.get(here, []):
            if source >= 0 and source not in seen:
                seen.add(source)
                pending.append(source)
    return seen
