"""Which backward of a step is read, and what of it: inner ones, several, none, left out, clipped, interrupted."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

import photic
from photic.checkups.tracks import Track
from photic.checkups.watching import Watch
from photic.records.runs import Run

torch.manual_seed(0)
X, Y = torch.randn(32, 16), torch.randint(3, (32,))


def network(out: int = 3, depth: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[p for _ in range(depth) for p in (nn.Linear(16, 16), nn.Tanh())], nn.Linear(16, out))


def sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), rate)


def track_of(watch: Watch) -> Track:
    return next(iter(watch._tracks.values()))


def first_run(watch: Watch) -> Run:
    run = track_of(watch).first
    assert run is not None and watch.faults == []
    return run


def residual(model: nn.Module) -> Tensor:
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return ((slope - 1.0) ** 2).mean() * 1e3


def penalty(model: nn.Module) -> Tensor:
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(outputs=model(x).sum(), inputs=x, create_graph=True)
    return model(X).mean() - model(-X).mean() + 10.0 * ((slope.norm(2, 1) - 1.0) ** 2).mean()


def attacked(model: nn.Module) -> Tensor:
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.softplus(model(x)).mean(), x)
    return F.softplus(model((x + 0.1 * slope.sign()).detach())).mean()


def in_place(model: nn.Module) -> Tensor:
    return F.softplus(model(X)).mean()


@pytest.mark.parametrize("loss_of", [residual, penalty, attacked, in_place])
def test_an_inner_gradient_is_not_taken_for_the_backward_of_the_step(loss_of: Any) -> None:
    def train(watched: bool) -> tuple[list[float], list[Tensor], Any]:
        model = network(1)
        optimizer = sgd(model, 1e-3)
        watch = photic.watch(model, optimizer) if watched else None
        losses: list[float] = []
        for _ in range(9):
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        if watch is not None:
            watch.close()
        return losses, [p.detach().clone() for p in model.parameters()], watch

    plain, (losses, weights, watch) = train(False), train(True)
    assert plain[0] == losses and all(map(torch.equal, plain[1], weights))
    assert watch.faults == [] and track_of(watch).audited == [0, 2, 8]
    assert track_of(watch).losses == pytest.approx([losses[step] for step in (0, 2, 8)])
    sites = [site.name for site in first_run(watch).sites]
    assert sites.count("4#2") == (1 if loss_of is penalty else 0)  # the attack is no part of the step


def test_of_several_backwards_loss_and_sites_are_those_of_the_first() -> None:
    model = network()
    apart = photic.measure(model, (X, Y), F.cross_entropy)
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        out = model(X)
        loss = F.cross_entropy(out, Y)
        loss.backward(retain_graph=True)
        (1e-3 * out.pow(2).mean()).backward()
        summed = [float(p.grad.norm()) for p in model.parameters() if p.grad is not None]
        optimizer.step()
    run = first_run(watch)
    assert run.loss == float(loss.detach())
    for name in ("0", "4"):
        assert run.reading(name).gradient == apart.reading(name).gradient
    read = [r.gradient.norm for r in run.steps[0].parameters if r.gradient is not None]
    assert read == pytest.approx(summed)  # what the optimizer sees


def test_each_optimizer_has_the_clipping_of_its_own_parameters() -> None:
    generator, critic = network(16), network(1)
    one, two = sgd(generator), sgd(critic)
    with photic.watch([generator, critic], [one, two], budget=0.0) as watch:
        made = generator(X)
        (100.0 * critic(made).mean()).backward()
        raw = {id(p): float(p.grad.norm()) for p in generator.parameters() if p.grad is not None}
        first = nn.utils.clip_grad_norm_(generator.parameters(), 0.01)
        two.zero_grad()
        (critic(made.detach()).mean() - critic(X).mean()).backward()
        second = nn.utils.clip_grad_norm_(iter(list(critic.parameters())), 5.0)
        one.step()
        two.step()
    assert watch.faults == []
    for optimizer, limit, norm in ((one, 0.01, first), (two, 5.0, second)):
        run = watch._tracks[id(optimizer)].last
        assert run is not None and run.steps[0].clip_limit == limit
        assert run.steps[0].clip_norm == float(norm)
    run = watch._tracks[id(one)].last
    assert run is not None
    ids = {f"Sequential.{name}": id(p) for name, p in generator.named_parameters()}
    for parameter, reading in zip(run.parameters, run.steps[0].parameters, strict=True):
        if parameter.name in ids and reading.gradient is not None:
            assert reading.before_clipping == pytest.approx(raw[ids[parameter.name]], rel=1e-5)
            assert reading.gradient.norm < 0.011


@pytest.mark.parametrize("to_none", [True, False])
def test_a_step_that_is_left_out_by_hand_is_not_read_in_part(to_none: bool) -> None:
    model = network()
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        for step in range(3):
            optimizer.zero_grad(set_to_none=to_none)
            loss = F.cross_entropy(model(X), Y) * (1000.0 if step == 0 else 1.0)
            loss.backward()
            if step == 0:
                continue
            if step == 1:
                apart = photic.measure(model, (X, Y), F.cross_entropy)
            optimizer.step()
    run = first_run(watch)
    assert run.loss == apart.loss and run.reading("4").gradient == apart.reading("4").gradient


def test_a_training_that_leaves_out_every_step_is_not_followed_for_ever() -> None:
    model = network()
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        for _ in range(8):
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
        assert watch._audit is None and _get_current_function_mode_stack() == []
        optimizer.step()
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
    assert watch.faults == [] and watch._tracks.audits == 1


def test_micro_batches_are_one_step() -> None:
    model = network()
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        losses = [F.cross_entropy(model(X), Y)]
        losses[0].backward()
        for part in (1, 2):
            losses.append(F.cross_entropy(model(X + part), Y))
            losses[-1].backward()
        optimizer.step()
    assert first_run(watch).loss == float(losses[0].detach())


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.fails = network(), False

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        if self.fails:
            raise RuntimeError("the user's own")
        return hidden


def test_a_forward_that_failed_is_no_part_of_the_step() -> None:
    model = Failing()
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        model.fails = True
        with pytest.raises(RuntimeError, match="the user's own"):
            model(X)
        model.fails = False
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
    run = first_run(watch)
    assert [(site.name, site.phase) for site in run.sites][-2:] == [
        ("body.4", "model"),
        ("<loss>/cross_entropy#1", "loss"),
    ]
    assert len(run.sites) == 6 and run.outputs == (4,)


class Remembering(nn.Module):
    """Knows, weakly, the autograd node behind every output: it lives as long as its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.__dict__["graphs"] = list[weakref.ref[Any]]()

    def forward(self, x: Tensor) -> Tensor:
        x = _Noted.apply(x + 0.0 * self.body[0].bias.sum(), self.graphs)
        return self.body(x)


