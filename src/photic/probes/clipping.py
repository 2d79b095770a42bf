"""Clipping: the limit that a step's gradients were clipped to, and the norm that they had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.utils.clip_grad as clip_grad

from photic.probes.replaced import replaced


@contextmanager
def clipping(tell: Callable[[float, Any], None], *, limit: float | None = None) -> Iterator[None]:
    """While open, tell of every `clip_grad_norm_`: its limit and the norm that it found; or let it clip to `limit`.

    All forms of it end in one inner function of torch's, which is looked up when it is called; where a torch has none,
    clipping is not seen.
    """
    if not hasattr(clip_grad, "_clip_grads_with_norm_"):
        yield
        return

    def told(
        original: Callable[..., Any], parameters: Any, max_norm: float, total_norm: Any, *args: Any, **kwargs: Any
    ) -> Any:
        tell(max_norm, total_norm)
        return original(parameters, max_norm if limit is None else limit, total_norm, *args, **kwargs)

    with replaced(clip_grad, "_clip_grads_with_norm_", told):
        yield
