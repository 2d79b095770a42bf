"""Likelihoods: losses that take logarithms of probabilities, and sums of such without their minus sign."""

from __future__ import annotations

from photic.diagnosis.graph import Graph

OF_LOGARITHMS = ("nll_loss", "ctc_loss")  # they take logarithms of probabilities
_MOVES = ("shape", "dropout")
_REDUCED = ("mean", "sum", "nanmean", "nansum")
_PICKED = ("gather", "getitem", "masked_select", "take_along_dim", "diagonal", "diag", "index_select")
_SQUASHED = ("sigmoid", "softmax")
_GUARDED = ("clamp", "clamp_min", "clamp_max", "add", "sub", "rsub")


def bare_likelihood(graph: Graph) -> list[int]:
    """Return the means and sums whose total is the loss, where all that goes into them are logarithms of probabilities; else none.

    A log_softmax, a logsigmoid, or the logarithm of a sigmoid or a softmax is never above 0. Nothing on the way may turn a sign.
    """
    ends = [s.order for s in graph.run.sites if s.phase == "loss" and not graph.consumers.get(s.order)]
    scalars = [index for index in ends if not graph.site(index).shape]
    if len(scalars) != 1 or graph.loss is None or not graph.loss < 0.0:
        return []
    reduced: list[int] = []
    pending, seen, logarithms = [(scalars[0], False)], {(scalars[0], False)}, 0
    while pending:
        index, below = pending.pop()
        site = graph.site(index)
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        if _logarithm(graph, index):
            logarithms += 1
            continue
        if site.operation in _REDUCED and not below:
            reduced.append(index)
            below = True
        straight = (
            site.operation in ("add", *_REDUCED, *_PICKED, "cat", "stack")
            or site.kind == "shape"
            or _positive(graph, index)
        )
        if not sources or not straight:
            return []
        new = {(source, below) for source in sources} - seen
        seen |= new
        pending += new
    return sorted(set(reduced)) if logarithms else []


def _positive(graph: Graph, index: int) -> bool:
    """Whether a site multiplies or divides by a plain number above 0."""
    site, other = graph.site(index), graph.site(index).settings.get("other")
    return site.operation in ("mul", "div") and isinstance(other, (int, float)) and other > 0.0


def _logarithm(graph: Graph, index: int) -> bool:
    """Whether a site gives logarithms of probabilities."""
    operation = graph.site(index).operation
    if operation in ("logsigmoid", "log_softmax"):
        return True
    if operation != "log":
        return False
    seen, pending = set[int](), [index]
    while pending:
        for source, _ in graph.feeders.get(pending.pop(), []):
            if source < 0 or source in seen:
                continue
            seen.add(source)
            if graph.site(source).operation in _SQUASHED:
                return True
            if graph.site(source).operation in (*_GUARDED, *_PICKED) or graph.site(source).kind == "shape":
                pending.append(source)
    return False


def of_logarithms(graph: Graph) -> set[int]:
    """Return what feeds the losses that take logarithms of probabilities."""
    losses = [site.order for site in graph.run.sites if site.operation in OF_LOGARITHMS and site.phase == "loss"]
    return {source for index in losses for source in past_shapes(graph, index)}


def past_shapes(graph: Graph, index: int) -> list[int]:
    """Return what feeds a site, past what only moves values."""
    found: list[int] = []
    pending = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    while pending:
        source = pending.pop()
        if graph.site(source).kind in _MOVES:
            pending += [below for below, _ in graph.feeders.get(source, []) if below >= 0]
        else:
            found.append(source)
    return found
