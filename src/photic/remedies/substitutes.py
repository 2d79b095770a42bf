"""Substitutes: what is called in place of a site while a treated forward runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from photic.probes.calls import Call, tensors_in
from photic.probes.operations import place_of
from photic.probes.substitution import Substitute
from photic.remedies.bridges import Bridge
from photic.remedies.carried import Ended, Given
from photic.remedies.choices import Choice, soft_comparison
from photic.remedies.chosen import DrawnFrom, Ranged
from photic.remedies.continued import continued
from photic.remedies.entries import channels_first, channels_last, last_entry, mean_entry, next_entry, rows_first
from photic.remedies.factors import averaged, divided, unscaled
from photic.remedies.finite import Denominator, Guard, Mapped, Ridge, finite, unaligned
from photic.remedies.goals import Goal
from photic.remedies.handed import Handed, Rejoined
from photic.remedies.limits import LimitedGradient
from photic.remedies.masks import turned
from photic.remedies.normalising import NORMALISE, BatchNormalise, Branch, hand_through
from photic.remedies.parts import MovedIn, Parts
from photic.remedies.paths import Ranks, pathwise
from photic.remedies.places import Places
from photic.remedies.positions import Positions
from photic.remedies.prescription import Prescription
from photic.remedies.shared import Shared
from photic.remedies.siblings import EveryRow
from photic.remedies.stable_logs import StableLog
from photic.remedies.written_back import WrittenBack

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "softplus": F.softplus,
}  # fmt: skip


def substitutes_of(prescription: Prescription) -> dict[str, Substitute]:
    """Return what is called in place of each site that a prescription names."""
    found: dict[str, Substitute] = {}
    for field, substitute in _alike().items():
        found |= dict.fromkeys(getattr(prescription, field), substitute)
    for field, make in _by_value().items():
        found |= {name: make(value) for name, value in getattr(prescription, field).items()}
    for name in prescription.normalised:
        found[name] = (
            BatchNormalise() if prescription.normalisation == "batch" else NORMALISE[prescription.normalisation]
        )
    for name, how in prescription.squeezed.items():
        found[name] = _Squeezed(*how)
    for (chosen, *computed), ends in prescription.places:
        places = Places()
        found |= {chosen: places.choose, **dict.fromkeys(computed, places.compute), **dict.fromkeys(ends, places.end)}
    for ranked, number in prescription.ranks:
        ranks = Ranks()
        found[ranked], found[number] = ranks.enter, ranks.leave
    for name, limits in prescription.guards.items():
        found[name] = Guard(*limits)
    for name, share in prescription.quotients.items():
        found[name] = Denominator(share, relative=True)
    for function, logarithm, operation, factor in prescription.stable_logs:
        log = StableLog(operation, factor)
        found[function], found[logarithm] = log.enter, log.leave
    for itself, *others in prescription.shared:
        shared = Shared()
        found |= {itself: shared.itself, **dict.fromkeys(others, shared.other)}
    for leaves, returns in prescription.bridged:
        bridge = Bridge(result=returns.startswith("<loss>"))
        found[leaves], found[returns] = bridge.leave, bridge.come_back
    users = {user: Handed() for _, user in prescription.handed}
    for write, user in prescription.handed:
        found[write], found[user] = users[user].write, users[user].use
    rejoined = Rejoined()
    for maker, user in prescription.rejoined:
        found[maker], found[user] = rejoined.keep, rejoined.use
    for complement, logarithm in prescription.mirrored:
        found[complement], found[logarithm] = _probability, _negative_logarithm
    for curve, negation in prescription.flipped:
        found[curve], found[negation] = _of_the_negative, hand_through
    for scores, taken in prescription.choices:
        choice = Choice()
        found[scores], found[taken] = choice.enter, choice.leave
    parts: dict[tuple[str, str], Parts] = {}
    for join, end, taker in prescription.own_parts:
        part = parts.setdefault((join, end), Parts())
        found |= {join: part.join, end: part.finish, taker: part.take}
    for table, total in prescription.every_row:
        rows = EveryRow()
        found |= {table: rows.read, total: rows.add}
    for activation, total in prescription.moved_in:
        moved = MovedIn()
        found |= {activation: moved.bend, total: moved.add}
    for stretches, takers in prescription.continued:
        found |= continued(stretches, takers)
    for name in prescription.drawn_from:
        found[name] = DrawnFrom()
    for taken, added in prescription.positions:
        positions = Positions()
        found |= {taken: positions.take, added: positions.add}
    for taken, written in prescription.written_back:
        back = WrittenBack()
        found[taken], found[written] = back.take, back.write
    for source, product in prescription.carried:
        state: list[Tensor] = []
        found[product] = Given(found.get(product), state)
        found[source] = Kept(found.get(source), state)
    for source, taker in prescription.states:
        last: list[Tensor] = []
        found[source], found[taker] = Ended(found.get(source), last), Given(found.get(taker), last)
    for code, comparison in prescription.goals:
        found[code] = goal = Goal(found.get(code))
        found[comparison] = goal.compared
    for start, end in prescription.skips:
        kept: list[Tensor] = []
        found[start] = Kept(found.get(start), kept)
        found[end] = _Skip(found.get(end), kept)
    for start, end in prescription.branched:
        stream: list[Tensor] = []
        found[start] = Kept(found.get(start), stream)
        found[end] = Branch(found.get(end), stream, len(prescription.branched) ** -0.5)
    for name, (source, factor) in prescription.balance.items():
        made: list[Tensor] = []
        found[source] = Kept(found.get(source), made)
        found[name] = _Balance(found.get(name), made, factor)
    return found


def _alike() -> dict[str, Substitute]:
    """Return what is called in place of every site that a field of a prescription lists."""
    return {
        "removed": hand_through, "straight": _straight_through, "revealed": _recorded, "pathwise": pathwise, "slopes": _with_history,
        "next_entries": next_entry, "last_entries": last_entry,
        "pooled": mean_entry, "turned_masks": turned, "masked_rows": _no_empty_row, "unaligned": unaligned,
        "divided": divided, "averaged": averaged, "unscaled": unscaled, "magnitudes": _of_magnitudes,
        "rounded": _whole, "bent": _bent,
        "turned_links": _transposed, "turned_weights": _turned_weights, "finite": finite, "logarithms": _of_logarithms,
        "comparisons": soft_comparison, "rows_first": rows_first, "channels_last": channels_last, "channels_first": channels_first, "logged": _logged,
    }  # fmt: skip


def _by_value() -> dict[str, Callable[[Any], Substitute]]:
    """Return what makes the substitute of a site from the value that a field of a prescription gives it."""
    return {
        "activations": _Replace, "epsilons": _Epsilon, "opened": _Opened, "factors": _Scale, "mapped": Mapped, "ridges": Ridge,
        "denominators": Denominator, "limited": LimitedGradient, "axes": partial(_OtherArgument, "dim"), "ranged": Ranged,
        "dropped": partial(_OtherArgument, "p"), "one_divisor": _DividedBy, "spanned": _Spanned,
    }  # fmt: skip


class _Replace:
    """Calls another activation on the same input."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __call__(self, call: Call) -> Any:
        return _ACTIVATIONS[self.operation](call.args[0])


