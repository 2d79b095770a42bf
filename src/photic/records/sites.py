"""Sites: the operations where we measure, the edges between them, and the parameters they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from photic.records.vocabulary import Kind, Phase

INPUT = -1  # `Edge.source` of a signal that no site made: the batch itself


@dataclass(frozen=True, slots=True)
class Site:
    """One operation of the network, in the order of execution.

    Attributes:
        name: module path, `layers.3`; an operation inside a forward appends `/sigmoid#2` (the second
            sigmoid of that module; in the root `/sigmoid#2`). In the loss: `<loss>/cross_entropy#1`.
        operation: torch's name of the function: `linear`, `sigmoid`, `add`.
        where: `path/to/model.py:42`, the user's line that ran it; '' when there is none.
        kind: what the operation does to the signal.
        order: position in the order of execution, equal to the index in `Run.sites`.
        module: path of the innermost module whose forward ran it; '' for the root.
        module_type: class name of that module.
        phase: inside the model's forward or in the loss.
        shape: shape of the output (of the first one if there are several).
        dtype: dtype of the output: `float32`.
        settings: numbers and words that define the operation: `{"negative_slope": 0.01}`, `{"stride": 2}`.
        differentiable: False when the output carries no gradient although an input did: the path is cut.
    """

    name: str
    operation: str
    where: str
    kind: Kind
    order: int
    module: str = ""
    module_type: str = ""
    phase: Phase = "model"
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    settings: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])
    differentiable: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """The signal of site `source` enters site `target`; both are indices, `source` may be `INPUT`."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the model.

    Attributes:
        name: its name in `named_parameters()`; tied parameters appear once.
        shape: its shape.
        dtype: `float32`.
        trainable: its `requires_grad`.
        owned: an optimizer holds it; None when no optimizer was given.
        sites: indices of the sites that use it.
        aliases: further names of the same tensor (tied weights).
        learning_rate: of its optimizer group; None when no optimizer was given or none holds it.
        hooked: whether a hook changes its gradient before the optimizer sees it.
        hidden: the module in which a custom autograd function used it without recording, where no gradient came of it; else ''.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    owned: bool | None
    sites: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    learning_rate: float | None = None
    hidden: str = ""
    hooked: bool = False


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be seen, and why. A result, not a silence."""

    what: str
    why: str
    where: str = ""


@dataclass(frozen=True)
class Backward:
    """A hand-written backward beside the derivative of what its forward computes.

    Attributes:
        name: class name of the autograd function.
        ratio: size of the gradient that it gives, over that of the derivative.
        cosine: of the two.
    """

    name: str
    ratio: float
    cosine: float
