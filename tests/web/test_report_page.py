"""The report in a real browser: whole, offline, by keyboard, at every width, and harmless."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F

from photic.checkups.check import check
from photic.cli.output import report_view
from photic.records.findings import Checkup
from photic.records.histograms import FIRST, OCTAVES
from photic.records.stores import StoreWriter
from photic.records.treatments import TreatmentRecord, Trial
from photic.reports.frame import Frame
from photic.reports.page import page, template
from tests import zoo
from tests.web.browser import tabs

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def checkup() -> Checkup:
    return check(zoo.seeded(zoo.Mlp), [zoo.vectors(k) for k in range(3)], F.cross_entropy, steps=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A watched run of 6 layers and 300 steps; the gradient halves from layer to layer, and one cell breaks."""
    path = tmp_path_factory.mktemp("run") / "run.sqlite"
    with StoreWriter(path) as writer:
        writer.fact("model", "Net")
        writer.fact("modules", [f"layer{k}" for k in range(5)] + [HOSTILE])
        for step in range(1, 301):
            row = [2.0 ** (k - 5) for k in range(6)]
            writer.row("glance/gradient", step, row if step != 150 else [math.inf, *row[1:]])
            writer.row("glance/signal", step, [1.0] * 6)
            writer.row("loss", step, [1.0 / step])
            if step in (1, 300):  # layer k lies between 2^(k - 20) and 2^(k - 19); at the end 10 octaves lower
                shares = np.zeros((6, OCTAVES), "<f4")
                shares[range(6), [k - 20 - FIRST - 10 * (step == 300) for k in range(6)]] = 1.0
                writer.row("histogram/gradient", step, shares.tobytes())
            while writer._queue.qsize() > 100:  # a full queue drops rows, as it should while training
                time.sleep(0.01)
    assert writer.dropped == 0
    return path


@pytest.fixture(scope="module")
def open_tab() -> Iterator[Any]:
    with tabs() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(checkup: Checkup, store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report_view(checkup, store=store)), encoding="utf-8")
    return path.as_uri()


def test_magnitudes_are_read_by_keyboard_and_by_step(address: str, open_tab: Any) -> None:
    tab = open_tab(address, width=1280, dress="light")
    part = tab.page.locator("section", has=tab.page.locator("h2", has_text="Magnitudes"))
    told = part.locator("output.readout")
    tab.page.wait_for_function("document.querySelector('.magnitudes .readout').textContent !== ''")
    assert (
        told.inner_text()
        == "step 300, layer0: 100 % of its gradients between 2^-30 and 2^-29 (half precision makes it 0)"
    )
    part.locator(".heat").focus()
    tab.page.keyboard.press("ArrowUp")
    assert "layer1: 0 % of its gradients between 2^-30" in told.inner_text()
    tab.page.keyboard.press("ArrowRight")
    assert "layer1: 100 % of its gradients between 2^-29" in told.inner_text()
    part.locator("input[type=range]").focus()
    tab.page.keyboard.press("Home")
    assert (
        told.inner_text()
        == "step 1, layer1: 100 % of its gradients between 2^-19 and 2^-18 (half precision keeps fewer bits)"
    )
    assert tab.errors == [] and tab.violations() == []
    tab.page.close()


@pytest.mark.parametrize("width", [400, 1280, 2560])
@pytest.mark.parametrize("dress", ["light", "dark"])
def test_the_report_is_whole_at_every_width_in_both_dresses(
    address: str, open_tab: Any, width: int, dress: str
) -> None:
    tab = open_tab(address, width=width, dress=dress)
    tab.page.wait_for_selector(".heat canvas")
    assert tab.page.inner_text("h1") == "vanishing-gradient: the gradient reaches 2 of 11 layers"
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    assert tab.violations() == []
    assert tab.errors == []
    assert tab.requests == [address]
    tab.page.close()


def test_the_heat_map_is_read_by_keyboard_and_its_numbers_are_the_stores(address: str, open_tab: Any) -> None:
    tab = open_tab(address)
    tab.page.focus(".heat")
    tab.page.keyboard.press("Home")
    readout = tab.page.locator(".course .readout").first
    assert readout.inner_text() == "step 1, layer0: 0.0313 of the top"  # 2^-5
    for _ in range(2):
        tab.page.keyboard.press("ArrowUp")
    tab.page.keyboard.press("ArrowRight")
    assert readout.inner_text() == "step 2, layer2: 0.125 of the top"
    tab.page.locator(".course input[type=range]").first.fill("149")
    tab.page.focus(".heat")
    for _ in range(2):
        tab.page.keyboard.press("ArrowDown")
    assert readout.inner_text() == "step 150, layer0: not finite"
    tab.page.get_by_label("Show").select_option("signal")
    assert readout.inner_text() == "step 150, layer0: 1 rms"


