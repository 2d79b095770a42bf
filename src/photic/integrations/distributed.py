"""torch.distributed: one watch on every rank, with one verdict: DDP, FSDP2, HSDP and tensor parallelism."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from photic.checkups.readable import raise_if_kept
from photic.checkups.stopping import OnFinding, Stop
from photic.checkups.watching import Watch
from photic.integrations.exchange import add_up
from photic.integrations.merging import merge
from photic.probes.shards import local, shards
from photic.records.findings import Finding
from photic.records.runs import Run

_UNREGISTERED = re.compile(r"(.*)\.<unregistered [\dx]*>")


class RankWatch:
    """The handle of one rank; use it as a context manager or call `close`. Every rank has the same findings.

    Attributes:
        watch: the watch itself: `.run`, `.checkup`, `.history`, `.overhead`.
        noise: by parameter, how much one rank's gradient deviates from the expected one, over the norm of the mean
            gradient: above 1, the batch of a rank says less than its noise. Only under DDP, where ranks have gradients of
            their own; from the last audit.
        exchanges: seconds that each exchange with the other ranks took.
    """

    def __init__(self, watch: Watch, model: nn.Module, *, batches: int, patience: float, own: bool) -> None:
        self.watch = watch
        self.noise: dict[str, float] = {}
        self.exchanges: list[float] = []
        self._model = model
        self._batches = batches
        self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=patience))
        self._own: dict[str, _OwnNorm] = {}
        self._handles: list[RemovableHandle] = []
        if own:
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    self._own[name] = _OwnNorm(watch)
                    self._handles.append(parameter.register_post_accumulate_grad_hook(self._own[name]))
        watch.combine = self._combine

    def __enter__(self) -> RankWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The verdict now, cause first; the same on every rank."""
        return self.watch.findings

    @property
    def healthy(self) -> bool | None:
        """True when no finding is a warning or worse; None as long as nothing was read."""
        return self.watch.healthy

    @property
    def run(self) -> Run | None:
        """The first and the last audit of all ranks as one run."""
        return self.watch.run

    def close(self) -> None:
        """Detach; talks to nobody, so a rank may close alone."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.watch.close()

    def _combine(self, run: Run) -> Run:
        run = named_again(run)
        parts = {name: shards(parameter) for name, parameter in self._model.named_parameters()}
        norms = {name: float(own.norm) for name, own in self._own.items() if own.norm is not None}
        merged = merge(
            run,
            self._exchange,
            ranks=dist.get_world_size(),
            batches=self._batches,
            shards=parts,
            own_norms=norms or None,
        )
        self.noise = merged.noise
        return merged.run

    def _exchange(self, vector: Tensor) -> None:
        start = time.perf_counter()
        add_up(vector, self._group)
        self.exchanges.append(time.perf_counter() - start)


class _OwnNorm:
    """Reads the norm of this rank's gradient where DDP has not yet averaged it, in steps that are audited."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.norm: Tensor | None = None

    def __call__(self, parameter: Tensor) -> None:
        if self.watch._audit is not None and parameter.grad is not None:
            self.norm = torch.linalg.vector_norm(local(parameter.grad.detach()), dtype=torch.float64)


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    *,
    record: str | Path | None = None,
    on_finding: OnFinding | None = None,
    stop_on: Stop = "never",
    ignore: Sequence[str] = (),
    audit_every: int = 1000,
    batches: int | None = None,
    patience: float = 60.0,
) -> RankWatch:
    """Watch a distributed training; call it on every rank, after the model is wrapped: `with watch(model, optimizer): ...`.

    Audits come at steps 0, 2, 8, 32, 128, 512 and every `audit_every` steps: by number, not by the clock, so that all
    ranks audit the same steps. In an audited step the ranks exchange one vector; in all others photic does not talk.

    Args:
        model: under DDP, FSDP2 (`fully_shard`), HSDP or tensor parallelism, or a plain one.
        record, on_finding: only rank 0 writes and tells.
        stop_on: as for `photic.watch`; the verdict is the same on every rank, so all stop after the same step.
        batches: how many ranks see different data; all, unless tensor parallelism has several ranks work on one batch.
        patience: seconds after which an exchange with a rank that died is given up; the watch then ends with a warning, and
            the training goes on as it would without.

    Raises:
        RuntimeError: if torch.distributed is not initialised, or the model is FSDP1's, whose flat parameters cannot be read,
            or an engine's that keeps the gradients to itself (DeepSpeed, Megatron).
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError("torch.distributed is not initialised; in a single process use `photic.watch`")
    raise_if_kept(model)
    bare: Any = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    first = dist.get_rank() == 0
    inner = Watch(
        bare,
        optimizer,
        record=record if first else None,
        on_finding=on_finding if first else None,
        stop_on=stop_on,
        ignore=ignore,
    )
    inner.pace.audit_every = audit_every
    return RankWatch(inner, bare, batches=batches or dist.get_world_size(), patience=patience, own=bare is not model)


def named_again(run: Run) -> Run:
    """Give back their names to parameters that FSDP2 swapped, for the forward pass, for gathered copies.

    The copy is no registered parameter; the shard of that name and shape in the same module has no sites. They are one.
    """
    sites_of: dict[tuple[str, tuple[int, ...]], tuple[int, ...]] = {}
    for parameter in run.parameters:
        found = _UNREGISTERED.fullmatch(parameter.name)
        if found:
            sites_of[found[1], parameter.shape] = parameter.sites
    homes = {(p.name.rpartition(".")[0], p.shape) for p in run.parameters if not p.sites and "<unreg" not in p.name}
    copies = sites_of.keys() & homes
    if not copies:
        return run
    pairs = [
        (p, reading)
        for p, reading in zip(run.parameters, run.steps[0].parameters, strict=True)
        if not ((found := _UNREGISTERED.fullmatch(p.name)) and (found[1], p.shape) in copies)
    ]
    parameters = tuple(
        dataclasses.replace(p, sites=sites_of.get((p.name.rpartition(".")[0], p.shape), p.sites)) for p, _ in pairs
    )
    step = dataclasses.replace(run.steps[0], parameters=tuple(reading for _, reading in pairs))
    unseen = tuple(u for u in run.unseen if "no registered parameter" not in u.why)
    return dataclasses.replace(run, parameters=parameters, steps=(step,), unseen=unseen)
