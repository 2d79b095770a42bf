"""The server: what it refuses, what it never tells, and that it follows a run as it is written."""

from __future__ import annotations

import base64
import json
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from starlette.testclient import TestClient

from photic.checkups.check import check
from photic.records import documents
from photic.records.stores import StoreWriter
from photic.reports.view import bare
from photic.web.folder import Folder
from photic.web.guards import loopback
from photic.web.server import Address, application, bound, serve
from tests import zoo
from tests.web.browser import tabs

HOSTILE = '"><script>alert(1)</script>'
# What a client could try to leave the folder with.
ESCAPES = (
    "..", "../x.json", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "....//", "/etc/passwd", "%2fetc%2fpasswd", "..\\..\\x", "..%5c..%5cx",
    "%00", "a.sqlite", "a", "secret", "~", "C:\\Windows", "file:%2f%2f%2fetc", "%252e%252e%252f", "." * 5000,
)  # fmt: skip


def write_run(path: Path, *, steps: int = 20, model: str = "Net", found: str = "") -> None:
    with StoreWriter(path) as writer:
        writer.fact("model", model)
        if found:
            words = dict.fromkeys(("problem", "where", "reason", "advice"), found)
            lists = {name: [found] for name in ("sites", "sources", "victims")}
            evidence = [{"name": found, "value": 1.0, "unit": found}]
            finding = {**words, **lists, "severity": "info", "evidence": evidence, "confidence": 0.5}
            writer.fact("findings", [finding])
        writer.fact("modules", ["first", "second", HOSTILE])
        for step in range(steps):
            writer.row("glance/gradient", step, [0.25, 0.5, 1.0])
            writer.row("loss", step, [1.0 / (step + 1)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("outside")
    (root / "secret.json").write_text('{"format": "photic"}')
    runs = root / "runs"
    write_run(runs / "a.sqlite")
    write_run(runs / f"b{HOSTILE.replace('/', '_')}.sqlite", model=HOSTILE, found=HOSTILE)
    checkup = check(zoo.seeded(zoo.Mlp), [zoo.vectors()], F.cross_entropy, steps=2)
    documents.write(checkup, runs / "checked.json")
    (runs / "foreign.json").write_text("{}")
    (runs / "foreign.sqlite").write_bytes(b"not a database")
    (runs / "link.json").symlink_to(root / "secret.json")
    return runs


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(application(folder), base_url="http://127.0.0.1:8642")


def test_all_runs_are_listed_and_nothing_else(client: TestClient) -> None:
    entries = client.get("/api/runs").json()
    assert sorted(entry["name"].split('"')[0] for entry in entries) == ["a", "b", "checked"]
    checked = next(entry for entry in entries if entry["name"] == "checked")
    assert checked["verdict"] == "vanishing-gradient: the gradient reaches 2 of 11 layers"
    assert not checked["healthy"] and not checked["running"]
    assert next(entry for entry in entries if entry["name"] == "a")["running"]  # it was written just now


def test_a_run_is_read_as_it_was_written(client: TestClient) -> None:
    entry = next(entry for entry in client.get("/api/runs").json() if entry["name"] == "a")
    network = client.get(f"/api/runs/{entry['id']}").json()["runs"][0]
    heat = network["heats"][0]
    assert heat["names"] == ["first", "second", HOSTILE] and heat["steps"] == list(range(20))
    planes = np.frombuffer(zlib.decompress(base64.b64decode(heat["data"])), dtype=np.uint8).astype(np.int64)
    low, high = planes[:60], planes[60:]
    codes = np.cumsum((low | (high << 8)).astype(np.uint16).reshape(3, 20), axis=1, dtype=np.uint16).view(np.int16)
    assert np.allclose(2.0 ** (codes / 32), [[0.25], [0.5], [1.0]])


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_path_leads_out_of_the_folder(client: TestClient, escape: str) -> None:
    for path in (f"/api/runs/{escape}", f"/runs/{escape}", f"/api/runs/{escape}/follow", f"/{escape}"):
        answer = client.get(path)
        assert answer.status_code == 404 or answer.url.path in ("/", "/api/runs"), path
        assert "root:x:" not in answer.text and "secret" not in answer.text


@pytest.mark.parametrize("path", ["/", "/api/runs"])
def test_nothing_tells_where_the_folder_is(client: TestClient, folder: Path, path: str) -> None:
    assert str(folder.parent) not in client.get(path).text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "169.254.169.254", "[::2]:80"]
)
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 421
    assert client.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1", "[::1]:1", "LOCALHOST"])
def test_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


