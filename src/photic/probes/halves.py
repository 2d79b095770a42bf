"""Halves: one table of sites from two recordings, the network in an eager pass and the loss in the user's own step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from photic.probes.recorder import Recorder
from photic.records.runs import EdgeReading, SiteReading
from photic.records.sites import Edge, Site

Table = tuple[tuple[Site, ...], tuple[SiteReading, ...], tuple[Edge, ...], tuple[EdgeReading, ...]]


def table(recorder: Recorder) -> Table:
    """Return what one recorder read."""
    readings, edges, edge_readings = recorder.readings()
    return tuple(forward.site for forward in recorder.forwards), readings, edges, edge_readings


def both(network: Table, loss: Table, stands_for: Mapping[int, int | None]) -> Table:
    """Put the loss behind the network.

    Args:
        stands_for: sites of the loss's table that are outputs of the network, with their sites in the network's table;
            with None they are left out, and what hangs on them hangs on nothing.
    """
    sites, readings, edges, edge_readings = (list(part) for part in network)
    place: dict[int, int | None] = {-1: -1}
    for site, reading in zip(loss[0], loss[1], strict=True):
        if site.order in stands_for:
            place[site.order] = stands_for[site.order]
            continue
        place[site.order] = len(sites)
        sites.append(replace(site, order=len(sites)))
        readings.append(reading)
    for edge, reading in zip(loss[2], loss[3], strict=True):
        source, target = place[edge.source], place[edge.target]
        if source is not None and target is not None and edge.target not in stands_for:
            edges.append(replace(edge, source=source, target=target))
            edge_readings.append(reading)
    return tuple(sites), tuple(readings), tuple(edges), tuple(edge_readings)  # pyright: ignore[reportReturnType]
