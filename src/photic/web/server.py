"""Server: the dashboard of runs and the lessons, on loopback unless told otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from photic.reports.page import served
from photic.web.folder import Folder
from photic.web.following import follow
from photic.web.guards import Guard, new_token

EVENTS = "text/event-stream"


def application(
    folder: Path, *, hosts: Sequence[str] = (), token: str = "", lessons: Sequence[Route] = ()
) -> Starlette:
    """Return the server's application.

    Args:
        folder: where the runs are.
        hosts: names beside those of this machine under which it may be called.
        token: what a client must know; '' asks for none.
        lessons: routes of the learning page, where they are wanted.
    """
    runs = Folder(folder)

    def index(request: Request) -> Response:
        return HTMLResponse(served({"mode": "live", "folder": folder.name, "lessons": bool(lessons)}))

    def listed(request: Request) -> Response:
        return JSONResponse([dataclasses.asdict(entry) for entry in runs.entries()])

    def report(request: Request) -> Response:
        return HTMLResponse(served(_found(runs, request)))

    def view(request: Request) -> Response:
        return JSONResponse(_found(runs, request))

    def followed(request: Request) -> Response:
        path = _path(runs, request)
        if path.suffix != ".sqlite":
            raise HTTPException(404, "this run has no store to follow")
        return StreamingResponse(follow(path, gone=request.is_disconnected), media_type=EVENTS)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/runs/{name}", report),
            Route("/api/runs", listed),
            Route("/api/runs/{name}", view),
            Route("/api/runs/{name}/follow", followed),
            *lessons,
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
    )


def _path(runs: Folder, request: Request) -> Path:
    try:
        return runs.path(request.path_params["name"])
    except KeyError:
        raise HTTPException(404, "there is no such run") from None


def _found(runs: Folder, request: Request) -> dict[str, Any]:
    _path(runs, request)
    try:
        return runs.view(request.path_params["name"])
    except (ValueError, OSError):
        raise HTTPException(404, "this run cannot be read") from None


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        host, port: as given; port 0 takes a free one.
        token: '' on loopback.
    """

    host: str = "127.0.0.1"
    port: int = 8642
    token: str = ""

    def url(self, path: str = "/") -> str:
        """Return what to open in a browser."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}{path}" + (f"?token={self.token}" if self.token else "")


def serve(app: Starlette, socket: Any) -> None:
    """Serve until interrupted."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, server_header=False
    )
    uvicorn.Server(config).run(sockets=[socket])


def bound(address: Address) -> tuple[Address, Any]:
    """Return the address with its port taken, and the socket; away from loopback it gets a token.

    Raises:
        OSError: if the port is taken or the host is not this machine's.
    """
    import socket

    from photic.web.guards import loopback

    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address.host, address.port))
    except OSError:
        made.close()
        raise
    token = address.token or ("" if loopback(address.host) else new_token())
    return dataclasses.replace(address, port=made.getsockname()[1], token=token), made
