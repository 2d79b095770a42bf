"""Batches: split what the user gives, call the model with it, and get a scalar loss; with clear errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor, nn

LossFunction = Callable[[Any, Any], Tensor]


def split(batch: Any) -> tuple[Any, Any]:
    """Return inputs and targets of a batch; targets are None where the batch has none.

    `(inputs, targets)` as a tuple or list of two; a tensor or a dict alone is all inputs.

    Raises:
        TypeError: if the batch has another form.
    """
    if isinstance(batch, (tuple, list)):
        items = cast(tuple[Any, ...], batch)
        if len(items) == 2:
            return items[0], items[1]
        if len(items) == 1:
            return items[0], None
        raise TypeError(
            f"a batch is (inputs, targets), a tensor or a dict; got a {type(batch).__name__} of {len(items)}. "
            "Put several inputs into a tuple of their own: ((x1, x2), targets)"
        )
    if isinstance(batch, (Tensor, Mapping)) or hasattr(batch, "data_ptr") or hasattr(batch, "keys"):
        return cast(Any, batch), None
    raise TypeError(f"a batch is (inputs, targets), a tensor or a dict; got {type(batch).__name__}")


def call(model: nn.Module, inputs: Any) -> Any:
    """Return `model(inputs)`; a tuple or list is spread as positional, a mapping as keyword arguments."""
    if isinstance(inputs, Mapping):
        return model(**cast(Mapping[str, Any], inputs))
    if isinstance(inputs, (tuple, list)):
        return model(*cast(tuple[Any, ...], inputs))
    return model(inputs)


def called(model: nn.Module, inputs: Any, output: Any, targets: Any, error: Exception) -> str:
    """Return how photic called what raised an error, where that may be the reason; '' elsewhere.

    It may be for a loss that got no targets, and for a signature that does not take what it was given. Without an output
    the error came from the model.
    """
    if output is not None and (targets is None or isinstance(error, TypeError)):
        return (
            f"; the loss was called as loss(output, targets) with {_kind(output)} and {_kind(targets)}. A loss that calls the "
            "network itself goes into the forward of a module that returns it, or watch the script: `photic run train.py`"
        )
    if output is None and isinstance(error, TypeError) and f"{type(model).__name__}.forward()" in str(error):
        return (
            f"; the model was called with {_kind(inputs)}. A batch is (inputs, targets): several inputs go into a tuple of "
            "their own, ((x1, x2), targets), or into a dict, which is given by name"
        )
    return ""


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, (tuple, list, Mapping)):
        return f"a {type(value).__name__} of {len(cast(Any, value))}"
    return "None" if value is None else f"a {type(value).__name__}"


def scalar_loss(output: Any, targets: Any, loss: LossFunction | None, step: int) -> Tensor:
    """Return the loss of one step as a tensor with one element.

    Raises:
        TypeError: if there is no loss function and the output carries no loss, or the loss is no tensor.
        ValueError: if the loss has more than one element.
    """
    if loss is not None:
        value: Any = loss(output, targets)
    else:
        value = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)  # pyright: ignore
        if value is None and isinstance(output, Tensor) and output.numel() == 1:
            value = output
        if value is None:
            raise TypeError(
                f"no loss function was given and the model's output ({type(output).__name__}) has no `.loss`; "
                "pass loss(output, targets) -> scalar"
            )
    if not isinstance(value, Tensor):
        raise TypeError(f"the loss at step {step} is a {type(value).__name__}, not a tensor; do not call .item() on it")
    if value.numel() != 1:
        raise ValueError(
            f"loss at step {step} is not a scalar but has shape {tuple(value.shape)}; reduce it (`loss.mean()`) first"
        )
    return value.reshape(()) if value.ndim else value


def loss_of_mean(mean: Tensor, targets: Tensor, loss: LossFunction | None, step: int) -> float | None:
    """Return the loss of who answers `mean` to every example; None where the targets are all one number, or the loss is blind to them.

    Then they are there for the form alone: the loss is made in the model, or asks something else of the answers.
    """
    value = float(scalar_loss(mean, targets, loss, step))
    if not targets.numel() or bool((targets == targets.reshape(-1)[0]).all()):
        return None
    if float(scalar_loss(mean, mean, loss, step)) != value:
        return value
    try:  # one that is linear in the targets has their mean's value there, and a flat one the same for all that are far off
        return None if float(scalar_loss(mean, targets + 1.0, loss, step)) == value else value
    except Exception:  # it looks at them: these are no probabilities
        return value
