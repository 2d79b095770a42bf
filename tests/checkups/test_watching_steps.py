"""Steps that are none or several, parameters that come later, findings that end a training, and what is kept of it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.discovery import Discovery
from photic.checkups.tracks import WINDOW
from photic.checkups.watching import Watch
from photic.probes.scaling import SCALERS
from photic.records.histograms import FIRST, OCTAVES, packed, unpacked
from photic.records.stores import StoreReader
from tests import zoo
from tests.zoo import seeded


def relu_net() -> nn.Module:
    return zoo.Mlp(torch.relu, 3, variance=2.0)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_skips_are_counted_and_read_by_nobody(tmp_path: Path, fused: bool) -> None:
    model = seeded(relu_net)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=1000)
    x, y = zoo.vectors()
    skipped: list[int] = []
    with photic.watch(model, optimizer, record=tmp_path / "run.sqlite", every=1) as watch:
        for step in range(12):
            optimizer.zero_grad()
            value = F.cross_entropy(model(x), y) * (float("inf") if step in (0, 2, 7) else 1.0)
            scaler.scale(value).backward()
            scale = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += [step] if scaler.get_scale() < scale else []
    assert skipped == [0, 2, 7]
    assert watch.scaled.skipped == 3 and watch.steps == 9 and watch.faults == []
    assert "skipped 3 of 12 steps" in watch.notes[0]
    assert watch.checkup is not None and any("skipped 3 of 12" in note for note in watch.checkup.notes)
    track = next(iter(watch._tracks.values()))
    assert all(np.isfinite(loss) for loss in track.losses) and track.first is not None
    reader = StoreReader(tmp_path / "run.sqlite")
    assert [values for _, values in reader.rows("scaler/skipped")] == [(1.0,), (2.0,), (3.0,)]
    assert reader.rows("scaler/scale")[0][1] == (2.0**19,)
    assert not any(np.isinf(v) for _, values in reader.rows("glance/gradient") for v in values)
    assert SCALERS.listeners == [] and torch.amp.GradScaler.step.__module__ == "torch.amp.grad_scaler"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_scaled_loss_is_read_as_the_loss_itself(fused: bool, first: bool) -> None:
    """The same numbers as without a scaler, whether the user unscales first or leaves that to the scaler's step."""

    def read(scale: float | None) -> Any:
        model = seeded(relu_net)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
        x, y = zoo.vectors()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        with photic.watch(model, optimizer) as watch:
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if first:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
        assert watch.faults == [] and watch.run is not None
        return watch.run

    plain, scaled = read(None), read(1024.0)
    assert scaled.steps[0].loss == plain.steps[0].loss and scaled.steps[0].loss_scale == 1024.0
    assert plain.steps[0].loss_scale is None
    ours = {s.name: r for s, r in zip(scaled.sites, scaled.steps[0].sites, strict=True)}
    for site, reading in zip(plain.sites, plain.steps[0].sites, strict=True):
        assert ours[site.name].gradient == reading.gradient, site.name
    for a, b in zip(scaled.steps[0].parameters, plain.steps[0].parameters, strict=True):
        assert a.gradient == b.gradient and a.before_clipping == b.before_clipping
        assert a.update_ratio == pytest.approx(b.update_ratio, rel=1e-5)


@pytest.mark.parametrize("every", [0, 1])
def test_a_closure_is_read_where_it_runs_first(every: int) -> None:
    """LBFGS runs it many times in a step; the reading is that of the weights before, the update that of the whole step."""
    x, y = zoo.vectors()

    def closure_of(model: nn.Module, optimizer: torch.optim.Optimizer, count: list[int]) -> Any:
        def closure() -> Tensor:
            count.append(1)
            optimizer.zero_grad()
            value = F.cross_entropy(model(x), y)
            value.backward()
            return value

        return closure

    model = seeded(lambda: zoo.Mlp(torch.tanh, 2))
    apart = photic.measure(model, (x, y), F.cross_entropy)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)
    count: list[int] = []
    with photic.watch(model, optimizer, every=every) as watch:
        optimizer.step(closure_of(model, optimizer, count))
        after = [p.detach().clone() for p in model.parameters()]
        assert watch.run is not None and len(count) > 2
        step = watch.run.steps[0]
        if every:  # a glance of the next step reads one run, not the sum of all
            optimizer.step(closure_of(model, optimizer, count))
            widths = {site.name: r.signal.count for site, r in zip(apart.sites, apart.steps[0].sites) if r.signal}
            names = watch._sampling.glance.names
            for name, moments in zip(names, watch._sampling.glance.moments(0), strict=True):
                assert moments is None or moments.count == widths[name]
    assert step.loss == apart.steps[0].loss
    for ours, theirs, old, new in zip(step.parameters, apart.steps[0].parameters, before, after, strict=True):
        assert ours.gradient == theirs.gradient and ours.weight == theirs.weight
        expected = float((new - old).double().norm() / old.double().norm()) if float(old.norm()) else None
        if expected is not None:
            assert ours.update_ratio == pytest.approx(expected, rel=1e-6)


