"""What an initialiser needs to know of a layer: its weight and bias, and what follows and precedes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from photic.activations import Activation, find
from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, activation_before, matrices, residual_branches, weight_and_bias
from photic.probes.audit import look

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Layer:
    """One linear or convolution layer.

    Attributes:
        name: of its weight.
        weight, bias: the parameters themselves.
        after, before: activations that follow and precede it; None without one that is known.
        branch: index of the residual branch that it stands on; None outside.
        place, length: its place on the branch and how many weights the branch has.
        last: nothing follows but the output.
    """

    name: str
    weight: Tensor
    bias: Tensor | None
    after: Activation | None
    before: Activation | None
    branch: int | None = None
    place: int = 0
    length: int = 0
    last: bool = False


def layers_of(model: nn.Module, batch: Any = None) -> list[Layer]:
    """Return the layers in order of execution, as one forward pass on `batch` shows; without it, as modules stand.

    Raises:
        ValueError: if no activation is visible without a batch, or the model has no such layer.
    """
    found = _seen(model, batch) if batch is not None else _listed(model)
    if not found:
        raise ValueError(f"{type(model).__name__} has no trained linear or convolution layer to initialise")
    return found


def _seen(model: nn.Module, batch: Any) -> list[Layer]:
    run = look(model, batch)
    if run.stopped:
        raise ValueError(f"the forward pass on `batch` failed, so what follows what is not known: {run.stopped}")
    graph = Graph.of(run)
    parameters = dict(model.named_parameters())
    branches = residual_branches(graph)
    place = {index: (b, k, len(branch)) for b, branch in enumerate(branches) for k, index in enumerate(branch)}
    chosen = matrices(graph)
    found: list[Layer] = []
    for index in chosen:
        names = weight_and_bias(graph, index)
        if names is None or names[0] not in parameters:
            continue
        branch, number, length = place.get(index, (None, 0, 0))
        found.append(
            Layer(
                names[0],
                parameters[names[0]],
                parameters.get(names[1]),
                _activation(graph, activation_after(graph, index), index, after=True),
                _activation(graph, activation_before(graph, index), index, after=False),
                branch,
                number,
                length,
                last=not any(site > index for site in chosen),
            )
        )
    return found


def _activation(graph: Graph, operation: str, index: int, *, after: bool) -> Activation | None:
    if not operation:
        return None
    follower = graph.following_activation(index) if after else None
    return find(operation, None if follower is None else graph.site(follower).settings)


def _listed(model: nn.Module) -> list[Layer]:
    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    numbers = [i for i, (_, module) in enumerate(leaves) if isinstance(module, _LAYERS)]
    if len(numbers) > 1 and not any(_curve(module) for _, module in leaves):
        raise ValueError(
            "no activation module is visible, so what follows each layer is not known; pass a batch, "
            "`photic.initialise(model, scheme, batch=batch)`: one forward pass shows functional activations too"
        )
    found: list[Layer] = []
    for i in numbers:
        name, module = leaves[i]
        weight, bias = module.weight, module.bias
        assert isinstance(weight, Tensor)
        between = leaves[i + 1 : next((n for n in numbers if n > i), len(leaves))]
        above = leaves[max((n for n in numbers if n < i), default=-1) + 1 : i]
        found.append(
            Layer(
                f"{name}.weight",
                weight,
                bias if isinstance(bias, Tensor) else None,
                next((curve for _, m in between if (curve := _curve(m)) is not None), None),
                next((curve for _, m in reversed(above) if (curve := _curve(m)) is not None), None),
                last=i == numbers[-1],
            )
        )
    return found


def _curve(module: nn.Module) -> Activation | None:
    word = type(module).__name__.lower()
    words = {"leakyrelu": "leaky_relu", "logsigmoid": "logsigmoid", "hardtanh": "hardtanh"}
    settings = {key: value for key, value in vars(module).items() if isinstance(value, (int, float, str))}
    return find(words.get(word, word), settings) if not isinstance(module, _LAYERS) else None
