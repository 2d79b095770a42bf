"""The server against what a hostile client or a hostile name sends: it answers, tells nothing and stays alive."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from photic.web.server import application
from tests.web.test_server import write_run

NAMES = (
    "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "\u202egnp.exe", "a" * 100_000, "\x1b]0;pwned\x07",
    "=HYPERLINK(1)", "{{7*7}}", "${7*7}", "'; drop table rows; --", "\U0001f600",
)  # fmt: skip
REQUESTS = (
    "/api/runs/" + "a" * 60_000, "/api/runs/%00", "/api/runs/%f0%28%8c%28", "/api/runs/..%c0%af..%c0%af", "/api/runs/%5c%5cserver%5cshare",
    "/api/runs/0000000000000000/follow", "/runs/..;/..;/", "/api/runs?%00=1", "/?token=" + "x" * 60_000, "//etc/passwd",
)  # fmt: skip


@pytest.mark.parametrize("place", range(len(NAMES)))
def test_a_name_is_data_in_every_answer(tmp_path: Path, place: int) -> None:
    name = NAMES[place]
    write_run(tmp_path / "r.sqlite", model=name)
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    (entry,) = client.get("/api/runs").json()
    assert entry["model"] == name
    answer = client.get(f"/runs/{entry['id']}")
    assert answer.status_code == 200 and ("<" not in name or name not in answer.text)
    assert "<img src=x" not in answer.text and "<script>alert" not in answer.text
    assert "'unsafe-inline'" not in answer.text and "default-src 'none'" in answer.text
    assert client.get(f"/api/runs/{entry['id']}").headers["content-type"] == "application/json"


@pytest.mark.parametrize("asked", REQUESTS)
def test_a_strange_request_is_answered_and_tells_nothing(tmp_path: Path, asked: str) -> None:
    write_run(tmp_path / "r.sqlite")
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    answer = client.get(asked)
    assert (
        answer.status_code in (200, 303, 400, 404) and str(tmp_path) not in answer.text and "root:x:" not in answer.text
    )
    assert client.get("/api/runs").status_code == 200


def test_every_answer_forbids_what_a_page_does_not_need(tmp_path: Path) -> None:
    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    for path in ("/", "/api/runs", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["", "s3cre", "s3crett", "S3CRET", "s3cret\u0000", "\u00e9"])
def test_a_token_that_is_nearly_right_is_wrong(tmp_path: Path, given: str) -> None:
    client = TestClient(application(tmp_path, token="s3cret"), base_url="http://127.0.0.1")
    assert client.get("/api/runs", params={"token": given}).status_code == 401
    assert client.get("/api/runs", params={"token": [given, given]}).status_code == 401
    assert client.get("/runs/x").status_code == 401 and client.get("/").status_code == 401


@pytest.mark.parametrize(("first", "second"), [("127.0.0.1", "evil.example"), ("evil.example", "127.0.0.1")])
def test_two_host_headers_do_not_get_past_the_guard(tmp_path: Path, first: str, second: str) -> None:
    """An ambiguous request; whichever of them counts, the name that is not ours gains nothing but a refusal."""
    import httpx2 as httpx

    client = TestClient(application(tmp_path), base_url="http://127.0.0.1")
    headers = httpx.Headers([("host", first), ("host", second)])
    status = client.get("/api/runs", headers=headers).status_code
    assert status == 421 or first == "127.0.0.1"