class _Epsilon:
    """Another epsilon: of a normalisation, of a sum, or a lower limit."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def __call__(self, call: Call) -> Any:
        name = {"add": "other", "clamp": "min", "clamp_min": "min"}.get(call.operation, "eps")
        place, args = place_of(call.operation, name), list(call.args)
        if place < len(args):
            here = 1 - place if name == "other" and isinstance(args[place], Tensor) else place  # eps + x
            args[here] = self.epsilon
            return call.function(*args, **call.kwargs)
        return call.function(*args, **{**call.kwargs, name: self.epsilon})


class _Opened:
    """Adds a call's signal, times a factor, to what the call gives: of its arguments the one in the shape of the result."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, call: Call) -> Any:
        value: Tensor = call.run()
        given = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, Tensor)]
        alike = [one for one in given if one.shape == value.shape]
        return value + self.factor * next((one for one in alike if one.requires_grad), alike[0] if alike else given[0])


class _Squeezed:
    """Takes an axis of length 1 away, or adds one."""

    def __init__(self, method: str, axis: int) -> None:
        self.method, self.axis = method, axis

    def __call__(self, call: Call) -> Any:
        return getattr(call.run(), self.method)(self.axis)


def _straight_through(call: Call) -> Any:
    x: Tensor = call.args[0]
    return x + (call.run() - x).detach()


class _Scale:
    """Multiplies the first argument."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, call: Call) -> Any:
        return call.function(call.args[0] * self.factor, *call.args[1:], **call.kwargs)


class Kept:
    """Keeps what a call gives, for a call that comes later. `inner` is what is called in place of the site otherwise."""

    def __init__(self, inner: Substitute | None, kept: list[Tensor]) -> None:
        self.inner, self.kept = inner, kept

    def __call__(self, call: Call) -> Any:
        """Make the call and keep its result."""
        value = call.run() if self.inner is None else self.inner(call)
        self.kept[:] = tensors_in(value)
        return value


class _Skip:
    """Adds what was kept to what the call gives, where the shapes agree."""

    def __init__(self, inner: Substitute | None, kept: list[Tensor]) -> None:
        self.inner, self.kept = inner, kept

    def __call__(self, call: Call) -> Any:
        value: Any = call.run() if self.inner is None else self.inner(call)
        skip, self.kept[:] = list(self.kept), []
        same = len(skip) == 1 and isinstance(value, Tensor) and skip[0].shape == value.shape
        return value + skip[0] if same else value


def _probability(call: Call) -> Any:
    """1 - p becomes p."""
    return next(value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor) and value.ndim)


def _negative_logarithm(call: Call) -> Any:
    return -call.run()


def _of_the_negative(call: Call) -> Any:
    return call.function(-call.args[0], *call.args[1:], **call.kwargs)


def _with_history(call: Call) -> Any:
    return call.function(*call.args, **{**call.kwargs, "create_graph": True})


def _recorded(call: Call) -> Any:
    with torch.enable_grad():
        return call.run()


def _no_empty_row(call: Call) -> Any:
    """A softmax in which a row without any finite score gives zeros."""
    scores: Tensor = call.args[0]
    axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else -1)
    empty = torch.isneginf(scores).all(-1 if axis is None else axis, keepdim=True)
    value = call.function(scores.masked_fill(empty, 0.0), *call.args[1:], **call.kwargs)
    return value.masked_fill(empty, 0.0)


class _OtherArgument:
    """A call with another second argument: the axis of a softmax, a sort or a running sum, the share that a dropout zeroes."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value

    def __call__(self, call: Call) -> Any:
        if len(call.args) > 1:
            return call.function(call.args[0], self.value, *call.args[2:], **call.kwargs)
        return call.function(*call.args, **{**call.kwargs, self.name: self.value})


