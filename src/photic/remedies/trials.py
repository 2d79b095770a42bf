"""Trials: the verdict on a remedy from what was seen of it and of the untreated control, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from photic.diagnosis.evidence import ends
from photic.records.treatments import Outcome, Trial
from photic.remedies.course import Course, alarms
from photic.remedies.registry import Remedy
from photic.remedies.steadiness import falls_back, falters, wild

CLEARLY = 0.05  # the treated loss on held-back batches lies at least this share below the control's
SURELY = 3.0  # and at least this many standard errors of the paired differences
SLOWER = 2.0  # a step that takes longer by this factor is named; beside others the same network took 1.3 times as long
BLOCKS = 10  # the last half of the training losses is compared in so many blocks
FURTHER = 1.5  # in spite of a finding a remedy relieves where the loss falls so many times as far as the control's
FAR = 2.0  # and where nothing was found it cures where the loss falls so many times as far
MUCH = 0.25  # or only this share of the control's is left; and by at least this share of the untrained loss
SOME = 0.1  # or by this one, where the control does not train at all
BOTTOMLESS = 10.0  # a loss that falls so many times its first size (or 1) below 0 has no lower bound, and says nothing
# What an audit of a trial does not see: only what treats it takes it away.
ASKED_BY_CHECK = {"mixed-examples", "sorted-batches"}
LITTLE = 1 / 3  # a network that learns so little may learn far better
BELOW = 0.98  # of the loss of chance: what lies above it is not below it, as for the rules (`learning.learns`)
FATAL = {"non-finite", "diverging"}
OF_THE_DATA = {"class-prior-only"}  # what may lie in the data, which no remedy changes

Pair = tuple[Course, Course, int]  # control, treated, and the number of steps after which they are compared


def judge(remedy: Remedy, problems: set[str], pairs: Sequence[Pair], *, relief: bool = False) -> Trial:
    """Return the verdict on a remedy, from one pair per seed.

    Cured means: the treated findings are gone (before the training as well, unless the remedy changes the training
    alone), no other came, the network trains by itself, and its held-back loss lies clearly (5 %) and surely (3 standard
    errors of the paired differences) below the control's. A network of few batches trains, too, that learns them by heart where the
    control learns nothing. Where nothing was found it falls twice as far as the control's, or to a
    quarter of it, and by a quarter of the untrained one. With `relief` a finding may remain or come, and is listed among the
    effects; then it falls half as far again, or to a quarter.
    """
    control, arm, _ = pairs[0]
    known = set.union(*(alarms(c.start) | alarms(c.end) for c, _, _ in pairs))
    first = set.union(*(alarms(a.start) for _, a, _ in pairs))
    later = set.union(*(alarms(a.end) for _, a, _ in pairs))
    counted = later if remedy.changes == "training" else first | later
    remaining = tuple(sorted((counted & problems) | ((ASKED_BY_CHECK & problems) - set(remedy.treats))))
    brought = tuple(sorted((first | later) - known - problems))
    outcome, reason = _relief(pairs, problems, remaining, brought) if relief else _verdict(pairs, remaining, brought)
    if outcome == "accepted" and not problems and not _far(pairs[0], FAR):
        outcome, reason = "refused", f"no rule says what is wrong, and it does not train far better: {reason}"
    trial = replace(
        shown(remedy, arm, outcome, reason),
        score=arm.score,
        seed_losses=tuple(a.losses for _, a, _ in pairs[1:]),
        remaining=remaining,
        brought=brought,
        seconds=sum(a.seconds for _, a, _ in pairs),
        seeds=len(pairs),
    )
    found = (*(f"{name} remains" for name in remaining), *(f"{name} comes with it" for name in brought))
    return replace(trial, effects=(*found, *side_effects(control, arm)) if outcome == "accepted" else ())


def shown(remedy: Remedy, arm: Course, outcome: Outcome, reason: str) -> Trial:
    """Return a trial with what was seen of its first arm."""
    profile = arm.start.profile
    return Trial(
        remedy=remedy.name,
        title=remedy.title,
        changes=remedy.changes,
        outcome=outcome,
        reason=reason,
        losses=tuple(arm.losses),
        held_back_loss=None if math.isnan(arm.mean()) else arm.mean(),
        reached=None if profile is None else profile.reached,
        layers=None if profile is None else len(profile.layers),
        seconds=arm.seconds,
        profile=profile,
    )


def closed(remedy: Remedy, outcome: Outcome, reason: str) -> Trial:
    """Return a trial that ended before anything was trained."""
    return Trial(remedy.name, remedy.title, remedy.changes, outcome, reason)


def side_effects(control: Course, arm: Course) -> tuple[str, ...]:
    """Return in words what a remedy costs: more parameters, a slower step."""
    said: list[str] = []
    more = arm.parameters - control.parameters
    if more:
        said.append(f"{abs(more):,} parameters {'more' if more > 0 else 'fewer'}")
    # Under a profiler's timer the processor's clock may stand still for a step.
    if arm.pace > SLOWER * control.pace > 0.0:
        said.append(f"a step takes {arm.pace / control.pace:.1f} times as long")
    return tuple(said)


def ahead(pair: Pair) -> bool:
    """Whether the treated network trains, and lies clearly and surely below the control at that number of steps."""
    return _verdict([pair], (), ())[0] == "accepted"


def _verdict(pairs: Sequence[Pair], remaining: Sequence[str], brought: Sequence[str]) -> tuple[Outcome, str]:
    control, arm, steps = pairs[0]
    broken = next((a for _, a, _ in pairs if not a.whole), None)
    if broken is not None:
        return "refused", f"training broke off at step {len(broken.losses)} with loss {broken.losses[-1]:.3g}"
    sign, size = "loss on held-back batches", f"{arm.mean(steps):.3g}"
    beside = all(c.whole and c.held_back_at(n) for c, _, n in pairs)
    size += f" against {control.mean(steps):.3g} untreated" if beside else ""
    if steps < len(control.losses):
        size += f" (after {steps} of {len(control.losses)} steps)"
    for whole in (a for _, a, n in pairs if len(a.losses) >= max(n, len(arm.losses))):
        if unsteady := wild(whole.losses, whole.mean(0)) or falls_back(whole.losses, _gains_from(control, whole)):
            return "refused", f"{unsteady}; {sign} {size}"
    if remaining:
        reach = arm.start.profile.reach if arm.start.profile is not None else "the network"
        return "refused", f"{', '.join(remaining)} remains: {reach}; {sign} {size}"
    if brought:
        return "refused", f"it brought {', '.join(brought)}; {sign} {size}"
    if bottomless(control.mean(0), _lowest(control)) or (arm.other_loss and _lowest(control) < 0.0 <= _lowest(arm)):
        return _without_bound(arm, steps, f"{sign} {size}")
    if bottomless(control.mean(0), _lowest(arm)):
        return "refused", f"it takes the loss below all bounds: {sign} {size}"
    for a, n in ((treated, count) for _, treated, first in pairs for count in (first, len(treated.losses))):
        if a.held_back_at(n) and not trains(a, n) and not by_heart(control, a, n):
            return "refused", f"it does not train: {sign} {a.mean(n):.3g} after {n} steps and {a.mean(0):.3g} before"
    if any(a.held_back_at(n) and not math.isfinite(a.mean(n)) for _, a, n in pairs):
        return "refused", f"{sign} {size}: it is not finite"
    if not beside:
        return "accepted", f"the untreated training broke off; {sign} {size}"
    gains = [c - a for con, tre, n in pairs for c, a in zip(con.held_back_at(n), tre.held_back_at(n), strict=True)]
    mean = sum(gains) / len(gains)
    if above := next(
        (f"{_end(a.losses[:n]):.3g} against {_end(c.losses[:n]):.3g}" for c, a, n in pairs if _trains_worse(c, a, n)),
        "",
    ):
        return (
            "refused",
            f"the training loss ends higher, at {above}: it is no better at what it is trained on; {sign} {size}",
        )
    if any(c.mean(n) - a.mean(n) <= CLEARLY * abs(c.mean(n)) for c, a, n in pairs):
        return "refused", f"no clear improvement: {sign} {size}"
    if _flat(pairs) and min(gains) >= 0.0 and max(gains) > 0.0 and all(descends(a.losses[:n]) for _, a, n in pairs):
        return (
            "accepted",
            f"the loss as it was is flat; the one in its place falls to {arm.losses[steps - 1]:.3g}; {sign} {size}",
        )
    error = _standard_error(gains)
    if error > 0.0 and not _sure(pairs, gains) and not all(_faster(pair) for pair in pairs):
        return "refused", f"not sure enough: {sign} {size}, improvement {mean:.2g} +- {error:.2g}"
    return "accepted", f"{sign} {size}" + (f", improvement {mean:.2g} +- {error:.1g}" if error > 0.0 else "")


def _trains_worse(control: Course, arm: Course, steps: int) -> bool:
    """Whether the training loss ends clearly above the control's on the same batches, and not clearly below that of the untrained weights.

    A control that learns its batches by heart may lie below one that learns what they have in common.
    """
    if arm.other_loss or min(len(control.losses), len(arm.losses)) < steps:
        return False
    end, other, first = _end(arm.losses[:steps]), _end(control.losses[:steps]), _beginning(control, arm)
    return end > other + CLEARLY * abs(other) and end > first - CLEARLY * abs(first)


def _end(losses: Sequence[float]) -> float:
    """Return the mean of the last fifth."""
    part = max(1, len(losses) // 5)
    return sum(losses[-part:]) / part


def _flat(pairs: Sequence[Pair]) -> bool:
    """Whether a remedy changes a loss that stands, untreated, where it stood on every batch: it has no slope to say more by."""
    return all(a.other_loss and c.held_back_at(n) == c.held_back_at(0) for c, a, n in pairs)


def _relief(
    pairs: Sequence[Pair], problems: set[str], remaining: Sequence[str], brought: Sequence[str]
) -> tuple[Outcome, str]:
    outcome, reason = _verdict(pairs, (), ())
    cleared = not (remaining or brought) and bool(problems - OF_THE_DATA)
    if cleared and outcome == "refused" and all(_only_by_heart(*pair) for pair in pairs):
        control, arm, steps = pairs[0]
        ends = f"{_end(arm.losses[:steps]):.3g} against {_end(control.losses[:steps]):.3g} untreated"
        back = f"{arm.mean(steps):.3g} against {control.mean(steps):.3g}"
        return (
            "accepted",
            f"it trains, if only by heart, and lacks examples: training loss {ends}, on held-back batches {back}",
        )
    if outcome != "accepted" or not FATAL.isdisjoint((*remaining, *brought)) or not _far(pairs[0], FURTHER):
        return _verdict(pairs, remaining, brought)
    return outcome, reason


def _far(pair: Pair, times: float) -> bool:
    """Whether the loss falls so many times as far as the control's, or to `MUCH` of it; by `MUCH` of the untrained loss in any case.

    `SOME` of it is enough where the control does not train. A loss that begins above chance, or above that of the remedy, counts from there.
    """
    control, arm, steps = pair
    after, other, first = arm.mean(steps), control.mean(steps), _beginning(control, arm)
    if not math.isfinite(first) or bottomless(first, after):
        return False
    bounded = control.whole and math.isfinite(other) and not bottomless(first, other)
    untreated = max(first - other, 0.0) if bounded else 0.0
    further = first - after >= times * untreated or 0.0 <= after <= MUCH * other
    learns = bounded and untreated >= CLEARLY * abs(first)
    return further and first - after >= (MUCH if learns else SOME) * abs(first)


def deep(control: Course, arm: Course, *, left: float = MUCH) -> bool:
    """Whether only that share is left of the loss at the beginning: how far that network trains is no luck of a seed."""
    return 0.0 <= arm.mean() <= left * _beginning(control, arm)


def wavers(control: Course, arm: Course) -> bool:
    """Whether a training lost again a share of what it gained on its way, so that other seeds are trained to the end as well."""
    return falters(arm.losses, _gains_from(control, arm), deep=deep(control, arm))


def _gains_from(control: Course, arm: Course) -> float:
    """Return the loss from which the gain counts; infinite where another loss is trained, which does not compare with the user's."""
    return math.inf if arm.other_loss else _beginning(control, arm)


