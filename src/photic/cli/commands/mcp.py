"""`photic mcp`."""

from __future__ import annotations


def mcp() -> int:
    """Serve coding assistants over the Model Context Protocol, on stdin and stdout: check, findings, explain, treat."""
    from photic.cli.assistant import server

    server().run("stdio")
    return 0