def _of_logarithms(call: Call) -> Any:
    """A negative log-likelihood of scores, as it is of logarithms of probabilities; classes lie along the second axis, or the last."""
    scores: Tensor = call.args[0]
    axis = -1 if call.operation == "ctc_loss" or scores.ndim < 2 else 1
    return call.function(scores.log_softmax(axis), *call.args[1:], **call.kwargs)


def _of_magnitudes(call: Call) -> Any:
    """A mean, or a sum, of magnitudes."""
    return call.function(call.args[0].abs(), *call.args[1:], **call.kwargs)


class _DividedBy:
    """Divides by one number."""

    def __init__(self, divisor: float) -> None:
        self.divisor = divisor

    def __call__(self, call: Call) -> Any:
        return call.args[0] / self.divisor


class _Spanned:
    """A sampling at places that are brought to the range from -1 to 1: from that of the map's pixels, if they are such, or one of their own."""

    def __init__(self, span: tuple[float, float]) -> None:
        self.low, self.high = span

    def __call__(self, call: Call) -> Any:
        places: Tensor = call.args[1]
        sizes = torch.tensor(call.args[0].shape[:1:-1], dtype=places.dtype, device=places.device)  # width, height
        pixels = bool((places >= 0.0).all()) and bool((places <= sizes).all())
        low = 0.0 if pixels else places.min() if math.isnan(self.low) else self.low
        high = (sizes - 1.0).clamp_min(1.0) if pixels else places.max() if math.isnan(self.high) else self.high
        return call.function(call.args[0], 2.0 * (places - low) / (high - low) - 1.0, *call.args[2:], **call.kwargs)


def _turned_weights(call: Call) -> Any:
    """One over the weights of the classes, with their mean; who weighs 0 still does."""
    place = 2  # of cross_entropy, nll_loss and multi_margin_loss's kin
    given = call.args[place] if place < len(call.args) else call.kwargs.get("weight")
    if not isinstance(given, Tensor):
        return call.run()
    over = torch.where(given > 0.0, 1.0 / given.clamp_min(1e-30), 0.0)
    own = over * (given.mean() / over.mean())
    if place < len(call.args):
        return call.function(*call.args[:place], own, *call.args[place + 1 :], **call.kwargs)
    return call.function(*call.args, **{**call.kwargs, "weight": own})


def _transposed(call: Call) -> Any:
    first: Tensor = call.args[0]
    return call.function(first.mT if first.shape[-1] == first.shape[-2] else first, *call.args[1:], **call.kwargs)


def _bent(call: Call) -> Any:
    return torch.tanh(call.run())


def _whole(call: Call) -> Any:
    """The result cut to whole numbers, as `.long()` does."""
    return call.run().long()


def _logged(call: Call) -> Any:
    """The logarithms of a softmax, over the same axis."""
    axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else -1)
    return call.args[0].log_softmax(axis)


class _Balance:
    """Multiplies the argument of a sum that was kept."""

    def __init__(self, inner: Substitute | None, kept: list[Tensor], factor: float) -> None:
        self.inner, self.kept, self.factor = inner, kept, factor

    def __call__(self, call: Call) -> Any:
        kept, self.kept[:] = list(self.kept), []
        args = tuple(arg * self.factor if any(arg is one for one in kept) else arg for arg in call.args)
        changed = replace(call, args=args)
        return changed.run() if self.inner is None else self.inner(changed)


class Connected:
    """A module's forward with its input added to its output, where their shapes agree."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return x + f(x)."""
        value = self.forward(*args, **kwargs)
        x = args[0] if args else None
        if isinstance(x, Tensor) and isinstance(value, Tensor) and (x.shape, x.dtype) == (value.shape, value.dtype):
            return x + value
        return value


class Squashed:
    """A module's forward on the tanh of its first argument."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return f(tanh(x))."""
        if args and isinstance(args[0], Tensor) and args[0].is_floating_point():
            args = (torch.tanh(args[0]), *args[1:])
        return self.forward(*args, **kwargs)
