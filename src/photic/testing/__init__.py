"""Assertions for test suites."""

from photic.testing.gradients import assert_gradients_flow

__all__ = ["assert_gradients_flow"]
