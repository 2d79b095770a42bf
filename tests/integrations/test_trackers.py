"""Each tracker is read back by its own reader; a tracker that fails stops nothing."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import photic
from photic.integrations.trackers import Tracker, summary, tensorboard, tracked
from photic.records.runs import Run
from tests.integrations import plain_loop as plain

ours = pytest.mark.filterwarnings("ignore")  # the libraries' own


def train(model: torch.nn.Module, tracker: Tracker | None, **options: Any) -> list[Run]:
    seen: list[Run] = []
    optimizer = torch.optim.SGD(model.parameters(), plain.RATE)
    x, y = plain.data()

    def loop() -> None:
        for _ in range(10):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), plain.CLIP)
            optimizer.step()

    if tracker is None:
        loop()
        return seen
    with photic.watch(model, optimizer) as watch:
        watch.on_audit = seen.append
        with tracked(watch, tracker, **options):
            loop()
        assert not watch.faults and watch.run is not None
    return seen


def installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:
        pytest.skip(f"{name} is not installed here")


def test_the_summary_has_some_twenty_numbers_that_agree_with_the_run() -> None:
    sent: dict[int, dict[str, float]] = {}
    pages: list[str] = []
    tracker = Tracker("a list", lambda n, step: sent.__setitem__(step, dict(n)), lambda p: pages.append(p.read_text()))
    runs = train(plain.build(), tracker)
    assert [run.steps[0].step for run in runs] == list(sent) == [0, 2, 8]
    assert all(15 <= len(numbers) <= 25 for numbers in sent.values())
    for run in runs:
        numbers = sent[run.steps[0].step]
        assert numbers["photic/gradient_norm/used"] == pytest.approx(plain.CLIP, rel=1e-4)
        assert numbers["photic/gradient_norm/before_clipping"] == pytest.approx(run.steps[0].clip_norm, rel=1e-5)
        assert numbers["photic/layers/all"] == 5 and numbers["photic/loss"] == run.loss
    assert len(pages) == 1 and "<html" in pages[0]


def test_layers_come_only_on_request() -> None:
    sent: list[set[str]] = []
    train(plain.build(), Tracker("a list", lambda n, _: sent.append(set(n)), lambda _: None), layers_every=2)
    per_layer = ["photic/update_ratio/layers.0.weight" in names for names in sent]
    assert per_layer == [True, False, True]


def test_a_tracker_that_fails_stops_neither_training_nor_watch() -> None:
    def broken(numbers: Any, step: int) -> None:
        raise ConnectionError("no route")

    watched, unwatched = plain.build(), plain.build()
    with pytest.warns(UserWarning, match="no longer sends to a wire: ConnectionError: no route") as caught:
        assert len(train(watched, Tracker("a wire", broken, lambda _: None))) == 3
    assert len(caught) == 1
    train(unwatched, None)
    assert plain.same_weights(watched, unwatched)


def test_a_tracker_that_works_changes_no_bit_of_the_training() -> None:
    watched, unwatched = plain.build(), plain.build()
    tracker = Tracker("a list", lambda _n, _s: None, lambda _p: None)
    train(watched, tracker, layers_every=1)
    train(unwatched, None)
    assert plain.same_weights(watched, unwatched)


@ours
def test_tensorboard(tmp_path: Path) -> None:
    installed("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    watched, unwatched = plain.build(), plain.build()
    with SummaryWriter(str(tmp_path)) as writer:
        runs = train(watched, tensorboard(writer))
    train(unwatched, None)
    assert plain.same_weights(watched, unwatched)
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    events = reader.Scalars("photic/gradient_norm/before_clipping")
    assert [event.step for event in events] == [0, 2, 8]
    expected = [summary(run)["photic/gradient_norm/before_clipping"] for run in runs]
    assert [event.value for event in events] == pytest.approx(expected, rel=1e-6)
    assert (tmp_path / "photic-report.html").exists()


@ours
def test_mlflow(tmp_path: Path) -> None:
    library = installed("mlflow")
    from photic.integrations.trackers import mlflow

    library.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = library.create_experiment("photic", artifact_location=str(tmp_path / "artifacts"))
    with library.start_run(experiment_id=experiment) as active:
        runs = train(plain.build(), mlflow())
    library.flush_async_logging()
    client = library.MlflowClient()
    history = sorted(client.get_metric_history(active.info.run_id, "photic/loss"), key=lambda m: m.step)
    assert [m.value for m in history] == pytest.approx([run.loss for run in runs])
    assert [a.path for a in client.list_artifacts(active.info.run_id)] == ["photic-report.html"]


@ours
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = installed("wandb")
    from photic.integrations.trackers import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    run = library.init(mode="offline", dir=str(tmp_path), project="photic")
    runs = train(plain.build(), wandb(run))
    assert run.summary["photic/loss"] == pytest.approx(runs[-1].loss) and run.summary["photic/step"] == 8
    assert "photic/report" in dict(run.summary)
    run.finish()


@ours
def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    library = installed("trackio")
    from photic.integrations.trackers import trackio

    run = library.init(project="photic", name="one", embed=False)
    runs = train(plain.build(), trackio(run))
    library.finish()
    from trackio.sqlite_storage import SQLiteStorage  # what its own dashboard reads with

    rows = [row for row in SQLiteStorage.get_logs("photic", "one") if "photic/loss" in row]
    assert [row["photic/step"] for row in rows] == [0, 2, 8]
    assert [row["photic/loss"] for row in rows] == pytest.approx([run.loss for run in runs])
