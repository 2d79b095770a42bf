"""The proof of a patch: the patched source, imported anew in a process of its own, is trained as the trial was.

Nothing is written to the user's file: the child's importer is given the patched text in its place.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from photic.records.treatments import TreatmentRecord

SHARE = 0.5  # of the trial's improvement that the patched file reaches at least; weights are drawn with other numbers


def prove(
    record: TreatmentRecord, target: str, *, shape: str, seed: int, steps: int, weights: Path | None = None
) -> tuple[bool, str]:
    """Return whether the patched file trained as the trial did, and in one sentence what it did beside trial and untreated."""
    from photic.remedies.patch import patched  # not in the child: what reads source takes a second to import

    trial = next(t for t in record.trials if t.remedy == record.remedy)
    control = next(t for t in record.trials if t.outcome == "control")
    asked: dict[str, Any] = {"target": target, "shape": shape, "seed": seed, "steps": steps}
    asked["weights"] = None if weights is None else str(weights)
    try:
        path, asked["text"] = patched(record.patch)
    except (OSError, ValueError) as error:
        return False, f"the patch could not be applied: {error}"
    asked["path"] = str(path)
    done = subprocess.run(
        [sys.executable, "-m", "photic.cli.proof"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return False, f"the patched file could not be trained in a fresh process: {said}"
    loss = float(json.loads(lines[-1])["loss"])
    return _sentence(loss, trial.held_back_loss, control.held_back_loss, steps)


def _sentence(loss: float, treated: float | None, untreated: float | None, steps: int) -> tuple[bool, str]:
    trial = "nan" if treated is None else f"{treated:.3g}"
    beside = "broke off" if untreated is None else f"{untreated:.3g}"
    size = f"{loss:.3g} on held-back batches after {steps} steps (trial {trial}, untreated {beside})"
    near = untreated is None or treated is None or untreated - loss >= SHARE * (untreated - treated)
    if near and treated is not None and math.isfinite(loss):
        return True, f"verified: the patched file, imported anew and trained in a fresh process, gives {size}"
    return False, f"the patched file does not reproduce the trial: {size}; read the patch before you use it"


class PatchedSource:
    """Gives the importer the patched text of one file; its compiled form on disk is neither read nor written."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path.resolve(), text
        self.compiled = Path(importlib.util.cache_from_source(str(self.path)))

    def install(self) -> None:
        """Put it before torch or the user's code is imported."""
        plain: Any = SourceFileLoader.get_data
        sys.dont_write_bytecode = True

        def get_data(loader: SourceFileLoader, path: str) -> bytes:
            place = Path(path).resolve()
            if place == self.path:
                return self.text.encode()
            if place == self.compiled:
                raise OSError(f"{path} holds the file as it was before the patch")
            return plain(loader, path)

        SourceFileLoader.get_data = get_data  # type: ignore[method-assign]


def _main() -> None:
    asked = json.loads(sys.stdin.read())
    PatchedSource(Path(asked["path"]), asked["text"]).install()
    from photic.cli.targets import load
    from photic.remedies.crew import Crew, Order
    from photic.remedies.material import Material
    from photic.remedies.search import rungs_of

    weights = None if asked["weights"] is None else Path(asked["weights"])
    loaded = load(asked["target"], shape=asked["shape"], seed=asked["seed"], weights=weights)
    steps = int(asked["steps"])
    material = Material.collect(loaded.build, loaded.batches, loaded.loss, loaded.optimizer_of_each(), steps=steps)
    with Crew(material, rungs_of(steps), None) as crew:
        member = crew.enlist("patched", None, 0)
        crew.work(Order(member, steps))
    print(json.dumps({"loss": str(member.seen.mean())}))


if __name__ == "__main__":
    _main()