def test_a_generator_that_steps_in_odd_steps_is_audited_as_often_as_its_critic() -> None:
    generator, critic = nn.Linear(4, 8), nn.Linear(8, 1)
    first, second = torch.optim.SGD(critic.parameters(), 0.01), torch.optim.SGD(generator.parameters(), 0.01)
    with photic.watch([generator, critic], [first, second], budget=0.0) as watch:
        for _ in range(40):
            for _ in range(2):
                first.zero_grad()
                critic(generator(torch.randn(16, 4)).detach()).mean().backward()
                first.step()
            second.zero_grad()
            critic(generator(torch.randn(16, 4))).mean().backward()
            second.step()
    one, two = (watch._tracks[id(o)] for o in (first, second))
    assert min(len(one.audited), len(two.audited)) >= 3 and abs(len(one.audited) - len(two.audited)) <= 1
    assert one.losses and two.losses


def test_modules_that_come_later_are_watched() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    x, y = zoo.vectors()
    with photic.watch(model) as watch:
        for step in range(20):
            if step == 5:
                model.append(nn.ReLU())
                model.append(nn.Linear(10, 10))
                optimizer.add_param_group({"params": list(model[4].parameters())})
            if step == 12:  # and an optimizer that did not exist
                model.append(nn.Linear(10, 10))
                later = torch.optim.SGD(model[5].parameters(), 0.05)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if step >= 12:
                later.step()  # type: ignore[possibly-undefined]
    assert watch.faults == [] and watch.steps == 28
    assert watch.run is not None and "4" in [site.name for site in watch.run.sites]
    assert len(watch._tracks) == 2
    assert "4" in watch._sampling.glance.names


def found(*, along: bool) -> Discovery:
    """Train one model, and a second one beside or after it."""
    made: list[Watch] = []

    def make(roots: list[nn.Module]) -> Watch:
        made.append(Watch(roots, started=1))
        return made[-1]

    x, y = zoo.vectors()
    discovery = Discovery(make)
    one, two = seeded(relu_net), seeded(lambda: zoo.Mlp())
    models = [(one, torch.optim.SGD(one.parameters(), 0.05)), (two, torch.optim.SGD(two.parameters(), 0.05))]
    for step in range(60):
        for number, (model, optimizer) in enumerate(models):
            if (step >= 20 or number == 0) if along else (number == step // 30):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    discovery.close()
    return discovery


def test_a_second_model_beside_the_first_joins_it() -> None:
    discovery = found(along=True)
    (watch,) = discovery.watches
    assert watch.faults == [] and len(watch.roots) == 2 and len(watch._tracks) == 2
    assert [finding.problem for finding in watch.findings] == ["vanishing-gradient"]


def test_a_second_model_after_the_first_is_a_training_of_its_own() -> None:
    from torch.nn.modules import module as torch_module

    discovery = found(along=False)
    first, second = discovery.watches
    assert first.healthy and [finding.problem for finding in second.findings] == ["vanishing-gradient"]
    assert first.faults == second.faults == []
    assert not torch_module._global_forward_hooks and not torch_module._global_forward_pre_hooks
    assert not list(first.roots[0].parameters())  # models of the past are not kept alive


def sick_training(steps: int = 20, **options: Any) -> tuple[Watch, int]:
    model = seeded(lambda: zoo.Mlp())
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    x, y = zoo.vectors()
    made = 0
    watch = photic.watch(model, optimizer, **options)
    try:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            made += 1
    finally:
        watch.close()
    return watch, made


def test_a_finding_stops_the_training_where_that_is_asked_for() -> None:
    told: list[str] = []
    with pytest.raises(photic.TrainingStopped, match="vanishing-gradient") as stopped:
        sick_training(stop_on="critical", on_finding=lambda finding, _: told.append(finding.problem))
    assert stopped.value.step == 2 and told == ["vanishing-gradient"]
    assert sick_training()[1] == 20
    with pytest.raises(ValueError, match="stop_on"):
        photic.watch(nn.Linear(2, 2), stop_on="always")  # type: ignore[arg-type]


def test_units_count_as_dead_when_they_are_so_in_every_audit_of_a_window() -> None:
    """Half of the units die on every batch; of the others each second one only on even steps."""
    model = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 2))
    with torch.no_grad():
        model[0].weight.fill_(0.0)
        model[0].bias.fill_(1.0)
        model[0].bias[:20] = -1.0
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    x, y = torch.randn(32, 8), torch.randint(2, (32,))
    with photic.watch(model, optimizer) as watch:
        for step in range(9):
            with torch.no_grad():  # audits at 0, 2 and 8
                model[0].bias[20:30] = -1.0 if step == 2 else 1.0
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    (track,) = watch._tracks.values()
    assert track.audited == [0, 2, 8] and WINDOW >= 3
    assert track.first is not None and track.last is not None
    first, last = track.first.reading("1").units, track.last.reading("1").units
    assert first is not None and last is not None
    assert first.dead_fraction == 0.5 and first.dead_in_window is None
    assert last.dead_fraction == 0.5 and last.dead_in_window == 0.5 and last.window == 3
    odd = [dead["1"].sum().item() for dead in track.dead]
    assert odd == [20, 30, 20]


