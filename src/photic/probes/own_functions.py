"""Own functions: autograd functions of the user's, called in another way, or compared with what torch makes of their forward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches
from photic.probes.calls import tensors_in
from photic.probes.generators import seed_torch
from photic.probes.untouched import untouched
from photic.records.sites import Backward

# The class whose `apply` every function's ends in, also one that was kept under a name.
PARENT: Any = torch.autograd.Function.__mro__[1]
_CALLS = 3  # of each function
_APART = 0.1  # of the gradient: rounding, and kinks, are far less
_DIRECTIONS = 8
_STEP = 1e-5
_STRAIGHT = 0.05  # of a difference: over a quarter of the step it is the same, unless there is a jump


@contextmanager
def applied(instead: Callable[[Any, Sequence[Any], Callable[..., Any]], Any]) -> Iterator[None]:
    """Call `instead(kind, given, apply)` in place of every function's `apply`."""
    own = vars(PARENT).get("apply")

    def apply(kind: Any, *given: Any) -> Any:
        return instead(kind, given, super(PARENT, kind).apply if own is None else own.__get__(None, kind))

    PARENT.apply = classmethod(apply)
    try:
        yield
    finally:
        if own is None:
            del PARENT.apply
        else:
            PARENT.apply = own


class _Context:
    """Takes what a forward keeps for a backward that is not called."""

    needs_input_grad: tuple[bool, ...] = ()
    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep the tensors."""
        self.saved_tensors = tensors

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def plainly(kind: Any, given: Sequence[Any]) -> Any:
    """Return what the forward of a function computes, recorded by torch as any other code is."""
    context = _Context()
    context.needs_input_grad = tuple(isinstance(one, Tensor) and one.requires_grad for one in given)
    apart = kind.setup_context is not PARENT.setup_context  # then the forward takes no context
    return kind.forward(*given) if apart else kind.forward(context, *given)


def backwards(model: nn.Module, batch: Any) -> tuple[Backward, ...]:
    """Return the hand-written backwards that do not give the derivative of what their forward computes, on one batch.

    Both are asked at the numbers of the batch for the product with one random vector. Not judged are functions whose forward has no slope
    (a rounding, a threshold: a straight-through estimator), leaves the numbers as they are (a gradient that is scaled or turned on
    purpose). Where the forward is not made of torch's operations its differences are taken, in float64, along random directions.
    """
    if not any(_of_the_user(kind) for kind in _kinds(torch.autograd.Function)):
        return ()
    compared: defaultdict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    busy: list[Any] = []

    def watched(kind: Any, given: Sequence[Any], apply: Callable[..., Any]) -> Any:
        if _of_the_user(kind) and not busy and len(compared[kind.__name__]) < _CALLS:
            busy.append(kind)
            try:
                pair = _compared(kind, given, apply)
            except Exception:  # what cannot be asked this way is not accused
                pair = None
            busy.clear()
            compared[kind.__name__] += [] if pair is None else [pair]
        return apply(*given)

    try:
        with untouched(model), torch.enable_grad(), applied(watched):
            seed_torch(0)
            batches.call(model, batches.split(batch)[0])
    except Exception:
        return ()
    found = (_judged(name, pairs) for name, pairs in compared.items() if pairs)
    return tuple(one for one in found if one is not None)


def _judged(name: str, pairs: list[tuple[Tensor, Tensor]]) -> Backward | None:
    own, plain = (torch.cat([pair[k] for pair in pairs]) for k in (0, 1))
    size = float(plain.norm())
    if not size > 0.0 or not float((own - plain).norm()) > _APART * size:
        return None
    return Backward(name, float(own.norm()) / size, float(torch.cosine_similarity(own, plain, dim=0)))


def _compared(kind: Any, given: Sequence[Any], apply: Callable[..., Any]) -> tuple[Tensor, Tensor] | None:
    """Return the gradient by the function's own backward, and by torch of its forward; along directions where torch has none."""
    own = _gradient(apply, given)
    if own is None:
        return None
    try:
        plain = _gradient(lambda *leaves: plainly(kind, leaves), given)
    except Exception:  # NumPy, or a write in place
        plain = None
    return _along_directions(given, apply) if plain is None else (own, plain)


def _gradient(call: Callable[..., Any], given: Sequence[Any], seed: int = 0) -> Tensor | None:
    """Return the gradient of the first result, times a random vector, by all numbers that ask for one; None where there is none to judge."""
    wanted = [_fresh(one) for one in given]
    leaves = [one for one in wanted if isinstance(one, Tensor) and one.requires_grad]
    copies = [one.clone() if isinstance(one, Tensor) else one for one in wanted]  # what is written into may be no leaf
    made = _first(call(*copies))
    if not leaves or made is None or not made.requires_grad or _as_it_was(made, leaves[0]):
        return None
    slopes = torch.autograd.grad(made, leaves, _random(made, seed), allow_unused=True, materialize_grads=True)
    return torch.cat([slope.detach().double().flatten() for slope in slopes])


def _along_directions(given: Sequence[Any], apply: Callable[..., Any]) -> tuple[Tensor, Tensor] | None:
    """Return the change of the result along random directions: by the function's own backward, and by differences of its forward."""
    exact = [one.detach().double().requires_grad_(one.requires_grad) if _real(one) else one for one in given]
    own: list[Tensor] = []
    plain: list[Tensor] = []
    for seed in range(_DIRECTIONS):
        ways = [_random(one, 100 + seed) if _real(one) and one.requires_grad else None for one in exact]
        slope = _gradient(apply, exact, seed)
        if slope is None:
            return None
        own.append(slope @ torch.cat([way.flatten() for way in ways if way is not None]))
        near, far = (_difference(apply, exact, ways, seed, step) for step in (_STEP / 4.0, _STEP))
        if near is None or far is None or not bool((near - far).abs() <= _STRAIGHT * far.abs()):
            return None
        plain.append(near)
    return torch.stack(own), torch.stack(plain)


def _difference(
    apply: Callable[..., Any], given: Sequence[Any], ways: Sequence[Tensor | None], seed: int, step: float
) -> Tensor | None:
    ends: list[Tensor] = []
    with torch.no_grad():
        for sign in (1.0, -1.0):
            moved = [
                one if way is None else one.detach() + sign * step * way for one, way in zip(given, ways, strict=True)
            ]
            made = _first(apply(*moved))
            if made is None:
                return None
            ends.append((made.double() * _random(made, seed)).sum())
    return (ends[0] - ends[1]) / (2.0 * step)


def _first(made: Any) -> Tensor | None:
    return next((one for one in tensors_in(made) if one.is_floating_point()), None)


def _as_it_was(made: Tensor, given: Tensor) -> bool:
    return made.shape == given.shape and torch.equal(made, given)


def _random(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)


def _real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _fresh(value: Any) -> Any:
    return value.detach().clone().requires_grad_(value.requires_grad) if _real(value) else value


def _kinds(parent: Any) -> Iterator[Any]:
    for kind in parent.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _of_the_user(kind: Any) -> bool:
    return not kind.__module__.startswith(("torch.", "functorch.", "photic.remedies."))
