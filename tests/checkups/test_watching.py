"""The watch: the verdict is right, the budget is kept, faults end the watch alone."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups import verdicts
from photic.checkups.watching import Watch
from photic.probes.pace import START_UP, Pace
from photic.records.stores import StoreReader
from tests import zoo
from tests.zoo import seeded


class Nothing:
    def __init__(self, *_: Any) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def trained(build: Callable[[], nn.Module], *, steps: int = 40, rate: float = 0.05, **options: Any) -> Watch:
    model = seeded(build)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer, **options) as watch:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return watch


def test_what_showed_at_the_start_alone_is_named_while_nothing_is_learned() -> None:
    def normalised() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(50):
            layers += [nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(64, 10))

    watch = trained(normalised, steps=40, rate=0.1)
    assert [finding.problem for finding in watch.findings] == ["exploding-gradient"]


def test_a_deep_sigmoid_network_is_found_named_and_told_once() -> None:
    told: list[tuple[str, int]] = []
    watch = trained(lambda: zoo.Mlp(), on_finding=lambda finding, step: told.append((finding.problem, step)))
    assert [f.problem for f in watch.findings] == ["vanishing-gradient"]
    assert told == [("vanishing-gradient", 2)]
    assert not watch.healthy
    assert "layers" in watch.findings[0].sites[0] or "sigmoid" in watch.findings[0].sites[0]


def test_the_same_verdict_as_check() -> None:
    for name in ("relu-he-8", "tanh-xavier-20", "pre-norm-residual", "batch-norm-20"):
        watch = trained(zoo.HEALTHY[name][0], steps=12)
        assert watch.healthy, (name, [f.problem for f in watch.findings])
    for name in ("tanh-default-20", "relu-default-20", "detach"):
        problem, build, *_ = zoo.SICK[name]
        watch = trained(build, steps=12)
        assert problem in [f.problem for f in watch.findings], name


def test_functional_activations_losses_and_updates_are_seen_in_place() -> None:
    watch = trained(lambda: zoo.Mlp(torch.relu, 3, variance=2.0), steps=5)
    run = watch.run
    assert run is not None
    assert [s.operation for s in run.sites] == ["linear", "relu"] * 3 + ["linear", "cross_entropy"] or "relu" in {
        s.operation for s in run.sites
    }
    assert any(site.phase == "loss" for site in run.sites)
    ratios = [r.update_ratio for p, r in zip(run.parameters, run.steps[0].parameters) if len(p.shape) > 1]
    assert all(ratio is not None and 0.0 < ratio < 1.0 for ratio in ratios)


def test_an_audit_in_place_reads_what_a_separate_audit_reads() -> None:
    model = seeded(lambda: zoo.Mlp(torch.tanh, 4))
    x, y = zoo.vectors()
    apart = photic.measure(copy.deepcopy(model), (x, y), F.cross_entropy)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with photic.watch(model, optimizer) as watch:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    run = watch.run
    assert run is not None
    assert [s.name for s in run.sites] == [s.name for s in apart.sites]
    for ours, theirs in zip(run.steps[0].sites, apart.steps[0].sites, strict=True):
        assert ours.signal == theirs.signal
        assert ours.gradient == theirs.gradient
    for ours, theirs in zip(run.steps[0].parameters, apart.steps[0].parameters, strict=True):
        assert ours.gradient == theirs.gradient


def test_gradients_are_those_that_the_optimizer_sees() -> None:
    """Clipped to 0.5, and unscaled: the record holds what moves the weights."""
    model = seeded(lambda: zoo.Mlp(torch.relu, 3, variance=2.0))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        (100.0 * F.cross_entropy(model(x), y)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    assert watch.run is not None
    norms = [r.gradient.norm for r in watch.run.steps[0].parameters if r.gradient is not None]
    assert sum(norm**2 for norm in norms) ** 0.5 == pytest.approx(0.5, rel=1e-3)


def test_nothing_is_attached_on_steps_that_are_not_sampled() -> None:
    from torch.nn.modules import module as torch_module
    from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

    model = seeded(lambda: zoo.Mlp(torch.relu, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    plain = 0
    with photic.watch(model, optimizer, budget=0.0) as watch:
        for _ in range(60):
            sampled = watch._kind != "nothing"
            hooks = len(torch_module._global_forward_pre_hooks) + len(torch_module._global_forward_hooks)
            assert (hooks > 0) == sampled
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
            assert (len(_global_optimizer_pre_hooks) > 0) == sampled
            assert len(_global_optimizer_post_hooks) == 1
            plain += not sampled
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert plain == 60 - len([step for step in START_UP if step < 60])
    assert not _global_optimizer_post_hooks and not _global_optimizer_pre_hooks
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0


def test_evaluation_between_the_steps_is_no_reading() -> None:
    model = seeded(lambda: zoo.Mlp(torch.relu, 3, variance=2.0))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        for _ in range(6):
            model.eval()
            with torch.no_grad():
                model(x * 1e6)
            model.train()
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert watch.run is not None and watch.faults == []
    signal = watch.run.steps[0].sites[0].signal
    assert signal is not None and signal.rms < 100


def test_a_fault_of_ours_ends_the_watch_and_not_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("a fault of ours")

    for place in ("diagnose", "predict_run"):
        with monkeypatch.context() as patch:
            patch.setattr(verdicts, place, broken)
            with pytest.warns(UserWarning, match="photic stopped watching"):
                watch = trained(lambda: zoo.Mlp(torch.relu, 3), steps=5)
        assert watch.faults == ["KeyError: 'a fault of ours'"]
    from photic.probes import recorder

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "settings_of", broken)
        with pytest.warns(UserWarning, match="photic stopped watching"):
            watch = trained(lambda: zoo.Mlp(torch.relu, 3), steps=5)
    assert len(watch.faults) >= 1
    assert not torch.overrides._get_current_function_mode_stack()


def test_an_error_of_the_users_is_the_users() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) @ torch.zeros(3, 3)

    model = seeded(Broken)
    with (
        photic.watch(model, torch.optim.SGD(model.parameters(), 0.1)) as watch,
        pytest.raises(RuntimeError, match="shapes"),
    ):
        model(zoo.vectors()[0])
    assert watch.faults == []
    assert not torch.overrides._get_current_function_mode_stack()


def test_the_record_is_read_while_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "run.sqlite"
    model = seeded(lambda: zoo.Mlp())
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer, record=file, budget=0.5) as watch:
        for _ in range(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        reader = StoreReader(file)
        assert len(reader.wait("loss", after=-1, seconds=5.0)) >= 1
        reader.close()
    reader = StoreReader(file)
    audits = reader.rows("audit/gradient")
    facts = reader.facts()
    assert {0, 2, 8, 32} <= {step for step, _ in audits}
    assert len(audits[0][1]) == len(facts["sites"])
    assert facts["findings"][0]["problem"] == "vanishing-gradient"
    assert "glance/gradient" in reader.series()
    assert len(reader.rows("glance/gradient")[0][1]) == len(facts["modules"])
    assert watch.checkup is not None and not watch.checkup.healthy
    reader.close()


def test_the_record_of_an_earlier_run_goes_and_that_of_a_resumed_one_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "run.sqlite"

    def losses(steps: int, started: int) -> list[int]:
        model = seeded(lambda: zoo.Mlp(torch.relu, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        x, y = zoo.vectors()
        with Watch(model, optimizer, record=file, started=started):
            for _ in range(steps):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        reader = StoreReader(file)
        found = [step for step, _ in reader.rows("loss")]
        assert reader.lost == 0
        reader.close()
        return found

    assert losses(10, 0) == [0, 2, 8]
    assert losses(3, 0) == [0, 2]
    assert losses(3, 2) == [0, 2, 4]


def test_the_pace_keeps_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of our own: plain steps take 10 ms, glances 1 ms more and audits 40 ms more."""
    clock = [0.0]
    monkeypatch.setattr("photic.probes.pace.time.perf_counter", lambda: clock[0])
    pace = Pace(0.01)
    kind: Any = "audit"
    counts = {"nothing": 0, "glance": 0, "audit": 0}
    for step in range(20_000):
        counts[kind] += 1
        clock[0] += 0.010 + {"nothing": 0.0, "glance": 0.001, "audit": 0.040}[kind]
        kind = pace.stepped(step, kind, own=0.0)
    assert 0.003 < pace.overhead <= 0.0101
    assert pace.start_up_seconds == pytest.approx(len(START_UP) * 0.040, rel=0.1)
    assert counts["glance"] > 100 and counts["audit"] > 15
    with pytest.raises(ValueError, match="share of the time"):
        Pace(3.0)


