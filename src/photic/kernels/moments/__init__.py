"""Moments of a tensor: count, mean, root mean square, maximum, zeros, subnormals, non-finite elements."""

from __future__ import annotations

from photic.kernels.moments.torch_passes import moments

__all__ = ["moments"]
