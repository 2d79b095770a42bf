"""Own functions: autograd functions of the user's, called in another way, or compared with what torch makes of their forward."""

from __future__ import annotations

import copy
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

from photic.probes import batches
from photic.probes.calls import tensors_in
from photic.probes.generators import seed_torch
from photic.probes.operations import canonical
from photic.probes.untouched import untouched
from photic.records.sites import Backward

# The class whose `apply` every function's ends in, also one that was kept under a name.
_PARENT: Any = torch.autograd.Function.__mro__[1]
_CALLS = 3  # of each function
_APART = 0.02  # of the gradient: rounding, kinks and another form of the same curve are far less
_DIRECTIONS = 8
_STEP = 1e-5
_STRAIGHT = 0.05  # of a difference: over a quarter of the step it is the same, unless there is a jump
_JUMPS = ("round", "floor", "ceil", "trunc", "sign", "heaviside", "argmax", "argmin", "topk", "sort", "argsort", "bucketize",
          "searchsorted", "one_hot", "floor_divide", "bernoulli", "multinomial")  # fmt: skip
_NUMBERS = ("float", "double", "half", "to", "type", "type_as", "bfloat16")  # made of truth values


@contextmanager
def applied(instead: Callable[[Any, Sequence[Any], Callable[..., Any]], Any]) -> Iterator[None]:
    """Call `instead(kind, given, apply)` in place of every function's `apply`."""
    own = vars(_PARENT).get("apply")

    def apply(kind: Any, *given: Any) -> Any:
        return instead(kind, given, super(_PARENT, kind).apply if own is None else own.__get__(None, kind))

    _PARENT.apply = classmethod(apply)
    try:
        yield
    finally:
        if own is None:
            del _PARENT.apply
        else:
            _PARENT.apply = own


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
    apart = kind.setup_context is not _PARENT.setup_context  # then the forward takes no context
    return kind.forward(*given) if apart else kind.forward(context, *given)


