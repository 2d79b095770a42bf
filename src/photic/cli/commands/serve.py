"""`photic serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def serve(
    folder: Path = Path("photic-runs"),
    *,
    host: str = "127.0.0.1",
    port: int = 8642,
    name: tuple[str, ...] = (),
    open: Annotated[bool, Parameter(name="--open", negative="")] = False,
) -> int:
    """Show the runs in a folder in the browser, running and finished; those that run are followed live.

    It listens to this machine alone. With another `--host` it asks for a token, which is part of the address it prints.

    Parameters
    ----------
    folder
        Where `photic run` and `photic.watch(record=...)` put their records.
    host
        Address to listen on.
    port
        Port to listen on; 0 takes a free one.
    name
        Further host names under which the server is called.
    open
        Open the page in the browser.
    """
    from photic.cli.serving import serve_page

    return serve_page(folder, host=host, port=port, names=name, start="/", open_browser=open)