def _beginning(control: Course, arm: Course) -> float:
    """Return the loss of the untrained weights, untreated or treated, or of chance, whichever is lowest; nan where none is finite."""
    begin = [control.mean(0), arm.mean(0), math.inf if control.chance is None else control.chance]
    return min((loss for loss in begin if math.isfinite(loss)), default=math.nan)


def _without_bound(arm: Course, steps: int, size: str) -> tuple[Outcome, str]:
    """Judge a remedy of a loss that falls below 0: another one, which does not, falls by itself, or this one settles above 0."""
    if arm.other_loss and descends(arm.losses[:steps]):
        return (
            "accepted",
            f"the loss as it was has no lower bound; the one in its place falls to {arm.losses[steps - 1]:.3g}",
        )
    if arm.other_loss or arm.mean(steps) < 0.0 or not _settles(arm.losses[:steps]):
        return "refused", f"the loss has no lower bound: {size}"
    trained = trains(arm, steps)
    return (
        ("accepted", f"the untreated loss has no lower bound; {size}")
        if trained
        else ("refused", f"it does not train: {size}")
    )


def _lowest(course: Course) -> float:
    return min(loss for loss in (*course.losses, math.inf) if not math.isnan(loss))


def _settles(losses: Sequence[float]) -> bool:
    """Whether the second half of the steps lowers the loss by at most half as much as the first: what is only slower goes on."""
    part = max(1, len(losses) // 5)
    middle = len(losses) // 2
    first, half, last = (
        sum(piece) / len(piece) for piece in (losses[:part], losses[middle : middle + part], losses[-part:])
    )
    return half - last <= 0.5 * (first - half)


def bottomless(first: float, after: float) -> bool:
    """Whether a loss has fallen so far below 0 that it can have no lower bound."""
    return after < -BOTTOMLESS * max(abs(first), 1.0)


def trains(arm: Course, steps: int) -> bool:
    """Whether the held-back loss lies clearly below that of the untrained weights, and below chance or the training loss does.

    Where the untrained loss is not finite, the training loss falls.
    """
    before, after = arm.mean(0), arm.mean(steps)
    if ignorant(arm, steps):
        return False
    if math.isfinite(before):
        return after < before - CLEARLY * abs(before)
    return descends(arm.losses[:steps], by=0.0)


def by_heart(control: Course, arm: Course, steps: int) -> bool:
    """Whether a treated network learns its batches, if not the held-back ones, of which it lacks examples, and the control learns neither."""
    part = max(1, steps // 5)

    def left(losses: Sequence[float]) -> float:
        first, last = sum(losses[:part]), sum(losses[steps - part : steps])
        return last / first if first > 0.0 and math.isfinite(last) else math.inf

    return len(control.losses) >= steps and left(arm.losses) <= MUCH and left(control.losses) >= 1.0 - MUCH


def _only_by_heart(control: Course, arm: Course, steps: int) -> bool:
    """Whether a network whose findings are gone learns its batches alone, steadily, by the user's own loss; the control little of either."""
    steady = arm.whole and not arm.other_loss and not wild(arm.losses, arm.mean(0))
    known = math.isfinite(arm.mean(steps)) and not control.mean(0) - control.mean(steps) >= LITTLE * abs(
        control.mean(0)
    )
    return known and steady and by_heart(control, arm, steps) and not bottomless(arm.mean(0), _lowest(arm))


def learns(control: Course) -> bool:
    """Whether a network trains to the end of its steps: its loss falls on the held-back batches, or on the others.

    One that runs away below 0 says nothing of it.
    """
    steps = len(control.losses)
    if bottomless(control.mean(0), control.mean()) or not control.whole:
        return False
    return trains(control, steps) or (descends(control.losses) and not ignorant(control, steps))


def learns_little(control: Course) -> bool:
    """Whether a network does not train, or its loss falls by less than `LITTLE` of its size, held back and in training.

    One that learns its batches and not the held-back ones lacks examples: its gradient does what it should.
    """
    if not learns(control):
        return True
    count = ends(len(control.losses))
    before, after = sum(control.losses[:count]), sum(control.losses[-count:])
    little = control.mean(0) - control.mean() < LITTLE * abs(control.mean(0))
    return little and before - after < LITTLE * abs(before)


def ignorant(arm: Course, steps: int) -> bool:
    """Whether neither the held-back nor the training loss lies below that of chance, where it is known.

    A loss that began above it and falls to it has lost its first answers, and learned nothing of the inputs.
    """
    part = max(1, steps // 5)
    return (
        arm.chance is not None
        and min(arm.mean(steps), sum(arm.losses[steps - part : steps]) / part) > BELOW * arm.chance
    )


def descends(losses: Sequence[float], *, by: float = CLEARLY) -> bool:
    """Whether the last fifth of the losses lies below the first, by a share of its size."""
    part = max(1, len(losses) // 5)
    first, last = sum(losses[:part]), sum(losses[-part:])
    return last < first - by * abs(first)


def _sure(pairs: Sequence[Pair], gains: Sequence[float]) -> bool:
    """Whether the paired gains lie `SURELY` standard errors above 0 in logarithms where every loss is positive, or all have one sign.

    A few batches on which the untreated network is far off rule the spread of the differences, not that of the ratios.
    """
    both = [(c, a) for con, tre, n in pairs for c, a in zip(con.held_back_at(n), tre.held_back_at(n), strict=True)]
    gains = _logarithms(both) or gains
    if sum(gains) / len(gains) >= SURELY * _standard_error(gains):
        return True
    # Exact sign test at the same level: effects of one sign but unlike size are sure, though their mean is not.
    positive = sum(gain > 0.0 for gain in gains)
    chance = sum(math.comb(len(gains), k) for k in range(positive, len(gains) + 1)) / 2.0 ** len(gains)
    return chance < 0.5 * math.erfc(SURELY / math.sqrt(2.0))


def _faster(pair: Pair) -> bool:
    """Whether the training loss of the second half lies surely below the control's on the same batches, in blocks of steps."""
    control, arm, steps = pair
    size = steps // 2 // BLOCKS
    if size < 1 or len(control.losses) < steps or arm.other_loss:
        return False
    starts = [steps - size * (index + 1) for index in range(BLOCKS)]
    both = [(sum(control.losses[s : s + size]), sum(arm.losses[s : s + size])) for s in starts]
    gains = _logarithms(both) or [c - a for c, a in both]
    return sum(gains) / BLOCKS >= SURELY * _standard_error(gains)


def _logarithms(both: Sequence[tuple[float, float]]) -> list[float]:
    """Return the logarithms of the ratios, in which a few spikes do not rule; none where a loss is not positive."""
    if not all(0.0 < c < math.inf and 0.0 < a < math.inf for c, a in both):
        return []
    return [math.log(c / a) for c, a in both]


def _standard_error(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