def paced(
    steps: int, monkeypatch: pytest.MonkeyPatch, *, every: int = 0, pause: int = 0
) -> tuple[Pace, dict[str, list[int]]]:
    """Plain steps take 10 ms, glances 1 ms more, audits 40 ms more; the user's own pause of 300 ms comes at every n-th step."""
    clock = [0.0]
    monkeypatch.setattr("photic.probes.pace.time.perf_counter", lambda: clock[0])
    pace = Pace(0.01, every=every)
    kind: Any = "audit"
    made: dict[str, list[int]] = {"nothing": [], "glance": [], "audit": []}
    for step in range(steps):
        made[kind].append(step)
        clock[0] += 0.010 + {"nothing": 0.0, "glance": 0.001, "audit": 0.040}[kind]
        clock[0] += 0.3 if pause and step % pause == 0 else 0.0
        kind = pace.stepped(step, kind, own=0.0)
    return pace, made


@pytest.mark.parametrize("every", [0, 1, 10])
def test_audits_go_on_after_the_start_up(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pace, made = paced(20_000, monkeypatch, every=every)
    assert len(made["audit"]) > 12 and made["audit"][-1] > 10_000
    assert pace.glances_unmeasured == (every == 1)
    audits = sum(step > START_UP[-1] for step in made["audit"]) * 0.040
    assert pace.overhead >= 0.9 * audits / pace.total_seconds
    if every:
        assert all(step % every == 0 for step in made["glance"])


def test_pauses_of_the_user_are_not_our_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    pace, made = paced(20_000, monkeypatch, pause=19)
    assert len(made["glance"]) > 300
    true = 0.001 * len(made["glance"]) + 0.040 * (len(made["audit"]) - len(START_UP))
    assert pace.overhead * pace.total_seconds < 1.6 * true


class Breaking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.broken = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)), False

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * float("nan") if self.broken else x)


