"""Profile: the depth profile of one audit, ready to be shown: layers, reach and gradient budget."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer (site of kind `weight`) of the depth profile.

    Attributes:
        site: name of the site.
        where: `file:line` or ''.
        signal_mean, signal_deviation: of the layer's output after its activation, if one follows.
        transport: |dL/d output| / |dL/d top layer's output|; None where no gradient arrived.
        arrival: `transport`, or the gradient at the layer's input where a skip also carries it, whichever is
            larger: does the gradient reach this depth?
        predicted, low, high: expected transport and its band; None when not predicted.
        weight_gain: measured gain of the operation itself, towards its input; None for the first layer.
        activation_gain: measured gain of the activation that follows; None without one.
        activation: name of that activation's site, '' without one.
        update_ratio: relative update that one step gives the layer's weight; None when unknown.
        reached: whether `arrival` is at least the profile's threshold.
    """

    site: str
    where: str
    signal_mean: float | None
    signal_deviation: float | None
    transport: float | None
    arrival: float | None
    predicted: float | None
    low: float | None
    high: float | None
    weight_gain: float | None
    activation_gain: float | None
    activation: str
    update_ratio: float | None
    reached: bool


@dataclass(frozen=True, slots=True)
class JoinPart:
    """What one consumer passes back to a value that several consumers take.

    Attributes:
        site: the consumer.
        norm: |its contribution| / |the sum of all contributions|.
        cosine: between its contribution and that sum; None when unknown.
        share: norm * cosine, its part of the sum; the shares of all parts add up to 1.
        on_path: whether the main path comes through it: of a residual block usually the skip.
    """

    site: str
    norm: float
    cosine: float | None
    share: float | None
    on_path: bool


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """What one operation on the main path did to the gradient, from the top downwards.

    The product of `gain` over all lines is the measured transport to the deepest site.

    Attributes:
        site: name of the site; `join` lines carry the site whose output has several consumers.
        operation: its operation, or `join` where the contributions of several consumers meet.
        kind: the site's kind, or `join`.
        gain: factor on the norm.
        share: log(gain) over the log of the whole path's gain; 0 when the whole is 1.
        module: the module that it belongs to; for a join the innermost one that holds all consumers.
        parts: for a join, what each consumer passed back.
    """

    site: str
    operation: str
    kind: str
    gain: float
    share: float
    module: str = ""
    parts: tuple[JoinPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A module with all that runs inside it, summed up: `layers.3`, `encoder.layer.7`.

    Attributes:
        path: module path; '' is the whole network.
        operations: sites inside, at any depth.
        layers: trained layers inside.
        gain: product of the budget's gains inside; None when the main path does not cross it.
        share: log(gain) over the log of the whole path's gain; shares of disjoint blocks add up.
        signal_rms: of the last value made inside.
        transport: |dL/d that value| / |dL/d top|; None where no gradient arrived.
        children: paths of the blocks directly inside.
    """

    path: str
    operations: int
    layers: int
    gain: float | None
    share: float
    signal_rms: float | None
    transport: float | None
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """The depth profile of one step.

    Attributes:
        step: which step.
        layers: in order of execution.
        budget: operations on the main path, from the loss downwards.
        reached: number of layers that the gradient reaches.
        threshold: smallest `arrival` that counts as reached.
        top: name of the reference site.
        transport: measured transport to the deepest layer, None when none arrived.
        blocks: every module that holds at least two operations and those beside one, parents before children.
    """

    step: int
    layers: tuple[LayerLine, ...]
    budget: tuple[BudgetLine, ...]
    reached: int
    threshold: float
    top: str
    transport: float | None
    blocks: tuple[Block, ...] = ()

    @property
    def reach(self) -> str:
        """The headline: `the gradient reaches 2 of 11 layers`."""
        noun = "layer" if len(self.layers) == 1 else "layers"
        return f"the gradient reaches {self.reached} of {len(self.layers)} {noun}"