def test_the_heat_map_is_painted_dark_below_and_bright_on_top(address: str, open_tab: Any) -> None:
    tab = open_tab(address)
    tab.page.wait_for_selector(".heat canvas")
    tab.page.wait_for_function("document.querySelector('.course .readout').textContent !== ''")
    light = tab.page.evaluate(
        """() => { const c = document.querySelector('.heat canvas'), g = c.getContext('2d');
        const h = c.height - 22; return [0, 1, 2, 3, 4, 5].map(r => { const p = g.getImageData(c.width - 40, Math.round(h * (r + .5) / 6), 1, 1).data;
        return 0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2] }) }"""
    )
    assert light == sorted(light, reverse=True) and light[0] > 180 > 60 > light[-1]


def test_a_findings_place_leads_to_its_operation_in_the_tree(address: str, open_tab: Any) -> None:
    tab = open_tab(address)
    place = tab.page.locator("article.finding button.link").first
    name = place.inner_text()
    place.click()
    focused = tab.page.evaluate("document.activeElement.textContent")
    assert name.strip("/") in focused and "gain" in focused


def test_names_from_outside_stay_text(checkup: Checkup, open_tab: Any, tmp_path: Path) -> None:
    profile = checkup.diagnosis.profile
    assert profile is not None
    layers = tuple(dataclasses.replace(line, site=HOSTILE + line.site) for line in profile.layers)
    sites = tuple(dataclasses.replace(site, name=HOSTILE + site.name, module=HOSTILE) for site in checkup.run.sites)
    findings = tuple(dataclasses.replace(f, reason=HOSTILE, where=HOSTILE, sites=(HOSTILE,)) for f in checkup.findings)
    hostile = dataclasses.replace(
        checkup,
        run=dataclasses.replace(checkup.run, model=HOSTILE, sites=sites),
        diagnosis=dataclasses.replace(
            checkup.diagnosis, profile=dataclasses.replace(profile, layers=layers), findings=findings
        ),
        notes=(HOSTILE,),
    )
    text = page(report_view(hostile, title=HOSTILE))
    assert HOSTILE not in text and text.count("<script") == template().count("<script")
    path = tmp_path / "hostile.html"
    path.write_text(text, encoding="utf-8")
    tab = open_tab(path.as_uri())
    tab.page.wait_for_selector("h1")
    assert "alert(1)" in tab.text()
    assert tab.page.locator("img").count() == 0
    assert tab.errors == [] and tab.requests == [path.as_uri()]


def test_a_report_holds_no_folder_and_no_source_unless_asked(checkup: Checkup) -> None:
    folder = str(Path(__file__).resolve().parents[1])
    named = dataclasses.replace(checkup, notes=(f"{folder}/model.py:3 was read", "C:\\Users\\me\\net.py was read"))
    text = page(report_view(named))
    assert folder not in text and "/tests/zoo.py" not in text and "Users" not in text
    assert "model.py:3 was read" in text and "zoo.py:" in text
    assert folder in page(report_view(named, with_source=True))


def test_two_records_are_compared_beside_each_other(address: str, open_tab: Any, store: Path, tmp_path: Path) -> None:
    from photic.cli.main import run

    other = tmp_path / "other.sqlite"
    other.write_bytes(store.read_bytes())
    target = tmp_path / "compared.html"
    assert run(["report", str(store), str(other), "--html", str(target)]) == 0
    tab = open_tab(target.as_uri())
    tab.page.wait_for_selector(".heat canvas")
    assert tab.page.locator(".course:not(.magnitudes) .heat").count() == 2
    tab.page.locator(".course input[type=range]").first.fill("41")
    readouts = [tab.page.locator(".course > .readout").nth(k).inner_text() for k in (0, 1)]
    assert readouts[0] == readouts[1] and readouts[0].startswith("step 42,")  # cursors move together
    ends = tab.page.locator(".heatmap .legend").all_inner_texts()
    assert ends[0] == ends[1]
    assert tab.violations() == [] and tab.errors == []


def test_nothing_in_the_page_parses_html() -> None:
    sources = list((Path(__file__).resolve().parents[2] / "web" / "src").rglob("*.ts"))
    assert len(sources) > 10
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3\.org)"
    )
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert not forbidden.search(text), path
        assert len(text.splitlines()) <= 400, path


