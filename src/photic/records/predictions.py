"""Prediction: what theory expects at each site."""

from __future__ import annotations

from dataclasses import dataclass

from photic.records.pictures import Shown


@dataclass(frozen=True, slots=True)
class SitePrediction:
    """What theory expects at one site, for infinite width, with the band that finite width adds.

    Attributes:
        site: name of the site.
        signal_rms: expected root mean square of the output; None when not predicted.
        signal_mean: expected mean of the output.
        gain: expected factor on the gradient norm that passes back through the operation.
        transport: expected |dL/d output| / |dL/d top|, `top` being `Prediction.top`.
        low, high: band of `transport`, three standard deviations of a network of this width.
        not_predicted: '' or the reason why theory is silent here; it restarts from the measured signal.
    """

    site: str
    signal_rms: float | None
    signal_mean: float | None
    gain: float | None
    transport: float | None
    low: float | None
    high: float | None
    not_predicted: str = ""


@dataclass(frozen=True, slots=True)
class Prediction(Shown):
    """What mean-field theory expects of a network, site by site.

    Attributes:
        sites: parallel to `Run.sites`.
        top: name of the site whose gradient is the reference of `transport`.
        assumptions: what must hold for the numbers, in words.
    """

    sites: tuple[SitePrediction, ...]
    top: str
    assumptions: tuple[str, ...] = ()
