"""Compiled training: bit-identical, no graph break, no graph more, and everything is read."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters

import photic
from photic.checkups.watching import Watch
from tests import zoo
from tests.zoo import seeded

with_inductor = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the inductor needs a C++ compiler, and g++ is not here"
)


class Net(nn.Module):
    """What a pass leaves behind: random numbers, running statistics, a counter, a list."""

    def __init__(self, act: Callable[[Tensor], Tensor] = torch.relu, depth: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
        self.norm, self.drop, self.head, self.act = nn.BatchNorm1d(64), nn.Dropout(0.2), nn.Linear(64, 10), act

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(self.drop(self.norm(x)))


class Sick(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(nn.Linear(64, 64) for _ in range(10)), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def wrapped(model: nn.Module, backend: str) -> Any:
    return torch.compile(model, backend=backend)


def in_place(model: nn.Module, backend: str) -> Any:
    model.compile(backend=backend)
    return model


def in_parts(model: nn.Module, backend: str) -> Any:
    for index, layer in enumerate(model.layers):  # type: ignore[arg-type]
        if index % 2:
            model.layers[index] = torch.compile(layer, backend=backend)  # type: ignore[index,operator,assignment]
        else:
            layer.compile(backend=backend)
    return model


def train(
    how: Callable[[nn.Module, str], Any],
    backend: str,
    *,
    attach: str = "",
    steps: int = 40,
    build: Callable[[], nn.Module] = Net,
    compiled_loss: bool = False,
    **options: Any,
) -> tuple[list[Any], Any, Watch | None]:
    torch._dynamo.reset()
    counters.clear()
    x, y = zoo.vectors()
    model = seeded(build)
    loss = torch.compile(F.cross_entropy, backend=backend) if compiled_loss else F.cross_entropy
    watch = photic.watch(model, **options) if attach == "before" else None
    called = how(model, backend)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    if attach == "after":
        watch = photic.watch(called, optimizer, **options)
    losses: list[float] = []
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(called(x), y)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    if watch is not None:
        watch.close()
    state = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor)]
    kept = [losses, *(v.clone() for v in model.state_dict().values()), *state, torch.get_rng_state()]
    seen = (counters["stats"]["unique_graphs"], dict(counters["graph_break"]), counters["stats"]["calls_captured"])
    return kept, seen, watch


@cache
def alone(how: Callable[[nn.Module, str], Any], backend: str, steps: int) -> tuple[list[Any], Any]:
    """Return what is kept and what is seen without a watch."""
    return train(how, backend, steps=steps)[:2]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        warnings.filterwarnings("error", message=".*photic.*")
        warnings.filterwarnings("error", message=".*global hooks.*")
        yield
    torch._dynamo.reset()


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(  # one way is enough with the slow compiler
    ("how", "backend"),
    [
        *((how, "aot_eager") for how in (wrapped, in_place, in_parts)),
        pytest.param(wrapped, "inductor", marks=with_inductor),
    ],
)
@pytest.mark.parametrize("attach", ["after", "before"])
def test_no_bit_no_graph_and_no_break_more(how: Any, backend: str, attach: str) -> None:
    plain, counted = alone(how, backend, 40)
    watched, recounted, watch = train(how, backend, attach=attach, budget=1.0)
    assert watch is not None and watch.faults == []
    assert same(plain, watched)
    assert counted == recounted and counted[0] >= 1 and counted[1] == {}
    run = watch.run
    assert run is not None, watch.notes
    assert [s.operation for s in run.sites].count("linear") == 4
    assert {"relu", "batch_norm", "dropout", "cross_entropy"} <= {s.operation for s in run.sites} | {"cross_entropy"}
    assert any(s.phase == "loss" for s in run.sites)
    assert all(r.gradient is not None for r in run.steps[-1].sites if r.signal is not None)
    assert all(r.update_ratio for p, r in zip(run.parameters, run.steps[-1].parameters) if p.name.endswith("weight"))
    assert "eager pass" in watch.notes[0] and watch.healthy, watch.findings
    assert sum(len(track.audited) for track in watch._tracks.values()) >= 3


def test_what_is_read_beside_is_what_an_audit_reads_in_place() -> None:
    """The same numbers as without compilation; the backend changes no rounding."""
    _, _, eager = train(lambda model, _: model, "", attach="after", steps=3)
    _, _, compiled = train(wrapped, "aot_eager", attach="after", steps=3)
    assert eager is not None and compiled is not None and eager.run is not None and compiled.run is not None
    ours, theirs = compiled.run, eager.run
    assert [(s.name, s.operation, s.phase) for s in ours.sites] == [
        (s.name, s.operation, s.phase) for s in theirs.sites
    ]
    assert ours.edges == theirs.edges and ours.outputs == theirs.outputs
    for a, b, site in zip(ours.steps[0].sites, theirs.steps[0].sites, ours.sites, strict=True):
        assert a.signal == b.signal, site.name
        assert (a.gradient is None) == (b.gradient is None), site.name
        if a.gradient is not None and b.gradient is not None:
            assert a.gradient.rms == pytest.approx(b.gradient.rms, rel=1e-5), site.name
    for c, d in zip(ours.steps[0].edges, theirs.steps[0].edges, strict=True):
        assert (c.gradient_norm or 0.0) == pytest.approx(d.gradient_norm or 0.0, rel=1e-5)
        assert (c.gain or 0.0) == pytest.approx(d.gain or 0.0, rel=1e-5)
    assert ours.steps[0].parameters[0].before_clipping == pytest.approx(theirs.steps[0].parameters[0].before_clipping)


@with_inductor
def test_two_hundred_steps_of_the_inductor_are_the_same_bits() -> None:
    plain, counted, _ = train(wrapped, "inductor", steps=200)
    watched, recounted, watch = train(wrapped, "inductor", steps=200, attach="after")
    assert same(plain, watched) and counted == recounted
    assert watch is not None and watch.run is not None and watch.steps == 200


@pytest.mark.parametrize("how", [wrapped, in_place])
def test_discovery_finds_a_compiled_model_and_costs_no_graph(how: Any) -> None:
    from photic.checkups.discovery import Discovery

    plain, counted = alone(how, "aot_eager", 12)
    discovery = Discovery(lambda roots: Watch(roots, started=1))
    try:
        watched, recounted, _ = train(how, "aot_eager", steps=12)
    finally:
        discovery.close()
    assert same(plain, watched) and counted == recounted
    assert discovery.watch is not None and discovery.watch.faults == []
    assert discovery.watch.run is not None and len(discovery.watch.run.sites) > 8


@pytest.mark.parametrize("attach", ["after", "before"])
def test_a_sick_network_is_found_inside_a_compiled_region(attach: str) -> None:
    *_, watch = train(wrapped, "aot_eager", attach=attach, build=Sick)
    assert watch is not None
    assert [finding.problem for finding in watch.findings] == ["vanishing-gradient"]


def test_glances_beside_a_compiled_model_read_every_module() -> None:
    plain, counted = alone(wrapped, "aot_eager", 12)
    watched, recounted, watch = train(wrapped, "aot_eager", attach="after", steps=12, every=1)
    assert watch is not None and same(plain, watched) and counted == recounted
    glance = watch._sampling.glance
    signals, gradients = glance.moments(0), glance.moments(1)
    read = {n: (a, b) for n, a, b in zip(glance.names, signals, gradients, strict=True)}
    assert all(a is not None and b is not None and a.count == b.count for a, b in read.values()), read
    assert not any(m._forward_hooks or m._forward_pre_hooks for root in watch.roots for m in root.modules())


def test_compiled_functions_around_and_inside_are_left_alone() -> None:
    """A compiled loss, and a compiled function that an eager model calls: no graph more, the layers are read."""
    torch._dynamo.reset()
    act = torch.compile(lambda x: F.gelu(x) * 1.5, backend="aot_eager")

    def build() -> nn.Module:
        return Net(act)

    def nothing(model: nn.Module, _: str) -> nn.Module:
        return model

    plain, counted, _ = train(nothing, "aot_eager", build=build, compiled_loss=True)
    watched, recounted, watch = train(nothing, "aot_eager", build=build, compiled_loss=True, attach="after", budget=1.0)
    assert watch is not None and watch.faults == [] and same(plain, watched)
    assert counted == recounted
    assert watch.run is not None
    assert [s.operation for s in watch.run.sites].count("linear") == 4
    assert any(s.phase == "loss" and s.operation == "CompiledFunction" for s in watch.run.sites)


def test_a_compiled_step_hides_the_model_and_that_is_said() -> None:
    torch._dynamo.reset()
    model = seeded(Net)
    x, y = zoo.vectors()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    loss = torch.compile(lambda: F.cross_entropy(model(x), y), backend="aot_eager")
    with photic.watch(model, optimizer) as watch:
        for _ in range(8):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    assert watch.faults == [] and watch.run is None
    assert "runs inside a compiled function" in watch.notes[0]
    assert watch._kind == "nothing"


def test_a_pass_that_cannot_be_made_again_is_said_and_ends_no_training() -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.calls = nn.Linear(64, 10), [0]

        def forward(self, x: Tensor) -> Tensor:
            if not torch.compiler.is_compiling():
                raise ValueError("compiled only")
            return self.layer(x)

    *_, watch = train(wrapped, "aot_eager", attach="after", build=Once, steps=6)
    assert watch is not None and watch.faults == [] and watch.steps == 6
    assert "compiled only" in watch.notes[0]


def test_a_fault_beside_a_compiled_step_ends_the_watch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from photic.probes import beside

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("a fault of ours")

    plain, *_ = train(wrapped, "aot_eager", steps=8)
    monkeypatch.setattr(beside, "states", broken)
    with pytest.warns(UserWarning, match="photic stopped watching"):
        watched, _, watch = train(wrapped, "aot_eager", attach="after", steps=8)
    assert watch is not None and len(watch.faults) == 1 and same(plain, watched)


def test_a_compiled_gan_is_read_on_both_sides() -> None:
    torch._dynamo.reset()

    def loop(look: Any) -> tuple[list[Tensor], Any]:
        generator = seeded(lambda: nn.Sequential(nn.Linear(4, 32), nn.LeakyReLU(0.2), nn.Linear(32, 8)))
        critic = seeded(lambda: nn.Sequential(nn.Linear(8, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)), 1)
        first, second = (torch.optim.Adam(m.parameters(), 1e-3) for m in (critic, generator))
        make, judge = (torch.compile(m, backend="aot_eager") for m in (generator, critic))
        real = seeded(lambda: torch.randn(16, 8))
        with look([make, judge], [first, second]) as watch:
            for _ in range(40):
                fake = make(torch.randn(16, 4))
                first.zero_grad()
                (F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()).backward()
                first.step()
                second.zero_grad()
                F.softplus(-judge(make(torch.randn(16, 4)))).mean().backward()
                second.step()
        return [p.detach() for m in (generator, critic) for p in m.parameters()], watch

    from contextlib import nullcontext

    plain, _ = seeded(lambda: loop(lambda *_: nullcontext()))
    watched, watch = seeded(lambda: loop(photic.watch))
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert watch.faults == [] and watch.findings == (), watch.findings
    assert len(watch._tracks) == 2
    for track in watch._tracks.values():
        assert track.last is not None
        assert [s.operation for s in track.last.sites].count("linear") >= 4


@pytest.mark.parametrize("attach", ["", "after"])
def test_a_handle_made_in_one_thread_watches_a_training_in_another(attach: str) -> None:
    """No graph more, also in the first step; and a script that trains in a thread is found."""
    from photic.checkups.discovery import Discovery

    def run(*, watched: bool) -> tuple[list[Any], Any, Any]:
        torch._dynamo.reset()
        counters.clear()
        x, y = zoo.vectors()
        model = seeded(Net)
        called, loss = torch.compile(model, backend="aot_eager"), torch.compile(F.cross_entropy, backend="aot_eager")
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        looking = Discovery(lambda roots: Watch(roots, started=1)) if watched and not attach else None
        handle = photic.watch(called, optimizer) if watched and attach else None
        losses: list[Any] = []

        def training() -> None:
            torch.manual_seed(1)
            for _ in range(6):
                optimizer.zero_grad()
                value = loss(called(x), y)
                value.backward()
                optimizer.step()
                losses.append(value.item())

        thread = threading.Thread(target=training)
        thread.start()
        thread.join()
        for each in (looking, handle):
            if each is not None:
                each.close()
        seen = counters["stats"]["unique_graphs"], dict(counters["graph_break"])
        return losses, seen, handle if looking is None else looking.watch

    plain, counted, _ = run(watched=False)
    watched, recounted, watch = run(watched=True)
    assert plain == watched and counted == recounted
    assert watch.faults == [] and watch.run is not None and len(watch.run.sites) > 8
