"""The set-up: model, batches, loss and optimizer as the user gave them, copied so that trials leave the originals alone."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from photic.checkups.copies import deep_copy, rebound

LossFunction = Callable[[Any, Any], Tensor]
Batches = Callable[[], Iterator[Any]]
OptimizerMaker = Callable[[nn.Module], torch.optim.Optimizer]


class Setup(NamedTuple):
    """All that a plain loop needs: `zero_grad, model, loss, backward, step`.

    Attributes:
        model: the network.
        batches: returns a fresh iterator of batches.
        loss: `loss(output, targets) -> scalar`; None uses the output's own `.loss`.
        optimizer: live, over the model's parameters.
    """

    model: nn.Module
    batches: Batches
    loss: LossFunction | None
    optimizer: torch.optim.Optimizer


def as_batches(given: Any, *, most: int = 10_000) -> Batches:
    """Return a function that gives a fresh iterator of batches.

    `given` is an iterable (a DataLoader, a list), a zero-argument callable that returns an iterator, or a generator,
    whose first `most` batches are kept, as it runs only once.

    Raises:
        TypeError: if it is none of these, or a single tensor (a batch, not a sequence of batches).
    """
    if isinstance(given, (Tensor, dict)):
        raise TypeError(f"expected batches, got one {type(given).__name__}; put it into a list: [(inputs, targets)]")
    if isinstance(given, tuple) and given and isinstance(given[0], Tensor):
        raise TypeError("expected batches, got one tuple of tensors; put it into a list: [(inputs, targets)]")
    if callable(given) and not isinstance(given, Iterable):
        maker: Callable[[], Any] = given
        return lambda: iter(maker())
    if isinstance(given, Iterator):
        kept = list(itertools.islice(given, most))
        return lambda: iter(kept)
    if isinstance(given, Iterable):
        repeatable: Iterable[Any] = given
        return lambda: iter(repeatable)
    raise TypeError(f"expected an iterable of batches or a callable that returns one, got {type(given).__name__}")


def endless(batches: Batches) -> Iterator[Any]:
    """Yield batches for ever, starting a fresh iterator when one ends.

    Raises:
        ValueError: if there is no batch at all.
    """
    while True:
        empty = True
        for batch in batches():
            empty = False
            yield batch
        if empty:
            raise ValueError("the batches are empty; expected at least one (inputs, targets)")


def build_model(build: Any) -> nn.Module:
    """Return a model: a deep copy of the module given, or what the zero-argument callable returns.

    Raises:
        TypeError: if neither.
    """
    model: Any = deep_copy(build) if isinstance(build, nn.Module) else build()
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected build() to return a torch.nn.Module, it returned {type(model).__name__}")
    return model


def make_optimizer(given: Any, model: nn.Module, original: nn.Module | None = None) -> torch.optim.Optimizer:
    """Return a live optimizer over `model`: `given(model)`, or one like the live optimizer that was given.

    A live optimizer over `original` is rebuilt with the same class and settings, group by group; parameters that
    `original` does not have stay as they are.

    Raises:
        TypeError: if `given` is neither an optimizer nor a callable that returns one.
    """
    if isinstance(given, torch.optim.Optimizer):
        if original is None:
            raise TypeError(
                "a live optimizer fits only the model it was made for; pass a callable `model -> optimizer`"
            )
        memo: dict[int, Any] = {
            id(old): new for old, new in zip(original.parameters(), model.parameters(), strict=True)
        }
        groups: list[dict[str, Any]] = [
            {
                **{key: value for key, value in group.items() if key != "params"},
                "params": [memo.get(id(p), p) for p in group["params"]],
            }
            for group in given.param_groups
        ]
        kind: Any = type(given)
        return kind(groups, **_constructor_defaults(given))
    made: Any = given(model)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            f"expected optimizer(model) to return a torch.optim.Optimizer, it returned {type(made).__name__}"
        )
    return made


def _constructor_defaults(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    import inspect

    known = inspect.signature(type(optimizer).__init__).parameters
    return {key: value for key, value in optimizer.defaults.items() if key in known}


def default_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Return plain gradient descent with a learning rate of 0.1, used where the user gave no optimizer."""
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)


def copy_together(
    model: nn.Module, loss: LossFunction | None, optimizer: torch.optim.Optimizer | None
) -> tuple[nn.Module, LossFunction | None, torch.optim.Optimizer | None]:
    """Copy model, loss and optimizer in one deepcopy, so that what they share stays shared.

    The optimizer's state travels with it, and so do its step hooks and what a subclass keeps, which torch drops on copying. Parameters that the
    optimizer holds and the model does not are kept, not copied.
    """
    own = {id(parameter) for parameter in model.parameters()}
    memo: dict[int, Any] = {}
    if optimizer is not None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) not in own:
                    memo[id(parameter)] = parameter
    shared_loss = loss if isinstance(loss, nn.Module) else None  # a plain function has nothing to copy
    twins = deep_copy((model, shared_loss, optimizer), memo)
    if optimizer is not None and twins[2] is not None:
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            if hasattr(optimizer, name):
                getattr(twins[2], name).update(getattr(optimizer, name))
        for name in vars(optimizer).keys() - vars(twins[2]).keys():  # torch copies the groups and the state alone
            if not hasattr(type(optimizer), name):  # a scheduler's `step` would step the original
                setattr(twins[2], name, _copied(vars(optimizer)[name], memo))
    return twins[0], twins[1] if shared_loss is not None else loss, twins[2]


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return rebound(copy.deepcopy(value, memo), memo)
    except Exception:  # a lock, a file: it is shared
        return value