def test_the_policy_allows_no_request_and_names_the_script_by_its_hash() -> None:
    import base64
    import hashlib

    text = template()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    script = re.search(r'<script type="module"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert policy is not None and script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy.group(1)
    assert "default-src 'none'" in policy.group(1) and "connect-src 'none'" in policy.group(1)
    assert "unsafe" not in policy.group(1)


def test_report_needs_no_torch(tmp_path: Path, store: Path) -> None:
    import sys

    program = (
        "import sys; from photic.cli.main import run; "
        f"code = run(['report', {str(store)!r}, '--html', {str(tmp_path / 'x.html')!r}]); sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_runs_beside_each_other_are_coloured_on_one_scale(open_tab: Any, tmp_path: Path) -> None:
    from photic.cli.main import run

    for name, factor in (("faint", 1e-6), ("strong", 1.0)):
        with StoreWriter(tmp_path / f"{name}.sqlite") as writer:
            writer.fact("modules", ["below", "top"])
            for step in range(9):
                writer.row("glance/gradient", step, [factor, 1.0])
    target = tmp_path / "compared.html"
    assert run(["report", *(str(tmp_path / f"{n}.sqlite") for n in ("faint", "strong")), "--html", str(target)]) == 0
    tab = open_tab(target.as_uri())
    tab.page.wait_for_selector(".heat canvas >> nth=2")
    legends = tab.page.locator(".heatmap .legend")
    tab.page.wait_for_function("document.querySelectorAll('.heatmap .legend')[1].textContent.includes('10')")
    both = legends.all_inner_texts()
    assert both[0] == both[1] and "10⁻⁶" in both[0]
    tab.page.get_by_label("Show").nth(1).select_option("gradient")  # something else: a scale of its own again
    assert legends.nth(1).inner_text() != legends.nth(0).inner_text()


def test_charts_are_read_by_keyboard(address: str, open_tab: Any) -> None:
    tab = open_tab(address)
    tab.page.focus(".lines >> nth=0")
    for _ in range(3):
        tab.page.keyboard.press("ArrowRight")
    said = tab.page.locator("figure .readout").first.inner_text()
    assert said.startswith("layer 3,") and "measured" in said and "predicted" in said
    tab.page.locator("figure label.knob input[type=range]").first.focus()  # the layer whose units are shown
    before = tab.page.locator("figure[aria-label*=sigmoid] .readout").first.inner_text()
    tab.page.keyboard.press("ArrowRight")
    after = tab.page.locator("figure[aria-label*=sigmoid] .readout").first.inner_text()
    assert before != after and "the slope at the median is" in after


def test_the_budget_in_numbers_multiplies_to_what_is_left(address: str, checkup: Checkup, open_tab: Any) -> None:
    tab = open_tab(address)
    tab.page.get_by_text("The budget in numbers").click()
    rows = tab.page.locator("details[open] table tbody tr").all_inner_texts()

    def number(words: str) -> float:
        return float(words.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")).replace(" × 10", "e"))

    cells = [[number(cell) for cell in row.split("\t")[1:]] for row in rows]
    profile = checkup.diagnosis.profile
    assert profile is not None
    assert cells[-1][-1] == pytest.approx(profile.transport, rel=0.02)
    assert math.prod(row[3] for row in cells) == pytest.approx(cells[-1][-1], rel=0.1)  # three digits each
    assert all(a * w * r == pytest.approx(both, rel=0.02) for a, w, r, both, _ in cells)


def test_the_list_on_top_leads_to_every_section(address: str, open_tab: Any) -> None:
    tab = open_tab(address)
    links = tab.page.get_by_role("navigation", name="On this page").get_by_role("link")
    assert links.all_inner_texts() == tab.page.locator("main section > h2").all_inner_texts()
    links.nth(3).click()
    assert tab.page.evaluate("scrollY") > 0 and tab.errors == []


def test_the_page_prints_whole(address: str, open_tab: Any) -> None:
    tab = open_tab(address, width=700, dress="dark")  # the width of A4 between its margins
    tab.page.wait_for_selector(".heat canvas")
    tab.page.emulate_media(media="print")
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 700
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.page.locator(".buttons").first.is_visible()
    assert tab.page.pdf(format="A4").startswith(b"%PDF")
    tab.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.page.evaluate("document.documentElement.dataset.dress") == "auto"


def test_a_notebooks_picture_is_harmless_in_a_browser(checkup: Checkup, open_tab: Any, tmp_path: Path) -> None:
    trial = Trial(HOSTILE, HOSTILE, "weights", "refused", HOSTILE)
    findings = tuple(dataclasses.replace(f, reason=HOSTILE, where=HOSTILE, sites=(HOSTILE,)) for f in checkup.findings)
    named = dataclasses.replace(
        checkup,
        run=dataclasses.replace(checkup.run, model=HOSTILE, optimizer=HOSTILE),
        diagnosis=dataclasses.replace(checkup.diagnosis, findings=findings),
    )
    record = TreatmentRecord(named, None, (trial,), HOSTILE, "", "", ())
    path = tmp_path / "notebook.html"
    text = record._repr_html_() + Frame(report_view(record, title=HOSTILE))._repr_html_()
    path.write_text(f"<!doctype html><meta charset=utf-8>{text}", encoding="utf-8")
    tab = open_tab(path.as_uri())
    tab.page.frame_locator("iframe").locator("h1").wait_for()
    assert tab.text().count("alert(1)") >= 5 and tab.page.locator("img").count() == 0
    assert tab.page.evaluate("document.scripts.length") == 0
    assert [error for error in tab.errors if "dialog" in error] == []
    assert [url for url in tab.requests if not url.startswith(("about:", "file:"))] == []
