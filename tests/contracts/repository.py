"""The repository as the contract tests see it: where its files lie and how to run code in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "photic"
TORCH_FREE = ("records", "activations", "theory", "diagnosis", "reports")


def python_files(*folders: str) -> list[Path]:
    """Return every Python file of the repository's own below these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """Return every file that the repository's authors write: code, documents, settings."""
    top = [
        path
        for path in ROOT.iterdir()
        if path.is_file() and path.suffix in {".md", ".py", ".toml", ".txt", ".cff", ".bib"}
    ]
    return sorted([*python_files("src", "tests", "benchmarks"), *top, ROOT / ".ci" / "run"])


def modules(*packages: str) -> list[str]:
    """Return the dotted names of all modules of these packages of photic."""
    names: list[str] = []
    for package in packages:
        for path in sorted((SOURCE / package).rglob("*.py")):
            parts = ("photic", *path.relative_to(SOURCE).with_suffix("").parts)
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def fresh(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds photic."""
    start = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
    return subprocess.run(
        [sys.executable, "-c", start + code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
