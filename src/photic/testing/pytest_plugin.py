"""The pytest plugin: a fixture `assert_gradients_flow`, there wherever photic is installed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import pytest


class GradientAssertion(Protocol):
    """What the fixture gives."""

    def __call__(
        self, model: Any, batch: Any, loss: Callable[[Any, Any], Any] | None = None, *, ignore: Collection[str] = ()
    ) -> None:
        """Fail with layers, reasons and advice if an audit of the network finds a problem."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting `photic_ignore`."""
    parser.addini("photic_ignore", "problems that assert_gradients_flow lets pass in this project", "args", [])


@pytest.fixture
def assert_gradients_flow(pytestconfig: pytest.Config) -> GradientAssertion:
    """`assert_gradients_flow(model, batch, loss)` fails, with layers, reasons and advice, if the gradient does not reach."""
    always = tuple(pytestconfig.getini("photic_ignore"))

    def check(
        model: Any, batch: Any, loss: Callable[[Any, Any], Any] | None = None, *, ignore: Collection[str] = ()
    ) -> None:
        __tracebackhide__ = True
        from photic.testing.gradients import assert_gradients_flow as examine

        examine(model, batch, loss, ignore=(*always, *ignore))

    return check
