"""What tests of the page share: a browser, and a server with the lessons."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from photic.web.lessons import ROUTES
from photic.web.server import Address, application, bound
from tests.web.browser import tabs


@pytest.fixture(scope="module")
def served_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import uvicorn

    address, socket = bound(Address(port=0))
    app = application(tmp_path_factory.mktemp("none"), lessons=ROUTES)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    yield address.url("")
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="module")
def open_tab() -> Iterator[Any]:
    with tabs() as opened:
        yield opened
