"""Keras 3 on torch: a callback that watches `fit`: `model.fit(..., callbacks=[PhoticCallback()])`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from photic.checkups.stopping import OnFinding, Stop
from photic.checkups.watching import Watch
from photic.integrations.requirements import need, raise_if_blind
from photic.integrations.trainers import begun, closes_with
from photic.probes.in_place import InPlaceAudit
from photic.records.runs import Run

if TYPE_CHECKING:

    class Callback:  # so that types are checked without the library
        """See the library."""

        model: Any
else:
    Callback = need("keras.callbacks", extra="keras").Callback


class PhoticCallback(Callback):
    """Watches a fit of a Keras model whose backend is torch.

    A Keras optimizer is none of torch's, so the callback tells the watch when a step has ended. It clips what it is given and
    leaves `.grad` alone: `gradient` is the gradient before clipping, and the update shows what came of it. Where the optimizer
    accumulates, a step is one update, and `gradient` the mean that it used; a scaled loss is scaled back.

    Attributes:
        watch: the handle while and after the fit: `.findings`, `.run`, `.checkup`, `.overhead`; None before it.
    """

    def __init__(
        self,
        *,
        budget: float = 0.01,
        record: str | Path | None = None,
        on_finding: OnFinding | None = None,
        stop_on: Stop = "never",
        ignore: Sequence[str] = (),
        every: int = 0,
    ) -> None:
        """Take the options of `photic.watch`."""
        super().__init__()
        self.watch: Watch | None = None
        self._options: dict[str, Any] = {
            "budget": budget, "record": record, "on_finding": on_finding, "stop_on": stop_on, "ignore": ignore, "every": every,
        }  # fmt: skip
        self._steps = 0
        self._optimizer: _Optimizer | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch the model.

        Keras does not tell when a fit ends by an exception. Then the watch ends with the next fit, or when the callback is
        gone; `callback.watch.close()` ends it at once.

        Raises:
            RuntimeError: if the backend is not torch.
        """
        backend = need("keras", extra="keras").backend.backend()
        if backend != "torch":
            raise RuntimeError(
                f"the backend of Keras is {backend}; photic reads torch's gradients: set KERAS_BACKEND=torch"
            )
        self.on_train_end()
        self._steps = 0
        self._optimizer = _Optimizer(self.model)
        self.watch = begun(self.model, **self._options)
        self.watch.combine = _named
        closes_with(self, self.watch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Ask the optimizer what it is about to do; remember the weights of a step that is audited."""
        if self.watch is not None and self._optimizer is not None:
            self._optimizer.begins(self.watch._audit)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The batch has ended; if it was a step, its gradients are still there."""
        watch, optimizer = self.watch, self._optimizer
        if watch is None or optimizer is None:
            return
        watch.scaled.scaler_steps(optimizer, optimizer)  # pyright: ignore[reportArgumentType]
        if optimizer.moved():
            with optimizer.gradients_as_used(watch._audit):
                watch._stepped(optimizer, (), {})  # pyright: ignore[reportArgumentType]
            self._steps += 1
            if self._steps == 2:
                raise_if_blind(watch, 2, "Keras", compiled=bool(self.model.jit_compile))
        if optimizer.every == 1:
            watch.scaled.scaler_stepped(optimizer, optimizer)  # pyright: ignore[reportArgumentType]

    def on_train_end(self, logs: Any = None) -> None:
        """Detach; the record is complete."""
        if self.watch is not None:
            self.watch.close()


class _Optimizer:
    """A Keras optimizer, as far as the watch asks: its parameters and rate, its scaled losses, and which batches are steps.

    Attributes:
        every: how many batches make a step.
    """

    def __init__(self, model: Any) -> None:
        self.state: dict[Any, Any] = {}
        self.defaults = {"lr": float(model.optimizer.learning_rate)}
        self._variables: list[Any] = list(model.trainable_variables)
        self.param_groups = [{"params": [v.value for v in self._variables], **self.defaults}]
        self._outer = model.optimizer
        self._inner = getattr(self._outer, "inner_optimizer", self._outer)
        self.every = int(self._inner.gradient_accumulation_steps or 1)
        self._asks = (
            self.every > 1 or self._inner is not self._outer
        )  # what it knows may lie on a GPU: only where needed
        self._count = 0
        self._scale = 1.0
        self._sums: dict[int, Tensor] = {}

    def is_enabled(self) -> bool:
        """As a gradient scaler of torch is asked."""
        return True

    def get_scale(self) -> float:
        """Return what the loss of this batch was multiplied by."""
        return self._scale

    def begins(self, audit: InPlaceAudit | None) -> None:
        """A batch begins."""
        self._count = int(self._inner._iterations) if self._asks else 0
        self._sums = {}
        if self._inner is self._outer:
            self._scale = float(self._outer.loss_scale_factor or 1.0)
        else:
            self._scale = float(self._outer.dynamic_scale if self._outer.built else self._outer.initial_scale)
        if audit is None or (self._count + 1) % self.every:
            return
        audit.announced()
        if self.every > 1 and self._inner.built:
            sums = zip(self._inner._trainable_variables, self._inner._accumulated_gradients, strict=True)
            self._sums = {id(v.value): total.value.detach().clone() for v, total in sums}

    def moved(self) -> bool:
        """Whether the batch that has ended was the last of a step, and the step was taken."""
        return not self._asks or (int(self._inner._iterations) > self._count and (self._count + 1) % self.every == 0)

    @contextmanager
    def gradients_as_used(self, audit: InPlaceAudit | None) -> Iterator[None]:
        """Inside, in a step that is audited, `.grad` is what the optimizer used, before it clipped."""
        if audit is None or not audit.heard or (self.every == 1 and self._scale == 1.0):
            yield
            return
        held = [(v.value, v.value.grad) for v in self._variables]
        try:
            for parameter, gradient in held:
                if gradient is not None:
                    parameter.grad = (gradient / self._scale + self._sums.get(id(parameter), 0.0)) / self.every
            audit.raw.read_anew(self._scale)
            yield
        finally:
            for parameter, gradient in held:
                parameter.grad = gradient


def _named(run: Run) -> Run:
    """Name parameters by the path that Keras shows: `sequential/dense/kernel`."""
    named = tuple(dataclasses.replace(p, name=p.name.rpartition("_torch_params.")[2]) for p in run.parameters)
    return dataclasses.replace(run, parameters=named, optimizer=run.optimizer.removeprefix("_"))