def test_other_sites_may_not_ask(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        assert client.get("/api/runs", headers={"sec-fetch-site": site}).status_code == 403
    answer = client.get("/api/runs", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_only_reading_is_offered(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/api/runs").status_code == 405


def test_a_token_is_asked_for_and_kept_in_a_cookie(folder: Path) -> None:
    client = TestClient(application(folder, token="s3cret"), base_url="http://127.0.0.1", follow_redirects=False)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "photic-token=wrong"}, {"cookie": ";;=\x01"}):
        assert client.get("/api/runs", headers=headers).status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/api/runs", headers={"authorization": "Bearer s3cret"}).status_code == 200
    settled = client.get("/?token=s3cret")
    assert settled.status_code == 303 and settled.headers["location"] == "/"
    assert (
        "httponly" in settled.headers["set-cookie"].lower()
        and "samesite=strict" in settled.headers["set-cookie"].lower()
    )
    assert client.get("/").status_code == 200  # with the cookie
    assert client.get("//evil.example?token=s3cret").headers.get("location", "/") == "/"


def test_away_from_loopback_there_is_always_a_token() -> None:
    assert [loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.2", "box")] == [
        True
    ] * 3 + [False] * 3
    address, socket = bound(Address("0.0.0.0", 0))
    socket.close()
    assert len(address.token) >= 32 and address.token in address.url()
    address, socket = bound(Address("127.0.0.1", 0))
    socket.close()
    assert address.token == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/x/model.py:12", "model.py:12"),
        ("C:\\Users\\me\\model.py:3", "model.py:3"),
        ("see ../a/b.py and ./c/d.py", "see b.py and d.py"),
        ("weight / bias, 1/2 and n/a", "weight / bias, 1/2 and n/a"),
        ("'/data/my set/x.npy'", "'my set/x.npy'"),
        ("update ratio w/|w| of layers.0/sigmoid#1", "update ratio w/|w| of layers.0/sigmoid#1"),
    ],
)
def test_folders_are_cut_off_paths_and_nothing_else(text: str, expected: str) -> None:
    assert bare(text) == expected


def test_ids_say_nothing_of_names(folder: Path) -> None:
    entries = Folder(folder).entries()
    assert all(len(entry.id) == 16 and int(entry.id, 16) >= 0 for entry in entries)
    with pytest.raises(KeyError):
        Folder(folder).path("a")


@pytest.fixture(scope="module")
def served_at(folder: Path) -> Iterator[str]:
    """A real server on a free port of this machine."""
    import uvicorn

    address, socket = bound(Address(port=0))
    server = uvicorn.Server(uvicorn.Config(application(folder), log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    yield address.url("")
    server.should_exit = True
    thread.join(timeout=10)
    assert callable(serve)


@pytest.fixture(scope="module")
def open_tab() -> Iterator[Any]:
    with tabs() as opened:
        yield opened


def test_a_running_run_is_followed_row_by_row(folder: Path, served_at: str) -> None:
    import httpx2 as httpx

    path = folder / "growing.sqlite"
    with StoreWriter(path) as writer, httpx.Client(base_url=served_at, timeout=20) as client:
        writer.fact("modules", ["first", "second"])
        writer.row("glance/gradient", 1, [0.5, 1.0])
        time.sleep(0.3)
        name = next(entry["id"] for entry in client.get("/api/runs").json() if entry["name"] == "growing")
        seen: list[int] = []
        with client.stream("GET", f"/api/runs/{name}/follow") as stream:
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    network = data["runs"][0] if "runs" in data else data
                    seen += network["heats"][0]["steps"]
                    assert kind == ("start" if seen == [1] else "rows")
                    if len(seen) == 5:
                        break
                    writer.row("glance/gradient", seen[-1] + 1, [0.5, 1.0])
        assert seen == [1, 2, 3, 4, 5]
    path.unlink()


@pytest.mark.parametrize(("width", "dress"), [(400, "light"), (1280, "dark"), (2560, "light")])
def test_the_dashboard_is_whole_and_harmless(served_at: str, open_tab: Any, width: int, dress: str) -> None:
    tab = open_tab(f"{served_at}/", width=width, dress=dress)
    tab.page.wait_for_selector(".runs li >> nth=2")
    assert HOSTILE in tab.text()
    tab.page.get_by_role("button", name="checked", exact=True).click()
    tab.page.get_by_label("Compare a", exact=True).click()
    tab.page.locator("button[aria-label^='Compare b']").click()
    tab.page.wait_for_selector(".panel >> nth=2")
    tab.page.locator(".panel article.finding", has_text=HOSTILE).wait_for()
    tab.page.wait_for_selector(".panel .heat canvas >> nth=1")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert tab.violations() == [] and tab.errors == []
    assert tab.foreign(served_at) == []
    tab.page.close()


def test_runs_are_filtered_by_what_is_typed(served_at: str, open_tab: Any) -> None:
    tab = open_tab(f"{served_at}/")
    tab.page.wait_for_selector(".runs li >> nth=2")
    tab.page.get_by_label("Filter").fill("vanishing")
    assert tab.page.locator(".runs li").count() == 1
    tab.page.get_by_label("Filter").fill("")
    tab.page.get_by_label("Show").first.select_option("healthy")
    assert tab.page.locator(".runs li").count() == 2


def test_the_page_of_a_run_is_its_report(served_at: str, open_tab: Any) -> None:
    tab = open_tab(f"{served_at}/")
    tab.page.get_by_role("button", name="checked", exact=True).click()
    tab.page.get_by_role("link", name="The whole report").click()
    tab.page.wait_for_selector("h1.bad")
    assert tab.page.inner_text("h1") == "vanishing-gradient: the gradient reaches 2 of 11 layers"
    assert tab.errors == []
