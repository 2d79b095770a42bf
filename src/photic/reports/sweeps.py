"""What a sweep says in numbers: how many networks learned within theory's depth, and how many beyond."""

from __future__ import annotations

from photic.records.sweeps import Sweep, SweepPoint

Panel = tuple[str, int, str, float]


def panel_of(point: SweepPoint) -> Panel:
    """Return what one panel has in common: activation, width, optimizer, learning rate."""
    return (point.activation, point.width, point.optimizer, point.learning_rate)


def shares(sweep: Sweep) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """Return for each panel: its name, (learned, all) of depths up to 6 depth scales, and (learned, all) beyond 12."""
    found: list[tuple[str, tuple[int, int], tuple[int, int]]] = []
    for panel in dict.fromkeys(panel_of(point) for point in sweep.points):
        scales = [scale for scale in sweep.theory if scale.activation == panel[0]]
        near, far = list[bool](), list[bool]()
        for point in sweep.points:
            if panel_of(point) != panel:
                continue
            scale = min(scales, key=lambda s: abs(s.weight_variance - point.weight_variance)).correlation_scale
            if point.depth <= 6.0 * scale:
                near.append(point.accuracy > 0.5)
            elif point.depth > 12.0 * scale:
                far.append(point.accuracy > 0.5)
        name = f"{panel[0]}, width {panel[1]}, {panel[2]} {panel[3]:g}"
        found.append((name, (sum(near), len(near)), (sum(far), len(far))))
    return found
