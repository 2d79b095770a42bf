"""`photic learn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def learn(
    *,
    host: str = "127.0.0.1",
    port: int = 8642,
    name: tuple[str, ...] = (),
    open: Annotated[bool, Parameter(name="--open", negative="")] = False,
    export: Path | None = None,
) -> int:
    """Teach vanishing gradients in the browser, each lesson on real PyTorch networks that you turn yourself.

    Parameters
    ----------
    host
        Address to listen on; any but this machine's own asks for a token.
    port
        Port to listen on; 0 takes a free one.
    name
        Further host names under which the server is called.
    open
        Open the page in the browser.
    export
        Write the lessons into a folder instead, with a choice of runs made beforehand: a page that needs no server.
    """
    from photic.cli.failures import TargetFailure

    try:
        import sklearn  # pyright: ignore[reportUnusedImport]  # noqa: F401
    except ImportError:
        raise TargetFailure("the lessons need scikit-learn's data: pip install 'photic[lab]'") from None
    if export is not None:
        from photic.cli.output import progress, write
        from photic.reports.page import page
        from photic.web.export import answers

        write(export / "index.html", page({"mode": "learn", "answers": answers(progress(quiet=False))}))
        return 0
    from photic.cli.serving import serve_page

    return serve_page(Path("photic-runs"), host=host, port=port, names=name, start="/learn", open_browser=open)
