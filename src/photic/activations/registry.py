"""Find the activation behind a torch function and its settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache

from photic.activations import curves
from photic.activations.activation import Activation

_ALIASES = {"swish": "silu", "expit": "sigmoid", "log_sigmoid": "logsigmoid"}


def names() -> tuple[str, ...]:
    """Return the words that `find` knows: every public function of `curves`."""
    return tuple(sorted(_makers()))


def find(operation: str, settings: Mapping[str, float | int | str] | None = None) -> Activation | None:
    """Return the activation that a torch function computes, or None if it is none that we know.

    Settings that do not define the curve (`inplace`, `training`) are ignored.

    Example:
        >>> find("leaky_relu", {"negative_slope": 0.2}).name
        'leaky_relu(0.2)'
        >>> find("conv2d") is None
        True
    """
    word = _ALIASES.get(operation, operation)
    maker = _makers().get(word)
    if maker is None:
        return None
    known = inspect.signature(maker).parameters
    chosen = tuple(sorted((key, value) for key, value in (settings or {}).items() if key in known))
    return _made(word, chosen)


@lru_cache(maxsize=256)
def _made(word: str, settings: tuple[tuple[str, float | int | str], ...]) -> Activation:
    return _makers()[word](**dict(settings))


@lru_cache(maxsize=1)
def _makers() -> dict[str, Callable[..., Activation]]:
    return {
        name: function
        for name, function in vars(curves).items()
        if inspect.isfunction(function) and function.__module__ == curves.__name__ and not name.startswith("_")
    }
