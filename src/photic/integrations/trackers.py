"""Experiment trackers: some twenty numbers of every audit, and the report at the end: TensorBoard, W&B, MLflow, trackio."""

from __future__ import annotations

import math
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photic.checkups.watching import Watch
from photic.diagnosis.profile import depth_profile
from photic.integrations.requirements import need
from photic.records.findings import Finding
from photic.records.runs import Run


@dataclass(frozen=True)
class Tracker:
    """Where numbers go: `scalars(numbers, step)` and `report(path of an HTML page)`."""

    name: str
    scalars: Callable[[Mapping[str, float], int], None]
    report: Callable[[Path], None]


@contextmanager
def tracked(watch: Watch, tracker: Tracker, *, layers_every: int = 0) -> Iterator[Watch]:
    """Send what the watch sees to a tracker: `with photic.watch(...) as watch, tracked(watch, tensorboard(writer)): ...`.

    A tracker that fails is left alone with a warning; neither the training nor the watch ends of it. It is called in the
    thread of the training, between two steps: one that waits for a network makes the training wait.

    Args:
        layers_every: also send every layer's transport and every weight's update at each n-th audit; 0 never: hundreds of
            series make a tracker's page slow.
    """
    before, state = watch.on_audit, {"audits": 0, "failed": False}

    def guarded(send: Callable[[], None]) -> None:
        if state["failed"]:
            return
        try:
            send()
        except Exception as error:
            state["failed"] = True
            warnings.warn(f"photic no longer sends to {tracker.name}: {type(error).__name__}: {error}", stacklevel=2)

    def audited(run: Run) -> None:
        if before is not None:
            before(run)
        numbers = summary(run, watch.findings)
        if layers_every and state["audits"] % layers_every == 0:
            numbers |= layers(run)
        state["audits"] += 1
        step = run.steps[0].step
        guarded(lambda: tracker.scalars({name: v for name, v in numbers.items() if math.isfinite(v)}, step))

    watch.on_audit = audited
    try:
        yield watch
    finally:
        watch.on_audit = before
        guarded(lambda: _send_report(watch, tracker))


def summary(run: Run, findings: tuple[Finding, ...] = ()) -> dict[str, float]:
    """Return what a run's last step comes to in some twenty numbers, by names that begin with `photic/`."""
    step, profile = run.steps[-1], depth_profile(run)
    read = [r for p, r in zip(run.parameters, step.parameters, strict=True) if p.trainable]
    gradients = [r.gradient for r in read if r.gradient is not None]
    updates = [r.update_ratio for r in read if r.update_ratio is not None]
    signals = [s.signal.rms for s in step.sites if s.signal is not None and s.signal.count]
    dead = [s.units.dead_fraction for s in step.sites if s.units is not None]
    saturated = [s.units.saturated_fraction for s in step.sites if s.units is not None]
    found: dict[str, float] = {
        "loss": math.nan if step.loss is None else step.loss,
        "gradient_norm/used": _norm([g.norm for g in gradients]),
        "gradient_norm/before_clipping": _norm([r.before_clipping for r in read if r.before_clipping is not None]),
        "gradient/nonfinite": float(sum(g.nonfinite for g in gradients)),
        "gradient/parameters_without": float(len(read) - len(gradients)),
        "weight_norm": math.hypot(*(r.weight.norm for r in read)),
        "findings/all": float(len(findings)),
        "findings/critical": float(sum(f.severity == "critical" for f in findings)),
        "healthy": float(all(f.severity == "info" for f in findings)),
    }
    for name, values in (("update_ratio", updates), ("signal_rms", signals)):
        if values:
            found |= {
                f"{name}/min": min(values),
                f"{name}/median": statistics.median(values),
                f"{name}/max": max(values),
            }
    if dead:
        found |= {"dead_fraction/max": max(dead), "saturated_fraction/max": max(saturated)}
    if profile is not None and profile.layers:
        arrived = [line.transport for line in profile.layers if line.transport]
        found["layers/reached"] = float(sum(line.reached for line in profile.layers))
        found["layers/all"] = float(len(profile.layers))
        if len(arrived) > 1:
            found |= {"transport/first": arrived[0], "transport/min": min(arrived), "transport/max": max(arrived)}
            found["transport/decades_per_layer"] = math.log10(arrived[-1] / arrived[0]) / (len(arrived) - 1)
    return {f"photic/{name}": value for name, value in found.items()}


def _norm(parts: list[float]) -> float:
    """Of all parts together; where nothing was read there is no norm, and so nothing is sent: not 0."""
    return math.hypot(*parts) if parts else math.nan


def layers(run: Run) -> dict[str, float]:
    """Return the transport to every layer and the relative update of every parameter."""
    profile = depth_profile(run)
    found = {f"photic/transport/{x.site}": x.transport for x in profile.layers if x.transport} if profile else {}
    for parameter, reading in zip(run.parameters, run.steps[-1].parameters, strict=True):
        if reading.update_ratio is not None:
            found[f"photic/update_ratio/{parameter.name}"] = reading.update_ratio
    return found


def _send_report(watch: Watch, tracker: Tracker) -> None:
    from photic.reports.page import page
    from photic.reports.view import view_of

    checkup = watch.checkup
    if checkup is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photic-report.html"
        path.write_text(page(view_of(checkup)), encoding="utf-8")
        tracker.report(path)


def tensorboard(writer: Any) -> Tracker:
    """Send to a `torch.utils.tensorboard.SummaryWriter`; the report becomes its findings as text, pages have no place there."""

    def scalars(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    def report(path: Path) -> None:
        copy = Path(writer.log_dir) / path.name
        copy.write_bytes(path.read_bytes())
        writer.add_text("photic/report", f"the report lies beside the event file: {copy.name}")
        writer.flush()

    return Tracker("TensorBoard", scalars, report)


def wandb(run: Any) -> Tracker:
    """Send to a run of Weights & Biases, `wandb.init(mode="offline")` included."""
    library = need("wandb", extra="wandb")

    def scalars(numbers: Mapping[str, float], step: int) -> None:
        run.log({**numbers, "photic/step": step})  # without `step=`, which must not go back and belongs to the user

    def report(path: Path) -> None:
        run.log({"photic/report": library.Html(path.read_text(encoding="utf-8"), inject=False)})

    return Tracker("Weights & Biases", scalars, report)


def mlflow() -> Tracker:
    """Send to the active run of MLflow."""
    library = need("mlflow", extra="mlflow")
    return Tracker(
        "MLflow",
        lambda numbers, step: library.log_metrics(dict(numbers), step=step, synchronous=False),
        lambda path: library.log_artifact(str(path)),
    )


def trackio(run: Any) -> Tracker:
    """Send to a run of trackio."""
    library = need("trackio", extra="trackio")
    return Tracker(
        "trackio",
        lambda numbers, step: run.log({**numbers, "photic/step": step}),
        lambda path: run.log({"photic/report": library.Html(path.read_text(encoding="utf-8"))}),
    )
