"""Several optimizers, and steps without a backward: what can be read is, and what cannot is not tried for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

import photic
from photic.checkups.tracks import MOST
from photic.checkups.watching import Watch
from photic.probes.steps import after_steps, before_steps

torch.manual_seed(0)
X, Y = torch.randn(32, 16), torch.randint(3, (32,))


def network(depth: int = 2, width: int = 16, out: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *[p for _ in range(depth) for p in (nn.Linear(width, width), nn.Tanh())], nn.Linear(width, out)
    )


def sgd(parameters: Any, rate: float = 0.01) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, rate)


def backward(model: nn.Module) -> None:
    model.zero_grad()
    F.cross_entropy(model(X), Y).backward()


def audited(watch: Watch) -> list[list[int]]:
    return [track.audited for track in watch._tracks.values()]


def halves(model: nn.Module) -> list[torch.optim.Optimizer]:
    weights, biases = ([p for p in model.parameters() if (p.ndim > 1) == w] for w in (True, False))
    return [sgd(weights), torch.optim.Adam(biases, 1e-3)]


@pytest.mark.parametrize("given", [True, False])
def test_two_optimizers_after_one_backward_are_both_read_in_one_audit(given: bool) -> None:
    def train(watched: bool) -> tuple[list[Tensor], Any]:
        model = network()
        optimizers = halves(model)
        watch = photic.watch(model, optimizers if given else None, budget=0.0) if watched else None
        kinds: list[str] = []
        for _ in range(40):
            backward(model)
            for optimizer in optimizers:
                kinds.append("" if watch is None else watch._kind)
                optimizer.step()
        if watch is not None:
            watch.close()
            assert kinds.count("audit") <= 12
        return [p.detach().clone() for p in model.parameters()], watch

    plain, (watched, watch) = train(False)[0], train(True)
    assert all(map(torch.equal, plain, watched)) and watch.faults == [] and watch.findings == ()
    weights, biases = watch._tracks.values()
    assert weights.audited == biases.audited == [0, 1, 4, 16]
    for track, own in ((weights, "weight"), (biases, "bias")):
        assert track.last is not None
        step = track.last.steps[0]
        assert {p.name.rpartition(".")[2] for p in track.last.parameters if p.owned} == {own}
        moved = {p.name for p, r in zip(track.last.parameters, step.parameters, strict=True) if r.update_ratio}
        assert moved == {p.name for p in track.last.parameters if p.owned}
        assert any(reading.gradient is not None for reading in step.sites)
    assert weights.losses == biases.losses


def test_in_one_iteration_no_parameter_lacks_an_owner() -> None:
    model = network()
    first, second = sgd(model[:2].parameters()), sgd(model[2:].parameters())
    with photic.watch(model) as watch:
        backward(model)
        first.step()
        second.step()
    assert watch.findings == () and audited(watch) == [[0], [0]]


def test_an_optimizer_around_another_is_not_waited_for_for_ever() -> None:
    class Around(torch.optim.Optimizer):
        def __init__(self, base: torch.optim.Optimizer) -> None:
            self.base = base
            super().__init__(base.param_groups, {})

        def step(self, closure: Any = None) -> Any:
            return self.base.step(closure)

    model = network()
    optimizer = Around(sgd(model.parameters()))
    kinds: list[str] = []
    with photic.watch(model, budget=0.0) as watch:
        for _ in range(60):
            kinds.append(watch._kind)
            backward(model)
            optimizer.step()
    assert watch.faults == [] and watch._tracks.audits >= 3 and kinds.count("audit") < 15


def test_steps_without_a_backward_are_tried_ever_later() -> None:
    model = network()
    optimizer = sgd(model.parameters())
    kinds: list[str] = []
    with photic.watch(model, optimizer) as watch:
        for _ in range(200):
            kinds.append(watch._kind)
            loss = F.cross_entropy(model(X), Y).item()
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, loss)
            optimizer.step()
        assert watch.faults == [] and watch._tracks.audits == 0 and kinds.count("audit") <= 10
        assert watch.pace.sampled_seconds > 0.0  # the misses are counted
        for _ in range(200):  # it is noticed when a backward comes after all
            backward(model)
            optimizer.step()
        assert watch._tracks.audits >= 1


def test_forward_and_backward_in_another_thread_leave_nothing_there() -> None:
    model = network()
    optimizer = sgd(model.parameters())
    kinds: list[str] = []
    watch = photic.watch(model, optimizer)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(30):
            kinds.append(watch._kind)
            pool.submit(backward, model).result()
            optimizer.step()
        assert pool.submit(_get_current_function_mode_stack).result() == []
        assert kinds.count("audit") <= 8 and "another thread" in watch.notes[0]
        watch.close()
        steps = watch.steps
        pool.submit(backward, model).result()
        optimizer.step()
    assert watch.steps == steps and watch.faults == []
    assert watch._stepped not in after_steps.listeners and watch._stepping not in before_steps.listeners
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_a_training_in_a_thread_of_its_own_is_audited() -> None:
    model = network()
    optimizer = sgd(model.parameters())

    def train() -> None:
        for _ in range(12):
            backward(model)
            optimizer.step()

    with photic.watch(model, optimizer) as watch:
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    assert watch.faults == [] and watch._tracks.audits >= 2 and watch.steps == 12


@pytest.mark.parametrize("every", [0, 1])
def test_a_watch_that_a_finding_closes_stays_closed(every: int) -> None:
    layers = [part for _ in range(12) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(16, 3))
    optimizer = sgd(model.parameters())
    watch = photic.watch(model, optimizer, every=every, on_finding=lambda *_: watch.close())
    for _ in range(6):
        backward(model)
        optimizer.step()
    assert watch.steps == 3 and watch.faults == []
    assert watch._stepping not in before_steps.listeners
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_of_many_optimizers_the_ones_that_step_are_kept() -> None:
    model = network()
    main, kept = sgd(model.parameters()), []
    with photic.watch(model) as watch:
        for _ in range(30):
            for optimizer in (sgd(model.parameters()), main):
                backward(model)
                optimizer.step()
                kept.append(optimizer)
    assert watch._tracks[id(main)].steps == 30 and len(watch._tracks) == MOST
    assert watch.run is not None and watch.checkup is not None and watch.faults == []


def test_an_optimizer_whose_id_is_used_again_is_another() -> None:
    model = network()
    numbers: set[int] = set()
    with photic.watch(model) as watch:
        for _ in range(25):
            optimizer = sgd(model.parameters())
            for _ in range(2):
                backward(model)
                optimizer.step()
            track = watch._tracks[id(optimizer)]
            assert track.steps == 2
            numbers.add(track.number)
            del optimizer
    assert numbers == set(range(25)) and watch.run is not None


def test_the_record_counts_the_steps_of_all_optimizers(tmp_path: Any) -> None:
    from photic.records.stores import StoreReader

    generator, critic = network(1, 16, 16), network(1, 16, 1)
    one, two = sgd(critic.parameters()), sgd(generator.parameters())
    with photic.watch([generator, critic], [one, two], every=1, record=tmp_path / "r.sqlite"):
        for _ in range(6):
            one.zero_grad()
            critic(generator(X).detach()).mean().backward()
            one.step()
            two.zero_grad()
            critic(generator(X)).mean().backward()
            two.step()
    reader = StoreReader(tmp_path / "r.sqlite")
    glances = {step for step, _ in reader.rows("glance/signal")}
    first, second = ({s for s, _ in reader.rows(f"{own}audit/signal")} for own in ("", "optimizer 2/"))
    assert first | second | glances == set(range(12)) and not glances & (first | second)
    assert {step % 2 for step in first} == {0} and {step % 2 for step in second} == {1}
