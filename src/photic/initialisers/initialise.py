"""Initialise: one name for every scheme, each layer by its role."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from photic.initialisers import branches, recurrent
from photic.initialisers.learned import grad_init, meta_init
from photic.initialisers.measured import lsuv
from photic.initialisers.roles import layers_of
from photic.initialisers.schemes import schemes
from photic.initialisers.width import mup

_OF_LAYERS: dict[str, Callable[..., list[str]]] = {
    "fixup": branches.fixup,
    "skip_init": branches.skip_init,
    "gpt2": branches.gpt2,
    "t_fixup": branches.t_fixup,
    "deepnorm": branches.deepnorm,
    "mup": mup,
}
_OF_MODULES: dict[str, Callable[..., list[str]]] = {
    "lstm_forget": recurrent.lstm_forget,
    "chrono": recurrent.chrono,
    "orthogonal_recurrence": recurrent.orthogonal_recurrence,
    "identity_recurrence": recurrent.identity_recurrence,
}
_OF_DATA: dict[str, Callable[..., list[str]]] = {"lsuv": lsuv, "meta_init": meta_init, "grad_init": grad_init}


@dataclass(frozen=True)
class Initialised:
    """What was done: the scheme, and for each weight or module in words what was drawn."""

    scheme: str
    drawn: dict[str, str]


def names() -> tuple[str, ...]:
    """Return the names of all schemes."""
    return tuple(sorted((*schemes(), *_OF_LAYERS, *_OF_MODULES, *_OF_DATA)))


def summary(name: str) -> str:
    """Return what a scheme does, in one sentence."""
    found = schemes()
    function = found[name].draw if name in found else (_OF_LAYERS | _OF_MODULES | _OF_DATA)[name]
    return (inspect.getdoc(function) or "").splitlines()[0]


def initialise(
    model: nn.Module,
    scheme: str,
    *,
    batch: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    seed: int | None = None,
    **options: Any,
) -> Initialised:
    """Draw the weights of a model in place, each layer as its role wants, and return what was drawn.

    Args:
        model: its linear and convolution layers are drawn; recurrent ones by the schemes made for them. Normalisation
            and embeddings stay as they are.
        scheme: one of `photic.initialisers.initialise.names()`: he, xavier, lecun, critical, orthogonal, fixup ...
        batch: what the model is called with, as for `photic.measure`. One forward pass on it shows which activation
            follows each layer, also functional ones, and where residual branches are. Needed for `lsuv`, `meta_init`,
            `grad_init` and the schemes for residual networks.
        loss: for `meta_init` and `grad_init`.
        seed: draws the same weights again; None continues torch's generator.
        options: of the scheme, `longest=` of chrono, `bias=` of lstm_forget.

    Raises:
        ValueError: for an unknown scheme or option, a missing batch, or a model without what the scheme is made for.
    """
    if scheme not in names():
        near = difflib.get_close_matches(scheme, names(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"there is no initialiser {scheme!r}{hint} There are: {', '.join(names())}")
    generator = torch.Generator()
    generator.manual_seed(int(torch.randint(2**62, ()).item()) if seed is None else seed)
    if scheme in _OF_MODULES:
        said = _OF_MODULES[scheme](model, generator, **_checked(_OF_MODULES[scheme], scheme, options))
        return Initialised(scheme, dict(text.split(": ", 1) for text in said))
    layers = layers_of(model, batch)
    if scheme in _OF_DATA:
        if batch is None:
            raise ValueError(f"{scheme} learns from data; pass `batch=(inputs, targets)`")
        function = _OF_DATA[scheme]
        given = (model, layers, batch, generator) if scheme == "lsuv" else (model, layers, batch, loss, generator)
        said = function(*given, **_checked(function, scheme, options))
    elif scheme in _OF_LAYERS:
        said = _OF_LAYERS[scheme](layers, generator, **_checked(_OF_LAYERS[scheme], scheme, options))
    else:
        _checked(schemes()[scheme].draw, scheme, options)
        said = [schemes()[scheme].draw(layer, generator) for layer in layers]
    return Initialised(scheme, {layer.name: text for layer, text in zip(layers, said, strict=True)})


def _checked(function: Callable[..., Any], scheme: str, options: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"{scheme} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return options
