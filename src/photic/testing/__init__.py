"""Assertions for test suites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photic.testing.gradients import assert_gradients_flow

__all__ = ["assert_gradients_flow"]


def __getattr__(name: str) -> Any:  # the pytest plugin lies beside it and must not load torch for every test suite
    if name == "assert_gradients_flow":
        from photic.testing.gradients import assert_gradients_flow

        return assert_gradients_flow
    raise AttributeError(f"module 'photic.testing' has no attribute {name!r}")
