"""Make the pictures of the page from real records: the demo's report, a training's heat map, a lesson, the dashboard.

    python3 dev.py page --pictures

Needs Chromium. Each picture stays below 200 kB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from photic.cli.output import report_view
from photic.lab.demonstration import demonstrate
from photic.lab.lessons.experiments import trained
from photic.lab.lessons.knobs import Knobs
from photic.records import documents
from photic.records.stores import StoreReader
from photic.reports.page import page
from photic.reports.view import view_of_store

HERE = Path(__file__).resolve().parent
LARGEST = 190_000


def kept(name: str, shot: bytes, folder: Path) -> None:
    """Keep a picture; one that would be large gets 256 colours."""
    raw = folder / "raw.png"
    raw.write_bytes(shot)
    with Image.open(raw) as picture:
        picture.convert("RGB").save(HERE / name, optimize=True)
        if (HERE / name).stat().st_size > LARGEST:
            picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(HERE / name, optimize=True)
    print(f"{name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


def course(path: Path, knobs: Knobs) -> None:
    """Train a network of the lessons with every step in its record."""
    trained(knobs, path, stopped=lambda: False)


def demo(folder: Path) -> Path:
    """Return the demo's report, without what only full sizes show."""
    found = demonstrate(folder, lambda stage, share: None)
    record = documents.read(next(path for path in found.files if path.suffix == ".json"))
    target = folder / "report.html"
    target.write_text(page(report_view(record)), encoding="utf-8")
    return target


def shoot(opened: Callable[..., Any], folder: Path) -> None:
    """Take all pictures."""
    runs = folder / "runs"
    report = demo(folder / "demo")
    for dress in ("light", "dark"):
        tab = opened(report.as_uri(), dress=dress)
        tab.wait_for_selector(".heat canvas")
        tab.wait_for_timeout(500)
        kept(
            f"page-report-{dress}.png",
            tab.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": 1200}),
            folder,
        )
        if dress == "light":
            for title, name in (("Where it goes", "budget"), ("Where the units sit", "units"), ("Trials", "trials")):
                part = tab.locator("section").filter(has=tab.get_by_role("heading", name=title)).first
                kept(f"page-{name}.png", part.screenshot(), folder)
    for name, knobs in (
        ("sigmoid, default weights", Knobs(depth=10, steps=600, learning_rate=0.3)),
        ("sigmoid, centred weights", Knobs(depth=10, steps=600, initialiser="centred_logistic")),
    ):
        course(runs / f"{name}.sqlite", knobs)
    fading = page(view_of_store(StoreReader(runs / "sigmoid, default weights.sqlite"), title="ten sigmoid layers"))
    (folder / "fading.html").write_text(fading, encoding="utf-8")
    tab = opened((folder / "fading.html").as_uri())
    tab.locator(".magnitudes .readout", has_text="step").wait_for()
    tab.wait_for_timeout(500)
    kept("page-magnitudes.png", tab.locator("section", has=tab.locator(".magnitudes")).screenshot(), folder)
    late = folder / "late.sqlite"
    course(late, Knobs(depth=3, steps=2000, learning_rate=1.0))
    reader = StoreReader(late)
    (folder / "late.html").write_text(page(view_of_store(reader, title="three sigmoid layers")), encoding="utf-8")
    reader.close()
    tab = opened((folder / "late.html").as_uri())
    tab.wait_for_selector(".heat canvas")
    tab.locator(".course input[type=range]").first.fill("700")
    tab.wait_for_timeout(500)
    kept("page-heat-map.png", tab.locator(".course").first.screenshot(), folder)

    command = [sys.executable, "-m", "photic", "serve", str(runs), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = next(word for line in server.stderr for word in line.split() if word.startswith("http"))
        tab = opened(address, width=1760)
        tab.get_by_role("button", name="sigmoid, default weights", exact=True).click()
        tab.get_by_label("Compare sigmoid, centred weights", exact=True).click()
        tab.wait_for_selector(".panel .heat canvas >> nth=3")
        tab.wait_for_timeout(1500)
        kept("page-dashboard.png", tab.screenshot(), folder)
        for lesson in ("depth", "backpropagation", "phases"):
            tab = opened(f"{address}learn#{lesson}")
            tab.wait_for_selector(".experiment figure, .experiment svg, .experiment table", timeout=60_000)
            if lesson == "depth":
                tab.get_by_role("button", name="Train it").click()
                tab.locator(".training [role=status]", has_text="done").wait_for(timeout=120_000)
            tab.wait_for_timeout(1500)
            kept(f"page-lesson-{lesson}.png", tab.screenshot(full_page=True), folder)
    finally:
        server.terminate()
        server.wait(timeout=10)


def main() -> None:
    chromium = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def opened(url: str, *, dress: str = "light", width: int = 1280) -> Any:
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=dress)  # type: ignore[arg-type]
            tab.goto(url)
            return tab

        shoot(opened, Path(made))
        browser.close()


if __name__ == "__main__":
    main()
