"""The site: made pages are what the code says, it builds without a warning, and it asks nothing of anybody when it is read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import children

ROOT = Path(__file__).resolve().parents[2]


def test_the_made_pages_are_what_the_code_says() -> None:
    program = [sys.executable, str(ROOT / "docs" / "making" / "pages.py"), "--check"]
    done = children.run(program)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed here: `python3 dev.py docs` has it")
    place = tmp_path_factory.mktemp("site")
    program = [sys.executable, "-W", "error::DeprecationWarning:mkdocs", "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run([*program, "-d", str(place)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    texts = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    pages = {page.with_suffix(".html") for page in texts if page.parts[0] != "measured"}  # these are parts of a page
    assert pages <= {page.relative_to(site) for page in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


def test_every_page_can_be_come_to_from_every_other(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    texts = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    lost = [page for page in texts if page.parts[0] != "measured" and f'href="{page.with_suffix(".html")}"' not in home]
    assert [page for page in lost if page.name != "index.md"] == []


def test_reading_the_site_asks_nothing_of_another_server(site: Path) -> None:
    asked: list[str] = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|link|img|iframe|source|video|object)\b[^>]*>", text):
            asked += [f"{page.name}: {tag}" for _ in re.findall(r"(?:src|href|data|srcset)=[\"'](?:https?:)?//", tag)]
    for sheet in site.rglob("*.css"):
        asked += re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\s]*", sheet.read_text(encoding="utf-8"))
    assert asked == []


def test_links_that_lead_inside_a_page_have_a_place_to_lead_to(site: Path) -> None:
    lost: list[str] = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for target, place in re.findall(r'href="([^"#:]*)#([^"]+)"', text):
            other = (page.parent / target).resolve() if target else page
            if other.exists() and f'id="{place}"' not in other.read_text(encoding="utf-8"):
                lost.append(f"{page.name}: {target}#{place}")
    assert sorted(set(lost)) == []
