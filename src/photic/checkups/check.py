"""Check: measure, predict and diagnose a network before and during its first training steps."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import nn

from photic.checkups.breaking import Lately, hides, read_break, same_sites
from photic.checkups.schedules import schedule
from photic.checkups.setup import (
    LossFunction,
    Setup,
    as_batches,
    copy_together,
    default_optimizer,
    endless,
    make_optimizer,
)
from photic.checkups.training import train
from photic.diagnosis.diagnose import diagnose
from photic.diagnosis.evidence import MOST, Case, ends, training
from photic.diagnosis.learning import learns
from photic.probes.audit import measure
from photic.probes.batches import call, loss_of_mean, scalar_loss, split
from photic.probes.clipping import clipping
from photic.probes.frequencies import Frequencies
from photic.probes.generators import seeded
from photic.probes.grouped import Grouped
from photic.probes.heard import unheard
from photic.probes.mixing import mixing
from photic.probes.neighbours import neighbours
from photic.probes.own_functions import backwards
from photic.probes.stretching import stretched
from photic.probes.updates import against_gradient, as_real, epsilon_shares, snapshot, taken_back, updates, written
from photic.records.findings import Checkup
from photic.records.runs import Run, Step, Stretch
from photic.theory.network import predict_run

Progress = Callable[[str, float], None]

SHORT, LONG = 20, 60  # training steps; the longer course for networks of at most SMALL parameters
SMALL = 3_000_000
CUT = 0.01  # what is left of a gradient that an optimizer's own step cuts so that it counts as clipped


def check(
    model: nn.Module,
    batches: Any,
    loss: LossFunction | None = None,
    optimizer: Any = None,
    *,
    steps: int | None = None,
    ignore: Collection[str] = (),
    progress: Progress | None = None,
) -> Checkup:
    """Return what is wrong with a network, before and in its first training steps, and why.

    The network is audited, a copy of it is trained for `steps` steps as a plain loop would, and audited again. The
    model, the optimizer and all random generators stay as they are.

    Args:
        model: the network.
        batches: an iterable of batches, or a zero-argument callable that returns an iterator.
        loss: `loss(output, targets) -> scalar`; None uses the output's own `.loss`.
        optimizer: a live optimizer, or a callable `model -> optimizer`; None trains with SGD(lr=0.1) and says so.
        steps: training steps; 0 only audits. None makes 20, and looks again over 60 where these neither lower the loss nor show
            why, if the network has at most 3 million parameters: some troubles need a longer course to be seen.
        ignore: problems not to be reported.
        progress: told what is being done and the share done.

    Raises:
        TypeError, ValueError: if batches or loss have no usable form; the message says what was expected.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> _ = nn.init.ones_(model.weight), nn.init.zeros_(model.bias)
        >>> checkup = check(model, [(torch.ones(4, 2), torch.ones(4, 1))], nn.functional.mse_loss, steps=0)
        >>> checkup.run.loss, checkup.healthy
        (1.0, True)
    """
    tell: Progress = progress or _silent
    checkup = _checked(model, batches, loss, optimizer, SHORT if steps is None else steps, ignore, tell)
    if steps is None and stuck(checkup) and sum(p.numel() for p in model.parameters()) <= SMALL:
        tell("look longer", 0.0)
        checkup = _checked(model, batches, loss, optimizer, LONG, ignore, tell)
        if checkup.healthy:
            stands = "" if learns(training(Case(checkup.run, None))) else ", nor in these"
            note = f"the loss did not fall in {SHORT} steps, so {LONG} were made{stands}; nothing was found"
            checkup = dataclasses.replace(checkup, notes=(*checkup.notes, note))
    tell("done", 1.0)
    return checkup


def _checked(
    model: nn.Module,
    batches: Any,
    loss: LossFunction | None,
    optimizer: Any,
    steps: int,
    ignore: Collection[str],
    tell: Progress,
) -> Checkup:
    notes: list[str] = []
    stream = endless(as_batches(batches))
    tell("audit", 0.0)
    with seeded(0):
        first = next(stream)
        own = backwards(model, first)
        live = optimizer if isinstance(optimizer, torch.optim.Optimizer) else None
        if steps <= 0:
            run = measure(model, first, loss, optimizer=live)
        else:
            run = _trained(model, itertools.chain([first], stream), first, loss, optimizer, steps, notes, tell)
    run = dataclasses.replace(run, backwards=own)
    if steps == LONG:
        order = mixing(model, first)
        run = dataclasses.replace(run, mixed=order.mixed, moved_answers=order.moved, unheard=unheard(model, first))
    tell("diagnosis", 0.95)
    prediction = predict_run(run)
    return Checkup(run, prediction, diagnose(run, prediction, ignore=ignore), tuple(notes))


def stuck(checkup: Checkup) -> bool:
    """Whether no finding says why the steps did not lower a loss that should fall."""
    run, seen = checkup.run, training(Case(checkup.run, None))
    if not checkup.healthy or run.stopped or seen is None or not seen.first > 0.0 or not math.isfinite(seen.last):
        return False
    return run.facts.get("rate") != "scheduled" and not learns(seen)


def _silent(_: str, __: float) -> None:
    return None


def _trained(
    model: nn.Module,
    stream: Iterator[Any],
    first: Any,
    loss: LossFunction | None,
    optimizer: Any,
    steps: int,
    notes: list[str],
    tell: Progress,
) -> Run:
    try:
        live = optimizer if isinstance(optimizer, torch.optim.Optimizer) else None
        twin, twin_loss, twin_optimizer = copy_together(model, loss, live)
    except Exception as error:
        notes.append(
            f"the model could not be copied ({type(error).__name__}: {error}), so it was only audited, not trained"
        )
        return measure(model, first, loss)
    if twin_optimizer is None:
        if optimizer is None:
            notes.append("no optimizer was given: the steps were made with SGD(lr=0.1)")
        twin_optimizer = default_optimizer(twin) if optimizer is None else make_optimizer(optimizer, twin)
    start = measure(twin, first, twin_loss, optimizer=twin_optimizer)
    if start.stopped or start.loss is None:
        return start
    latest: deque[Any] = deque(maxlen=MOST)
    classes, grouped = Frequencies(), Grouped()
    stream = _kept(stream, latest, classes, grouped)
    setup = Setup(twin, lambda: stream, twin_loss, twin_optimizer)
    losses: list[float] = []
    at_first: dict[str, torch.Tensor] = dict(model.named_parameters())
    start = dataclasses.replace(start, neighbours=neighbours(twin, first))
    run = _stepped(start, 0, setup, stream, losses, at_first)
    if optimizer is None:
        run = dataclasses.replace(run, facts={**run.facts, "optimizer": "assumed"})
    begun = max((float(group.get("lr", 0.0)) for group in twin_optimizer.param_groups), default=0.0)
    leftover = 1.0
    breaking: list[Any] = []  # the batches of the step at which the loss stopped being finite, and of the one before
    lately = Lately(setup, most=SMALL)
    for done in range(1, steps - 1):
        leftover = min(leftover, _leftover(setup))
        if not breaking:
            lately.before(done)
        try:
            losses += train(setup, stream, 1)
        except RuntimeError as error:  # torch's own: what the first step left behind stops the second
            return dataclasses.replace(run, losses=tuple(losses), stopped=_broken(done, error))
        if not breaking:
            lately.after(done, latest[-1])
        if not breaking and not math.isfinite(losses[-1]):
            breaking = list(latest)[-2:]
        tell("training steps", done / steps)
    run = read_break(dataclasses.replace(run, losses=tuple(losses)), model, loss, breaking)
    if breaking and run.broke is None:
        run = lately.read(run)
    if steps > 1:
        end = measure(twin, first, twin_loss, optimizer=twin_optimizer)
        run = dataclasses.replace(run, facts={**run.facts, **schedule(start, end, begun=begun)})
        if run.broke is None and hides(start, end):
            run = read_break(run, model, loss, list(itertools.islice(stream, 2 * steps)))
        if same_sites(start, end):
            step = dataclasses.replace(end.steps[0], step=steps - 1)
            leftover = min(leftover, _leftover(setup))
            run = _stepped(dataclasses.replace(run, steps=(*run.steps, step)), 1, setup, stream, losses, at_first)
            last = dataclasses.replace(run.steps[1], leftover_share=leftover)
            run = dataclasses.replace(run, steps=(run.steps[0], last))
        else:
            losses += train(setup, stream, 1)
            notes.append("the network ran other operations after training, so only the first step is shown in full")
    run = dataclasses.replace(run, losses=tuple(losses), grouped=grouped.share)
    run = dataclasses.replace(run, **_untrained(model, loss, latest, steps, classes))
    return dataclasses.replace(run, stretched=_stretched(model, setup, latest, run))


def _broken(done: int, error: RuntimeError) -> str:
    """Say in which step training broke off, and what helps where it is the commonest reason."""
    said = f"{type(error).__name__} in step {done + 1}: {error}"
    if "backward through the graph a second time" not in said:
        return said
    return (
        f"{said} Something that one batch leaves to the next keeps its graph (a recurrent state, a running loss): detach it between "
        "batches, `state = state.detach()`"
    )


def _kept(stream: Iterator[Any], latest: deque[Any], classes: Frequencies, grouped: Grouped) -> Iterator[Any]:
    for batch in stream:
        latest.append(batch)
        classes.saw(split(batch)[1])
        grouped.saw(batch)
        yield batch


def _untrained(
    model: nn.Module, loss: LossFunction | None, latest: Collection[Any], steps: int, classes: Frequencies
) -> dict[str, float]:
    """Return the mean loss on the batches of the last steps of the weights as they were, and of answers that know nothing of the inputs.

    Batches differ more than five steps do, so what was learned is measured on the same ones. `constant`, of the targets' mean, is there if
    outputs and targets have one shape, as in a regression; `prior` where there are classes.
    """
    count = ends(steps)
    if steps < 2 or len(latest) < count:
        return {}
    found: dict[str, list[float]] = {"untrained": [], "constant": [], "prior": []}
    try:
        twin, twin_loss, _ = copy_together(model, loss, None)
        with torch.no_grad():
            for step, (inputs, targets) in enumerate(map(split, list(latest)[-count:]), steps - count):
                output = call(twin, inputs)
                found["untrained"].append(float(scalar_loss(output, targets, twin_loss, step)))
                mean = _mean_answer(output, targets)
                if mean is not None and (known := loss_of_mean(mean, targets, twin_loss, step)) is not None:
                    found["constant"].append(known)
                if (scores := classes.scores(output, targets)) is not None:
                    with contextlib.suppress(Exception):  # a loss of probabilities takes no scores
                        found["prior"].append(float(scalar_loss(scores, targets, twin_loss, step)))
    except Exception:  # a batch or a loss that does not bear it: then the first losses stand for it
        return {}
    means = {name: sum(values) / count for name, values in found.items() if len(values) == count}
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}


def _mean_answer(output: Any, targets: Any) -> torch.Tensor | None:
    """Return the mean of the targets over the batch in the place of every output; None where they are no numbers of one shape."""
    if not isinstance(output, torch.Tensor) or not isinstance(targets, torch.Tensor) or output.shape != targets.shape:
        return None
    if output.ndim < 1 or len(output) < 8 or not targets.is_floating_point():
        return None
    return targets.mean(0, keepdim=True).expand_as(targets).to(output.dtype)


def _stretched(model: nn.Module, setup: Setup, latest: Collection[Any], run: Run) -> tuple[Stretch, ...]:
    """Look further along the way that the steps took, where they hardly lowered the loss."""
    if len(run.losses) < MOST or not all(map(math.isfinite, run.losses)) or learns(training(Case(run, None))):
        return ()
    try:
        twin, twin_loss, _ = copy_together(model, setup.loss, None)
        return stretched(twin, setup.model, list(latest), twin_loss, step=len(run.losses))
    except Exception:  # a batch, a loss or a parameter that does not bear it: then nothing is said
        return ()


def _leftover(setup: Setup) -> float:
    """Return the share of parameters that still hold a gradient after `zero_grad`, which the loop calls again."""
    setup.optimizer.zero_grad()
    owned = [p for group in setup.optimizer.param_groups for p in group["params"]]
    return sum(p.grad is not None and bool(p.grad.any()) for p in owned) / max(len(owned), 1)


def _norm(setup: Setup) -> float:
    """Return the norm of all gradients."""
    held = [as_real(p.grad) for p in setup.model.parameters() if p.grad is not None and p.grad.layout is torch.strided]
    return math.sqrt(sum(float(torch.linalg.vector_norm(grad, dtype=torch.float64)) ** 2 for grad in held))


def _stepped(
    run: Run, index: int, setup: Setup, stream: Iterator[Any], losses: list[float], at_first: dict[str, torch.Tensor]
) -> Run:
    """Make one training step and return the run with what it did, read at its step of that index.

    `at_first` holds the parameters as the first step's forward left them: what that wrote (a rounding to a grid) is no way of the optimizer's.
    """
    before = snapshot(setup.model)
    clips: list[tuple[float, Any]] = []
    came: list[float] = []
    back: dict[str, float] = {}

    def arrive(*_: Any) -> None:
        came.append(_norm(setup))
        if index and not back:
            back.update(taken_back(at_first, before, setup.model))
        elif not index and len(came) == 1:
            at_first.update(written(at_first, setup.model))

    hook = setup.optimizer.register_step_pre_hook(arrive)
    with clipping(lambda _, limit, norm: clips.append((limit, norm))):
        losses += train(setup, stream, 1)
    hook.remove()
    left = _norm(setup)
    if not clips and came and 0.0 < left < CUT * came[0]:  # the optimizer's step cut the gradients by itself
        clips.append((left, came[0]))
    moved, uphill = updates(before, setup.model), against_gradient(before, setup.model)
    shares = epsilon_shares(setup.optimizer, setup.model)
    step: Step = run.steps[index]
    readings = tuple(
        dataclasses.replace(
            reading,
            update_ratio=moved[p.name][0],
            unchanged_fraction=moved[p.name][1],
            epsilon_share=shares.get(p.name),
            against=uphill.get(p.name),
            taken_back=back.get(p.name),
        )
        if p.name in moved
        else reading
        for p, reading in zip(run.parameters, step.parameters, strict=True)
    )
    limit, norm = (float(clips[-1][0]), float(clips[-1][1])) if clips else (None, None)
    changed = dataclasses.replace(step, parameters=readings, clip_limit=limit, clip_norm=norm)
    return dataclasses.replace(run, steps=(*run.steps[:index], changed, *run.steps[index + 1 :]))
