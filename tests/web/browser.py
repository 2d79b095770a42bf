"""A real browser for tests: Chromium where one is found; told, not silently passed over, where none is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """Return the browser's path, skip the test where there is none, or fail where one is demanded."""
    found = os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        missing("no Chromium was found (CHROMIUM_PATH, PATH): the page is not tried in a browser")
    return str(found)


def missing(why: str) -> None:
    if os.environ.get("PHOTIC_BROWSER") == "required":
        pytest.fail(why)
    pytest.skip(why)


class Tab:
    """A page with everything that must not happen on it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(url)

    def foreign(self, own: str) -> list[str]:
        return [url for url in self.requests if not url.startswith((own, "blob:" + own, "data:"))]

    def violations(self) -> list[str]:
        """Return what axe-core finds; it comes with `dev.py page`."""
        if not AXE.exists():
            missing("axe-core is not there: `python3 dev.py page` fetches it")
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run()")["violations"]
        return [f"{item['id']}: {[node['target'] for node in item['nodes']][:3]}" for item in found]

    def text(self) -> str:
        return str(self.page.inner_text("body"))


@contextmanager
def tabs(**options: Any) -> Iterator[Any]:
    """Yield a function that opens a URL in a new tab: `open(url, width=1280, dress="light")`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"], **options)

        def open_tab(url: str, *, width: int = 1280, dress: str = "light") -> Tab:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=dress)
            return Tab(page, url)

        yield open_tab
        browser.close()
