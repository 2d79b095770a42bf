"""Substitution: other functions in place of calls, by their names; a call that nobody asked for runs with little around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from photic.probes.calls import Call, Watcher, is_real, opened_composites, tensors_in
from photic.probes.modules import ModuleNames, Running, following
from photic.probes.operations import canonical
from photic.records.vocabulary import Phase

Substitute = Callable[[Call], Any]


class Substitution:
    """What is called in place of which calls of a model; copies and pickles like what it holds.

    Args:
        substitutes: by the names that an audit gives. A substitute gets the call, without its line of source.
    """

    def __init__(self, model: nn.Module, substitutes: Mapping[str, Substitute]) -> None:
        self.substitutes = substitutes
        self._names = ModuleNames(model)
        self._asked: dict[str, bool] = {}

    def asks(self, prefix: str) -> bool:
        """Whether a call is substituted whose name is the prefix, or the prefix and a number."""
        if prefix not in self._asked:
            self._asked[prefix] = any(n == prefix or n.startswith(f"{prefix}#") for n in self.substitutes)
        return self._asked[prefix]

    @contextmanager
    def at_work(
        self, phase: Phase = "model", concerns: Callable[[str, Tensor], bool] = lambda _operation, _tensor: False
    ) -> Iterator[None]:
        """Substitute while the block lasts."""
        running = Running(self._names.now(), renamed=self._names.anew)
        watcher = _Substituting(self, running, concerns)
        watcher.phase = phase
        with following(running), opened_composites(), watcher:
            yield


class _Substituting(Watcher):
    """Follows numbers, and whole numbers and masks made of them, as an audit does: its names are what it is asked by."""

    def __init__(self, substitution: Substitution, running: Running, concerns: Callable[[str, Tensor], bool]) -> None:
        super().__init__(self._substituted, running, self._follows, None)
        self.concerns = concerns
        self.located = False
        self.substitution = substitution
        self._made: dict[int, Tensor] = {}  # kept while the block lasts, so that no id is given again

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.off:
            return func(*args, **kwargs)
        operation = canonical(func)
        module = self.running.stack[-1] if self.running.stack else None
        prefix = self.naming.prefix(module, self.running.path(), operation, self.phase)
        if self.substitution.asks(prefix):
            call = self._call(func, args, kwargs)
            return func(*args, **kwargs) if call is None else self.visitor(call)
        value = func(*args, **kwargs)
        may_be_whole = not is_real(value) if isinstance(value, Tensor) else isinstance(value, (tuple, list))
        if may_be_whole and self._signal(func, operation, args, kwargs):
            self._remember(value)
        return value

    def _substituted(self, call: Call) -> Any:
        substitute = self.substitution.substitutes.get(call.name)
        value = call.run() if substitute is None else substitute(call)
        self._remember(value)
        return value

    def _remember(self, value: Any) -> None:
        self._made.update((id(one), one) for one in tensors_in(value) if not is_real(one))

    def _follows(self, tensor: Tensor) -> bool:
        return is_real(tensor) or id(tensor) in self._made
