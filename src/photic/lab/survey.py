"""Survey: audit one architecture after the other and say what was seen, what not, and whether anything was disturbed."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from photic.checkups.check import check
from photic.diagnosis.diagnose import diagnose
from photic.lab.architectures import Builder, Built
from photic.probes import batches
from photic.probes.audit import measure
from photic.probes.generators import seeded
from photic.theory.network import predict_run

OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "AdamW 1e-3": lambda model: torch.optim.AdamW(model.parameters(), 1e-3),
    "Adam 3e-4": lambda model: torch.optim.Adam(model.parameters(), 3e-4),
    "SGD 0.01, momentum 0.9": lambda model: torch.optim.SGD(model.parameters(), 0.01, momentum=0.9),
}


@dataclass(frozen=True)
class Seen:
    """What an audit of one architecture gave.

    Attributes:
        name: of the architecture.
        operations: sites in model and loss.
        unseen: what could not be seen, each with its reason.
        predicted: share of the model's operations of which theory expects something.
        reach: the headline.
        findings: warnings and worse; random weights of a sound architecture should have none.
        alarms: warnings and worse of `photic.check` in 20 steps on one batch, by the optimizer; there should be none.
        different: parameters whose gradient is not that of a plain pass, bit for bit.
        left: what the audit left behind: hooks, gradients, changed buffers.
        seconds: of one audit.
        ratio: to a plain forward and backward pass.
    """

    name: str
    operations: int
    unseen: tuple[str, ...]
    predicted: float
    reach: str
    findings: tuple[str, ...]
    alarms: tuple[str, ...]
    different: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float
    ratio: float


def survey(name: str, build: Builder, *, seed: int = 0, rounds: int = 3) -> Seen:
    """Audit an architecture and compare it with plain passes under the same seeds."""
    with seeded(seed):
        built = build()
    model, batch, loss = built
    model.train()
    plain, plain_seconds = _plain(built, seed, rounds)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    hooks = _hooks(model)
    times: list[float] = []
    with seeded(seed + 1):
        run = measure(model, batch, loss)  # the first loads the kernels: not timed
    for _ in range(rounds):
        with seeded(seed + 1):
            start = time.perf_counter()
            measure(model, batch, loss)
            times.append(time.perf_counter() - start)
    if run.stopped:
        return Seen(name, len(run.sites), (run.stopped,), 0.0, "stopped", (), (), (), (), times[0], 0.0)
    gradients: dict[str, Tensor | None] = {parameter.name: None for parameter in run.parameters}
    for parameter, reading in zip(run.parameters, run.steps[0].parameters, strict=True):
        gradients[parameter.name] = None if reading.gradient is None else torch.tensor(reading.gradient.norm)
    prediction = predict_run(run)
    diagnosis = diagnose(run, prediction)
    model_sites = [site for site in run.sites if site.phase == "model"]
    known = sum(not prediction.sites[site.order].not_predicted for site in model_sites)
    return Seen(
        name=name,
        operations=len(run.sites),
        unseen=tuple(f"{item.what}: {item.why}" for item in run.unseen),
        predicted=known / max(1, len(model_sites)),
        reach="" if diagnosis.profile is None else diagnosis.profile.reach,
        findings=tuple(f"{f.problem} at {', '.join(f.sites[:2])}" for f in diagnosis.findings if f.severity != "info"),
        alarms=_alarms(build, seed),
        different=_different(plain, gradients),
        left=_left(model, before, hooks),
        seconds=statistics.median(times),
        ratio=statistics.median(times) / plain_seconds,
    )


def _alarms(build: Builder, seed: int, steps: int = 20) -> tuple[str, ...]:
    """Return what `photic.check` finds of sensible trainings, two starts each."""
    found: list[str] = []
    for start, (name, make) in itertools.product((seed, seed + 1), OPTIMIZERS.items()):
        with seeded(start):
            model, batch, loss = build()
            checkup = check(model, [batch], loss, make, steps=steps)
        found += [
            f"{finding.problem} ({name}, seed {start})" for finding in checkup.findings if finding.severity != "info"
        ]
    return tuple(found)


def _plain(built: Built, seed: int, rounds: int) -> tuple[dict[str, Tensor | None], float]:
    """Return the gradients of a plain pass, and its median time."""
    model, batch, loss = built
    inputs, targets = batches.split(batch)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    times: list[float] = []
    for _ in range(rounds):
        model.zero_grad()
        with seeded(seed + 1):
            start = time.perf_counter()
            batches.scalar_loss(batches.call(model, inputs), targets, loss, 0).backward()
            times.append(time.perf_counter() - start)
    found = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.load_state_dict(state)
    return found, statistics.median(times)


def _different(plain: Mapping[str, Tensor | None], audited: Mapping[str, Tensor | None]) -> tuple[str, ...]:
    from photic.kernels.moments import moments

    found: list[str] = []
    for name, gradient in plain.items():
        ours = audited.get(name)
        # The record holds moments; equal gradients have equal ones, to the last bit of the same pass over them.
        if (gradient is None) != (ours is None) or (
            gradient is not None and ours is not None and torch.tensor(moments(gradient).norm) != ours
        ):
            found.append(name)
    return tuple(found)


def _hooks(model: nn.Module) -> dict[str, int]:
    """Return how many hooks each module has; some models bring their own."""
    return {
        f"{path}.{name}": len(held)
        for path, module in model.named_modules()
        for name, held in vars(module).items()
        if name.endswith("_hooks")
    }


def _left(model: nn.Module, before: Mapping[str, Tensor], hooks: Mapping[str, int]) -> tuple[str, ...]:
    left = [
        f"{count - hooks.get(key, 0)} hooks in {key}" for key, count in _hooks(model).items() if count != hooks.get(key)
    ]
    left += [f"the gradient of {name}" for name, parameter in model.named_parameters() if parameter.grad is not None]
    left += [f"{key} changed" for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    return tuple(left)


def table(rows: Sequence[Seen]) -> str:
    """Return the survey as a Markdown table."""
    lines = [
        "| architecture | operations | unseen | predicted | the gradient reaches | findings | in training | time | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reach = row.reach.removeprefix("the gradient reaches ")
        found = "; ".join(row.findings) or "none"
        unseen = "; ".join(row.unseen) or "nothing"
        lines.append(
            f"| {row.name} | {row.operations} | {unseen} | {100 * row.predicted:.0f} % | {reach} | {found} | "
            f"{'; '.join(row.alarms) or 'none'} | "
            f"{1000 * row.seconds:.0f} ms | {row.ratio:.1f} |"
        )
    return "\n".join(lines) + "\n"
