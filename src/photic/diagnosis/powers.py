"""Powers: modules that multiply a signal with itself, again and again, so that what they give grows as a power of what enters."""

from __future__ import annotations

from photic.diagnosis.graph import Graph


def polynomial_modules(graph: Graph, degree: int = 3) -> list[tuple[str, int]]:
    """Return (module, first of its sites) where products of two values of one module, both made of its signal, reach `degree`.

    What bends the signal in between and keeps it bounded, a softmax or a sigmoid, begins anew: gates and attention are of degree 2.
    """
    degrees: dict[int, int] = {}
    first: dict[str, int] = {}
    highest: dict[str, int] = {}
    for site in graph.run.sites:
        if site.phase != "model":
            break
        first.setdefault(site.module, site.order)
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        inside = [degrees[s] if s >= 0 and graph.site(s).module == site.module else 1 for s in sources]
        power = site.settings.get("exponent", 1) if site.operation == "pow" else 1
        if site.kind in ("activation", "normalisation") and site.operation not in ("pow", "square", "relu", "abs"):
            here = 1
        elif site.operation in ("mul", "square", "pow"):
            alone = 2 if site.operation == "square" else max(int(power), 1) if isinstance(power, (int, float)) else 1
            here = sum(inside) if len(inside) > 1 else alone * sum(inside)
        else:
            here = max(inside, default=1)
        degrees[site.order] = here
        highest[site.module] = max(highest.get(site.module, 1), here)
    return [(name, first[name]) for name, reached in highest.items() if reached >= degree]