@pytest.mark.parametrize("breaks", [21, 22])
def test_a_glance_at_a_nan_leads_to_a_finding(breaks: int) -> None:
    """No audit is due between step 8 and step 32."""
    model = seeded(Breaking)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = zoo.vectors()
    told: list[tuple[str, int]] = []
    with photic.watch(model, optimizer, every=2, on_finding=lambda f, step: told.append((f.problem, step))) as watch:
        for step in range(31):
            model.broken = step >= breaks
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert watch.faults == [] and told == [("non-finite", 24)]
    assert [step for step in next(iter(watch._tracks.values())).audited if step > 8] == [
        23,
        24,
    ]  # once, not at every glance


def test_what_was_not_measured_is_said_so() -> None:
    assert "the glances were not measured" in trained(lambda: zoo.Mlp(torch.relu, 3), every=1, steps=8).cost()
    assert "not measured" not in trained(lambda: zoo.Mlp(torch.relu, 3), every=2, steps=8).cost()


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match="Modules to watch"):
        photic.watch([1, 2])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one model"):
        photic.watch([])


def test_a_compiled_model_trains_on_and_its_parameters_are_read() -> None:
    def train(look: Any) -> list[float]:
        model = torch.compile(seeded(lambda: zoo.Mlp(torch.relu, 3, variance=2.0)), backend="eager")
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        x, y = zoo.vectors()
        losses = []
        with look(model, optimizer):
            for _ in range(12):
                optimizer.zero_grad()
                value = F.cross_entropy(model(x), y)
                value.backward()
                optimizer.step()
                losses.append(value.item())
        return losses

    made: list[Watch] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = train(Nothing)
        watched = train(lambda *given: made.append(photic.watch(*given)) or made[0])
    assert plain == watched
    assert made[0].faults == [] and made[0].steps == 12
    assert "compiled" in made[0].notes[0]
