"""Moments of a tensor: count, mean, root mean square, maximum, zeros, subnormals, non-finite elements."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

from torch import Tensor

from photic.kernels.moments import torch_passes
from photic.records.moments import Moments

__all__ = ["moments"]


def moments(tensor: Tensor) -> Moments:
    """Return the moments of a tensor by the fastest version that works here; all match `reference`."""
    return _fastest()(tensor)


@lru_cache(maxsize=1)
def _fastest() -> Callable[[Tensor], Moments]:
    try:
        from photic.kernels.moments import compiled
    except Exception as error:  # numba is missing, too new for this Python, or cannot write its cache
        logging.getLogger("photic").warning("the compiled kernels cannot be used (%s); torch's are slower", error)
        return torch_passes.moments
    return compiled.moments