def test_histograms_by_octave_are_kept(tmp_path: Path) -> None:
    watch, _ = sick_training(60, record=tmp_path / "run.sqlite", every=1)
    assert watch.faults == []
    reader = StoreReader(tmp_path / "run.sqlite")
    names = reader.facts()["modules"]
    rows = reader.rows("histogram/gradient")
    assert 3 <= len(rows) < 30  # in steps that grow
    shares = unpacked(rows[-1][1], names)
    norms = dict(zip(names, reader.rows("glance/gradient")[-1][1], strict=True))
    read = [name for name in names if shares[name]]
    assert len(read) >= 5
    for name in read:
        assert sum(shares[name].values()) == pytest.approx(1.0, abs=1e-5)
        mean = sum(octave * share for octave, share in shares[name].items())
        assert abs(mean - np.log2(norms[name] / np.sqrt(64 * 64))) < 4.0, name
    with pytest.raises(ValueError, match=f"{OCTAVES} numbers"):
        unpacked([0.0] * 5, ["a"])


def test_octaves_are_where_numpy_puts_them() -> None:
    values = np.array([0.0, 0.25, 0.3, 0.5, 3.0, 1e-30, 1e30, np.inf, np.nan], np.float32)
    counts = np.bincount((values.view(np.int32) >> 23) & 255, minlength=256)[None]
    (shares,) = unpacked(np.frombuffer(packed(counts), "<f4").tolist(), ["a"]).values()
    assert shares == pytest.approx({-2: 2 / 6, -1: 1 / 6, 1: 1 / 6, FIRST: 1 / 6, FIRST + OCTAVES - 1: 1 / 6})


def test_steps_that_are_not_sampled_ask_no_tensor_for_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a host wait for a GPU, counted: item, tolist, float, bool, nonzero, copies to the CPU."""
    from torch.utils._python_dispatch import TorchDispatchMode

    waits = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "item"}
    counted: list[tuple[str, str]] = []
    watches: list[Watch] = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            calls.append(name)
            if name in waits:
                counted.append((watches[0]._kind, name))
            return func(*args, **(kwargs or {}))

    model = seeded(relu_net)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    x, y = zoo.vectors()
    by_kind: dict[str, list[int]] = {"nothing": [], "glance": [], "audit": []}
    calls: list[str] = []
    with photic.watch(model, optimizer, budget=0.0) as watch, Count():
        watches.append(watch)
        for _ in range(60):
            kind = watch._kind
            calls.clear()
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            by_kind[kind].append(len(calls))
    assert watch.faults == []
    assert not [name for kind, name in counted if kind == "nothing"]
    assert [name for kind, name in counted if kind == "audit"]  # the counter does count
    assert len(set(by_kind["nothing"])) == 1 and len(by_kind["nothing"]) == 56  # not one operation more
