"""Clipping: the limit that gradients were clipped to, whose they were, and the norm that they had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.utils.clip_grad as clip_grad
from torch import Tensor

from photic.probes.patched import Patched
from photic.probes.replaced import replaced

Told = Callable[[Any, float, Any], None]  # parameters, limit, norm


def _told(original: Callable[..., Any], listeners: list[Told]) -> Callable[..., Any]:
    def clips(parameters: Any, max_norm: float, total_norm: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = (
            parameters if isinstance(parameters, Tensor) else list(parameters)
        )  # an iterator is used up by telling
        for tell in list(listeners):
            tell(parameters, max_norm, total_norm)
        return original(parameters, max_norm, total_norm, *args, **kwargs)

    return clips


# All forms of clipping by norm end in one inner function of torch's, which is looked up when it is called; where a torch
# has none, clipping is not seen.
CLIPS: Patched[Told] = Patched(clip_grad, "_clip_grads_with_norm_", _told)


@contextmanager
def clipping(tell: Told, *, limit: float | None = None) -> Iterator[None]:
    """While open, tell of every `clip_grad_norm_`: the parameters, its limit and the norm that it found; or let it clip to `limit`."""
    if limit is None:
        with CLIPS.listening(tell):
            yield
        return
    if not hasattr(clip_grad, "_clip_grads_with_norm_"):
        yield
        return

    def told(
        original: Callable[..., Any], parameters: Any, max_norm: float, total_norm: Any, *args: Any, **kwargs: Any
    ) -> Any:
        tell(parameters, max_norm, total_norm)
        return original(parameters, limit, total_norm, *args, **kwargs)

    with replaced(clip_grad, "_clip_grads_with_norm_", told):
        yield
