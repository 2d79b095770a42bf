"""The circumstances of a measurement in one line: date, machine, cores and how busy they are, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def circumstances() -> str:
    """Return when and on what is measured: what every table of the documentation says of itself."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("torch", "numpy", "numba", "photic"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = f", {os.getloadavg()[0]:.1f} processes waiting" if hasattr(os, "getloadavg") else ""
    threads = f", {os.environ['OMP_NUM_THREADS']} thread each" if os.environ.get("OMP_NUM_THREADS") else ""
    where = f"{_processor()}, {cores} cores{threads}{busy}"
    return f"{datetime.now(UTC):%d %B %Y}; {where}; {platform.system()}; {', '.join(versions)}"


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    if names.exists():
        for line in names.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    print(circumstances())
