"""Completion: the shell completes photic's commands and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from photic.cli.failures import UsageFailure

Shell = Literal["bash", "zsh", "fish", "powershell"]


def install_completion(
    *,
    shell: Shell | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
) -> int:
    """Let the shell complete commands and options: `photic --install-completion`.

    The script goes where the shell looks for it, and bash, zsh and PowerShell get a line in their start-up file.

    Parameters
    ----------
    shell
        The shell; by default the one that photic was called from.
    output
        Write the script to this file instead, and leave the start-up files alone.
    """
    from photic.cli.main import app
    from photic.cli.output import said

    made: Any = app()
    try:
        said(made.install_completion(shell=shell, output=output, add_to_startup=output is None))
    except OSError as error:
        raise UsageFailure(f"the completion cannot be written: {error}; choose a file with --output") from None
    except Exception as error:  # of the detection
        raise UsageFailure(f"which shell? {error}; name it: --shell bash, zsh, fish or powershell") from None
    return 0
