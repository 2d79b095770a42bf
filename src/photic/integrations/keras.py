"""Keras 3 on torch: a callback that watches `fit`: `model.fit(..., callbacks=[PhoticCallback()])`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photic.checkups.watching import OnFinding, Watch
from photic.integrations.requirements import need, raise_if_blind
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
    leaves `.grad` alone: `gradient` is the gradient before clipping, and the update shows what came of it.

    Attributes:
        watch: the handle while and after the fit: `.findings`, `.run`, `.checkup`, `.overhead`; None before it.
    """

    def __init__(
        self,
        *,
        budget: float = 0.01,
        record: str | Path | None = None,
        on_finding: OnFinding | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """Take the options of `photic.watch`."""
        super().__init__()
        self.watch: Watch | None = None
        self._options: dict[str, Any] = {"budget": budget, "on_finding": on_finding, "ignore": ignore, "record": record}
        self._steps = 0
        self._optimizer: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch the model.

        Raises:
            RuntimeError: if the backend is not torch.
        """
        backend = need("keras", extra="keras").backend.backend()
        if backend != "torch":
            raise RuntimeError(
                f"the backend of Keras is {backend}; photic reads torch's gradients: set KERAS_BACKEND=torch"
            )
        self._steps = 0
        self._optimizer = _Optimizer(self.model)
        self.watch = Watch(self.model, **self._options)
        self.watch.combine = _named

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Remember the weights of a step that is audited."""
        if self.watch is not None and self.watch._audit is not None:
            self.watch._audit.announced()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The step has ended; its gradients are still there."""
        if self.watch is None:
            return
        self.watch._stepped(self._optimizer, (), {})
        self._steps += 1
        if self._steps == 2:
            raise_if_blind(self.watch, 2, "Keras")

    def on_train_end(self, logs: Any = None) -> None:
        """Detach; the record is complete."""
        if self.watch is not None:
            self.watch.close()


class _Optimizer:
    """A Keras optimizer, as far as the watch asks: which parameters it holds, and at what rate."""

    def __init__(self, model: Any) -> None:
        self.state: dict[Any, Any] = {}
        self.defaults = {"lr": float(model.optimizer.learning_rate)}
        self.param_groups = [{"params": [v.value for v in model.trainable_variables], **self.defaults}]


def _named(run: Run) -> Run:
    """Name parameters by the path that Keras shows: `sequential/dense/kernel`."""
    named = tuple(dataclasses.replace(p, name=p.name.rpartition("_torch_params.")[2]) for p in run.parameters)
    return dataclasses.replace(run, parameters=named, optimizer=run.optimizer.removeprefix("_"))