def backwards(model: nn.Module, batch: Any) -> tuple[Backward, ...]:
    """Return the hand-written backwards that do not give the derivative of the first result of their forward, on one batch.

    Both are asked at the numbers of the batch for the product with one random vector, input by input. Not judged is what is another gradient on
    purpose: that of a forward which jumps (rounding, signs, choices), one that is handed through as it comes or in part (straight-through
    estimators, guided or clipped), that of a forward which leaves the numbers as they are, and None. Nor what two calls compute differently.
    Where the forward is not made of torch's operations its differences are taken, in float64, along random directions.
    """
    if not any(_of_the_user(kind) for kind in _kinds(torch.autograd.Function)):
        return ()
    if any(isinstance(value, Iterator) for module in model.modules() for value in vars(module).values()):
        return ()  # a forward more would take something from it
    compared: defaultdict[Any, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    asked: Counter[Any] = Counter()
    busy: list[Any] = []

    def watched(kind: Any, given: Sequence[Any], apply: Callable[..., Any]) -> Any:
        if _of_the_user(kind) and not busy and asked[kind] < _CALLS:
            busy.append(kind)
            asked[kind] += 1
            with suppress(Exception):  # what cannot be asked this way is not accused
                compared[kind] += _compared(kind, given, apply)
            busy.clear()
        return apply(*given)

    inputs = _pytree.tree_map(
        lambda one: one.detach().clone() if isinstance(one, Tensor) else one, batches.split(batch)[0]
    )
    try:
        asked_of = copy.deepcopy(model)  # a forward may put hooks on layers, which nothing takes away again
        with untouched(asked_of), _kept_gradients(model), torch.enable_grad(), applied(watched):
            seed_torch(0)
            batches.call(asked_of, inputs)
    except Exception:
        return ()
    found = (_judged(kind.__name__, pairs) for kind, pairs in compared.items() if pairs)
    return tuple(one for one in found if one is not None)


@contextmanager
def _kept_gradients(model: nn.Module) -> Iterator[None]:
    """Put the gradients back that a backward adds to: one that recomputes a forward may hold the model's own layers."""
    before = [(p, p.grad, None if p.grad is None else p.grad.detach().clone()) for p in model.parameters()]
    try:
        yield
    finally:
        for parameter, gradient, values in before:
            parameter.grad = gradient
            if gradient is not None and values is not None and not torch.equal(gradient, values):
                gradient.detach().copy_(values)


def _judged(name: str, pairs: list[tuple[Tensor, Tensor]]) -> Backward | None:
    own, plain = (torch.cat([pair[k] for pair in pairs]) for k in (0, 1))
    size = float(plain.norm())
    if not size > 0.0 or not math.isfinite(size):
        return None
    if not bool(own.isfinite().all()):
        return Backward(name, math.inf, 0.0)
    if not float((own - plain).norm()) > _APART * size:
        return None
    return Backward(name, float(own.norm()) / size, float(torch.cosine_similarity(own, plain, dim=0)))


def _compared(kind: Any, given: Sequence[Any], apply: Callable[..., Any]) -> list[tuple[Tensor, Tensor]]:
    """Return, for each input, the gradient by the function's own backward and by torch of its forward; along directions where torch has none."""
    if any(one.is_complex() for one in tensors_in(given)):
        return []
    own = _gradients(apply, given)
    seen = _Jumps()
    try:
        with seen:
            plain = _gradients(lambda *leaves: plainly(kind, leaves), given)
    except Exception:  # NumPy, or a write in place
        plain = None
    if own is None or seen.jumped:
        return []
    if plain is None:
        return _along_directions(given, apply)
    if not torch.allclose(own.made, plain.made, equal_nan=True):
        return []  # it draws by itself
    pairs = zip(own.slopes, plain.slopes, own.through, strict=True)
    return [(o, p) for o, p, through in pairs if not through and o is not None and p is not None and bool(p.any())]


class _Jumps(TorchFunctionMode):
    """Watches for operations that jump, and for truth values that become numbers."""

    jumped = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operation = canonical(func)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        truth = first is not None and first.dtype is torch.bool and operation in _NUMBERS
        self.jumped = self.jumped or truth or operation in _JUMPS
        return func(*args, **(kwargs or {}))


class _Asked:
    """What a call made, the gradient by each of the numbers that ask for one, None without one, and whether it is what came, or a part of it."""

    def __init__(self, made: Tensor, slopes: Sequence[Tensor | None], vector: Tensor) -> None:
        self.made = made
        self.slopes = [None if s is None else s.detach().double().flatten() for s in slopes]
        self.through = [s is not None and _handed_through(s, vector) for s in slopes]


def _gradients(call: Callable[..., Any], given: Sequence[Any], seed: int = 0) -> _Asked | None:
    """Return the gradients of the first result, times a random vector; None where there is none to judge."""
    wanted = [_fresh(one) for one in given]
    leaves = [one for one in wanted if isinstance(one, Tensor) and one.requires_grad]
    seed_torch(0)  # both draw the same
    given_away = [
        one.clone() if isinstance(one, Tensor) else one for one in wanted
    ]  # what is written into may be no leaf
    made = _first(call(*given_away))
    if not leaves or made is None or not made.requires_grad or _as_it_was(made, leaves[0]):
        return None
    vector = _random(made, seed)
    drawn = torch.get_rng_state()
    slopes: Sequence[Tensor | None] = torch.autograd.grad(made, leaves, vector, allow_unused=True)
    if not torch.equal(torch.get_rng_state(), drawn):
        return None  # a backward that draws by itself (shake-shake) is meant so
    return _Asked(made.detach(), slopes, vector)


def _handed_through(slope: Tensor, vector: Tensor) -> bool:
    """Whether a gradient is what came, or a part of it: each number as it was, or 0."""
    return slope.shape == vector.shape and bool(((slope == vector) | (slope == 0.0)).all()) and bool(slope.any())


def _along_directions(given: Sequence[Any], apply: Callable[..., Any]) -> list[tuple[Tensor, Tensor]]:
    """Return the change of the result along random directions: by the function's own backward, and by differences of its forward."""
    exact = [one.detach().double().requires_grad_(one.requires_grad) if _real(one) else one for one in given]
    own: list[Tensor] = []
    plain: list[Tensor] = []
    for seed in range(_DIRECTIONS):
        ways = [_random(one, 100 + seed) if _real(one) and one.requires_grad else None for one in exact]
        asked = _gradients(apply, exact, seed)
        if asked is None or any(asked.through) or any(slope is None for slope in asked.slopes):
            return []
        slopes = torch.cat([slope for slope in asked.slopes if slope is not None])
        own.append(slopes @ torch.cat([way.flatten() for way in ways if way is not None]))
        near, far = (_difference(apply, exact, ways, seed, step) for step in (_STEP / 4.0, _STEP))
        if near is None or far is None or not bool((near - far).abs() <= _STRAIGHT * far.abs()):
            return []
        plain.append(near)
    return [(torch.stack(own), torch.stack(plain))]


def _difference(
    apply: Callable[..., Any], given: Sequence[Any], ways: Sequence[Tensor | None], seed: int, step: float
) -> Tensor | None:
    ends: list[Tensor] = []
    with torch.no_grad():
        for sign in (1.0, -1.0):
            copies = [_fresh(one) for one in given]
            moved = [
                one if way is None else one.detach() + sign * step * way for one, way in zip(copies, ways, strict=True)
            ]
            seed_torch(0)
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
    if not isinstance(value, Tensor):
        return value
    fresh = value.detach().clone()
    return fresh.requires_grad_(value.requires_grad) if _real(value) else fresh


def _kinds(parent: Any) -> Iterator[Any]:
    for kind in parent.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _of_the_user(kind: Any) -> bool:
    return not kind.__module__.startswith(("torch.", "functorch.", "photic.remedies."))