class _Noted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, graphs: list[Any]) -> Tensor:  # type: ignore[override]
        ctx.note = _Note()
        graphs.append(weakref.ref(ctx.note))
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return gradient, None


class _Note:
    pass


@pytest.mark.parametrize("evaluates", [False, True])
@pytest.mark.parametrize("keeps", [False, True])
def test_passes_that_nobody_needs_do_not_fill_the_memory(keeps: bool, evaluates: bool) -> None:
    """A rollout, or a validation that forgot `no_grad`: of their graphs the user keeps nothing."""
    model = Remembering()
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        kept = F.cross_entropy(model(X), Y) if keeps else None
        model.train(not evaluates)
        for _ in range(63):
            F.cross_entropy(model(X), Y).item()
        model.train()
        alive = sum(ref() is not None for ref in model.graphs)
        assert alive <= 34, alive  # thinned out after 8, 16, 32 passes
        if kept is not None:
            assert model.graphs[0]() is not None
        loss = F.cross_entropy(model(X), Y) if kept is None else kept
        loss.backward()
        optimizer.step()
    run = first_run(watch)
    assert run.loss == float(loss.detach())
    heads = [r for s, r in zip(run.sites, run.steps[0].sites, strict=True) if s.name.startswith("body.4")]
    assert sum(reading.gradient is not None for reading in heads) == 1


def test_an_interrupted_step_sees_nothing_of_what_runs_without_gradients() -> None:
    model = network()
    optimizer = sgd(model)
    with photic.watch(model, optimizer) as watch:
        out = model(X)  # and the user stops the cell here
        assert watch._audit is not None
        before = len(watch._audit.recorder.forwards)
        model.eval()
        with torch.no_grad():
            for _ in range(20):
                model(X)
        assert len(watch._audit.recorder.forwards) == before
        model.train()
        F.cross_entropy(out, Y).backward()  # or it goes on after all
        optimizer.step()
        assert first_run(watch).sites[-1].phase == "loss"
    assert watch.faults == [] and _get_current_function_mode_stack() == []
