"""How commands start the server: take the port, say the address, serve until Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from photic.cli.failures import UsageFailure


def serve_page(folder: Path, *, host: str, port: int, names: Sequence[str], start: str, open_browser: bool) -> int:
    """Serve the runs of a folder and the lessons."""
    from photic.cli.output import console
    from photic.web.lessons import ROUTES
    from photic.web.server import Address, application, bound, serve

    if not folder.is_dir():
        if start == "/":
            console().print(f"photic: there is no folder {folder} yet; runs appear when it is there", markup=False)
        folder = folder.absolute()
    try:
        address, socket = bound(Address(host, port))
    except OSError as error:
        raise UsageFailure(
            f"{host}:{port} cannot be listened on: {error}; choose another --port, 0 for a free one"
        ) from None
    app = application(folder, hosts=[host, *names], token=address.token, lessons=ROUTES)
    console().print(f"photic: {address.url(start)}   (Ctrl-C ends it)", markup=False, soft_wrap=True)
    if start == "/learn":  # torch takes its seconds while the reader reads the first lines
        threading.Thread(target=_warmed, daemon=True).start()
    if open_browser:
        import webbrowser

        webbrowser.open(address.url(start))
    serve(app, socket)
    return 0


def _warmed() -> None:
    """Make the first audit, which imports torch and compiles the kernels, and the data sets."""
    from photic.web.lessons import answer

    for name in answer("options", {})["data"]:
        answer("audit", {"data": name, "depth": "1"})


@contextmanager
def served_beside(folder: Path, *, port: int = 0) -> Iterator[None]:
    """Serve a folder from a process of its own while something runs here: training does not wait for a page, nor need it."""
    command = [sys.executable, "-m", "photic", "serve", str(folder), "--port", str(port)]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"photic: no page is served: {error}", file=sys.stderr)
        yield
        return
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
