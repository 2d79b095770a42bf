"""What coding assistants may ask through the Model Context Protocol: check, findings of a run, explain, treat, apply."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from photic import __version__
from photic.cli.failures import UsageFailure
from photic.records import documents
from photic.records.documents import to_plain
from photic.records.findings import Checkup
from photic.records.stores import StoreReader
from photic.reports.verdict import verdict

INSTRUCTIONS = (
    "photic tells how deep the error gradient reaches in a PyTorch network, why it fades or explodes, and what cures it. "
    "Check first; explain a finding before you act on it; treat tries remedies and writes nothing. A patch is written only "
    "by apply_patch with the confirmation that treat gave, and only after the person you work for has agreed to the patch."
)
SECONDS = 1800.0  # of one check or treatment


def server() -> Any:
    """Return the server with its tools, ready to run.

    Raises:
        UsageFailure: if the protocol's SDK is not installed.
    """
    try:
        from mcp.server import MCPServer  # pyright: ignore[reportMissingImports]
        from mcp.server.mcpserver.exceptions import ToolError  # pyright: ignore[reportMissingImports]
    except Exception as error:
        raise UsageFailure(f"photic mcp needs the protocol's SDK ({error}); `pip install 'photic[mcp]'`") from error
    made: Any = MCPServer("photic", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR")
    patches: dict[str, str] = {}

    def check(target: str, steps: int | None = None, input: str = "", weights: str = "") -> dict[str, Any]:
        """Audit a network before training and in its first steps: verdict, and findings with place, reason and advice.

        target: FILE.py:NAME or package.module:NAME that gives a module, (model, batch), (model, batches, loss) or (model,
        batches, loss, optimizer); or hf:FOLDER. steps: training steps of a copy, 0 only audits; left out,
        20, or 60 where these do not show why nothing is learned. input: "float32[32,10]" or
        "tokens[2,128]" where the target brings no data. weights: a .safetensors or state dict file. Writes nothing.
        """
        more = [*(["--input", input] if input else []), *(["--weights", weights] if weights else [])]
        made = [] if steps is None else ["--steps", str(steps)]
        return checked(_run(["check", target, *made, *more]))

    def findings(record: str) -> dict[str, Any]:
        """Return the findings of a run: a record of `photic check --save`, or the .sqlite that a watch writes, also live."""
        return of_run(Path(record))

    def explain(problem: str = "") -> dict[str, str]:
        """Return what a finding means: its signs, why it matters, false alarms, sources. Without a problem: all, in a line."""
        from photic.diagnosis.registry import rules

        known = {rule.problem: rule for rule in rules()}
        if problem and problem not in known:
            raise ValueError(f"there is no finding {problem!r}; there are: {', '.join(known)}")
        if problem:
            return {problem: known[problem].documentation + f"\n\nSources: {', '.join(known[problem].sources)}"}
        return {name: rule.summary for name, rule in known.items()}

    def treat(target: str, steps: int = 200, minutes: float = 10.0) -> dict[str, Any]:
        """Try what may cure the target's network against an untreated control; returns trials and a patch, writes nothing.

        Takes minutes. The patch comes with a `confirmation`; show the patch to the person before you call apply_patch.
        """
        record = _run(["treat", target, "--steps", str(steps), "--minutes", str(minutes)])
        found: dict[str, Any] = {
            "accepted": record.accepted,
            "remedy": record.remedy,
            "before": checked(record.before),
            "trials": to_plain(record.trials),
            "patch": record.patch,
            "paste": record.paste,
        }
        if record.patch:
            found["confirmation"] = hashlib.sha256(record.patch.encode()).hexdigest()[:12]
            patches[found["confirmation"]] = record.patch
        return found

    def apply_patch(confirmation: str) -> str:
        """Write a patch of `treat` into the user's file, keeping the old one as FILE.orig; only with the person's consent."""
        from photic.remedies.patch import apply_patch as apply

        if confirmation not in patches:
            raise ValueError(
                "no patch waits for this confirmation; call treat, show its patch, and pass its `confirmation`"
            )
        return f"wrote {apply(patches.pop(confirmation))}"

    for tool in (check, findings, explain, treat, apply_patch):
        made.tool()(_telling(tool, ToolError))
    return made


def _telling(tool: Callable[..., Any], failure: type[Exception]) -> Callable[..., Any]:
    """Return the tool with our refusals as the protocol's: other errors reach the assistant without their text."""

    @functools.wraps(tool)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool(*args, **kwargs)
        except (ValueError, OSError, subprocess.TimeoutExpired) as error:
            raise failure(str(error)) from error

    return told


def checked(checkup: Checkup) -> dict[str, Any]:
    """Return a checkup as an assistant needs it: verdict, findings, layers; without the readings."""
    profile = checkup.diagnosis.profile
    layers = () if profile is None else profile.layers
    return {
        "verdict": verdict(checkup),
        "healthy": checkup.healthy,
        "stopped": checkup.run.stopped,
        "findings": to_plain(checkup.findings),
        "layers": [{"site": x.site, "where": x.where, "transport": x.transport, "reached": x.reached} for x in layers],
        "notes": list(checkup.notes),
    }


def of_run(path: Path) -> dict[str, Any]:
    """Return the findings in a saved record or in the store of a watch.

    Raises:
        ValueError: if there is no such file, or it is no record of ours.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; `photic run` and `photic.watch(record=...)` write one")
    if path.suffix == ".sqlite":
        reader = StoreReader(path)
        try:
            facts, losses = reader.facts(), reader.rows("loss")
        finally:
            reader.close()
        return {
            "findings": facts.get("findings", []),
            "steps": facts.get("steps", 0),
            "cost": facts.get("cost", ""),
            "losses": [[step, values[0]] for step, values in losses[-20:]],
        }
    record = documents.read(path)
    if not isinstance(record, Checkup):
        raise ValueError(f"{path} holds a {type(record).__name__}; findings are in a checkup, of `photic check --save`")
    return checked(record)


def _run(arguments: list[str]) -> Any:
    """Run a command in a process of its own: the user's prints, crashes and stale imports stay there."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "record.json"
        done = subprocess.run(
            [sys.executable, "-m", "photic", *arguments, "--save", str(saved)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env={**os.environ, "NO_COLOR": "1"},
        )
        if not saved.exists():
            raise ValueError(done.stderr.strip()[-3000:] or f"photic ended with exit code {done.returncode}")
        return documents.read(saved)
