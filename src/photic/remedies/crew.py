"""The crew: arms at work side by side, each in a process of its own, and what they did kept on disk where that is asked.

A process is forked, so it has the user's set-up as it stands in memory, and computes with one thread: no arm's numbers
depend on how many work at once. Where forking is not possible (no such call, a GPU in use) the arms work in turn, here.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import torch
from torch import nn

from photic.remedies.arms import Arm, Score
from photic.remedies.course import Course
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.shelf import Shelf

BRIEF = 0.5  # seconds of training; with two cores forks then take about as long as they save
LARGE = 20_000_000  # from so many parameters on torch's own threads do more than processes beside each other


@dataclass(eq=False)
class Member:
    """One arm at work.

    Attributes:
        name: of the remedy and the seed, for people.
        course: what was seen of it so far; None before the first work.
        failure: why it failed, '' when it did not.
    """

    name: str
    prescription: Prescription | None
    seed: int
    course: Course | None = None
    failure: str = ""
    hands: Hands | None = None

    @property
    def seen(self) -> Course:
        """What was seen of it.

        Raises:
            RuntimeError: if it has not worked, or failed.
        """
        if self.course is None:
            raise RuntimeError(self.failure or f"{self.name} has not been trained")
        return self.course


@dataclass(frozen=True)
class Order:
    """Train a member until `steps` are done in all; `judged` asks for the diagnosis at the end and the score."""

    member: Member
    steps: int
    judged: bool = False


class Hands(Protocol):
    """Where an arm lives."""

    def begin(self, order: Order) -> Any:
        """Begin the work and return what to wait for; None when it is done already."""
        ...

    def finish(self) -> tuple[Course | None, str]:
        """Return the course, or None and why it failed."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class Crew:
    """All arms of one treatment.

    Args:
        material: what all arms are made from.
        rungs: numbers of steps at which the held-back loss is taken.
        score: the user's, more is better.
        at_once: how many may work at the same time; 1 works in this process.
        shelf: where courses are kept; None keeps none.
        told: told the names of those at work whenever they change.
        over: asked before work is begun; True leaves it undone.
    """

    def __init__(
        self,
        material: Material,
        rungs: Sequence[int],
        score: Score | None,
        *,
        at_once: int = 1,
        shelf: Shelf | None = None,
        told: Callable[[str], None] = lambda _: None,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.material, self.rungs, self.score = material, tuple(rungs), score
        self.at_once, self.shelf, self.told, self.over = at_once, shelf, told, over
        self.members: list[Member] = []
        self.apart = 0  # training steps that were made beside the arms

    @property
    def trained(self) -> int:
        """Training steps so far: of all arms, those of range tests included, and beside them."""
        return self.apart + sum(len(m.course.losses) + m.course.searched for m in self.members if m.course is not None)

    def enlist(self, name: str, prescription: Prescription | None, seed: int) -> Member:
        """Return a new member; it is made when it is first put to work."""
        self.members.append(Member(name, prescription, seed))
        return self.members[-1]

    def work(self, *orders: Order) -> None:
        """Carry out the orders, in this order where they cannot all be at work; a member that failed is passed over."""
        waiting = [order for order in orders if not order.member.failure and not self._known(order)]
        busy: dict[Any, Order] = {}
        while waiting or busy:
            while waiting and len(busy) < self.at_once and not self.over():
                order = waiting.pop(0)
                self.told(", ".join(dict.fromkeys(o.member.name for o in (*busy.values(), order))))
                waited_for = self._hands(order.member).begin(order)
                if waited_for is None:
                    self._finish(order)
                else:
                    busy[waited_for] = order
            if not busy:
                break
            for ready in wait(list(busy)):
                self._finish(busy.pop(ready))

    def release(self, *members: Member) -> None:
        """Let go of the members' models; what was seen of them stays."""
        for member in members:
            if member.hands is not None:
                member.hands.close()
                member.hands = None

    def close(self) -> None:
        """Let go of all."""
        self.release(*self.members)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known(self, order: Order) -> bool:
        """Whether the work was done, now or by an earlier call whose courses were kept."""
        member, course = order.member, order.member.course
        judged = course is None or not order.judged or course.end is not None or not course.whole
        if course is not None and judged and (len(course.losses) >= order.steps or not course.whole):
            return True
        found = None if self.shelf is None else self.shelf.read(order.member.prescription, member.seed, order)
        if found is not None:
            member.course = found
        return found is not None

    def _hands(self, member: Member) -> Hands:
        if member.hands is None:
            made = _Forked if self.at_once > 1 else _Here
            member.hands = made(self.material, member.prescription, member.seed, self.rungs, self.score)
        return member.hands

    def _finish(self, order: Order) -> None:
        member = order.member
        assert member.hands is not None
        course, member.failure = member.hands.finish()
        if course is None:
            self.release(member)
            return
        member.course = course
        if self.shelf is not None:
            self.shelf.write(member.prescription, member.seed, order, course)


def at_once(model: nn.Module, asked: int | None, seconds: Callable[[], float] = lambda: math.inf) -> int:
    """Return how many arms may work at the same time: what was asked, else one per core where that is possible and pays.

    An arm that trains for less than `BRIEF` seconds costs less than the process that it would work in; how long it trains is measured
    only where that decides.
    """
    if not hasattr(os, "fork") or torch.cuda.is_initialized() or asked == 1:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked is not None:
        return max(1, asked)
    parameters = list(model.parameters())
    if sum(p.numel() for p in parameters) > LARGE or any(p.device.type != "cpu" for p in parameters):
        return 1
    return 1 if cores > 1 and seconds() < BRIEF else cores


class _Here:
    """An arm in this process."""

    def __init__(self, *given: Any) -> None:
        *self.given, self.score = given
        self.arm: Arm | None = None
        self.done: tuple[Course | None, str] = (None, "")

    def begin(self, order: Order) -> None:
        try:
            self.arm = self.arm or Arm(*self.given)
            self.done = self.arm.advance(order.steps, score=self.score, judged=order.judged), ""
        except Exception as error:
            self.done = None, f"{type(error).__name__}: {error}"

    def finish(self) -> tuple[Course | None, str]:
        return self.done

    def close(self) -> None:
        self.arm = None


class _Forked:
    """An arm in a forked process."""

    def __init__(self, *given: Any) -> None:
        context: Any = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.connection, *given), daemon=True)
        with warnings.catch_warnings():
            # Python 3.12 warns of other threads at a fork; the child runs none of their code and takes none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        theirs.close()

    def begin(self, order: Order) -> Connection:
        with contextlib.suppress(BrokenPipeError):  # `finish` says that it ended
            self.connection.send((order.steps, order.judged))
        return self.connection

    def finish(self) -> tuple[Course | None, str]:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            return None, f"the process of this arm ended by itself with exit code {self.process.exitcode}"

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, parents: Connection, *given: Any) -> None:
    """Do what comes through the connection until it is closed."""
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted and closes the connection
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    torch.set_num_threads(1)  # after a fork torch's thread pool is not there
    hands = _Here(*given)
    order = Order(Member("", None, 0), 0)
    while True:
        try:
            steps, judged = connection.recv()
        except (EOFError, ConnectionError):
            return
        hands.begin(Order(order.member, steps, judged))
        connection.send(hands.finish())
