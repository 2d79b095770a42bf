"""A case: a network with a known disease, or with none, that trains in seconds; and the register of all of them."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from photic.checkups.setup import Setup
from photic.records.vocabulary import PROBLEMS

Part = Literal["tuning", "held-out"]
Build = Callable[..., Setup]

CURED = "-cured"
_REGISTERED: dict[str, Case] = {}


@dataclass(frozen=True)
class Case:
    """One network of the clinic.

    Attributes:
        name: unique; a case that ends in `-cured` is the sick one of that name with one thing put right.
        label: the problem it has, one of `PROBLEMS`; empty if it is healthy.
        root: the site or module where the cause lies; empty if it is no single place.
        sick: whether it has a problem.
        build: `build(seed)` returns the set-up; the same for the same seed, and no global generator is touched.
        steps: training steps after which it was judged, at most 300.
        fixes: what cures it; any one is enough.
        part: rules may be tuned on `tuning` alone.
        source: where the case comes from.
        why: what is wrong (or only looks so), and what was measured with seeds 0, 1 and 2.
    """

    name: str
    label: str
    root: str
    sick: bool
    build: Callable[[int], Setup]
    steps: int
    fixes: tuple[str, ...]
    part: Part
    source: str
    why: str


def part_of(name: str, module: str) -> Part:
    """Return the part of a case that stands in `module`.

    Modules `cases_sealed_*` were written without knowledge of the rules; one quarter of their cases is held out, the others were
    opened after their first score was taken. Those named `cases_opened_*` were so once; all their cases have been looked at.
    Elsewhere one in three is held out. Quarters and thirds go by the SHA-256 of the name. A cured twin falls into the part of
    its sick case, so that nothing is learned about one from the other.
    """
    file = module.rpartition(".")[2]
    if file.startswith("cases_opened_"):
        return "tuning"
    number = int.from_bytes(hashlib.sha256(name.removesuffix(CURED).encode()).digest()[:8], "big")
    return "held-out" if number % (4 if file.startswith("cases_sealed_") else 3) == 0 else "tuning"


def case(
    name: str,
    *,
    why: str,
    source: str,
    steps: int,
    label: str = "",
    root: str = "",
    fixes: tuple[str, ...] = (),
) -> Callable[[Build], Build]:
    """Register the builder below as a case; the builder itself is returned as it is.

    Raises:
        ValueError: if the name is taken, the label is no known problem, or a sick case names no fix.
    """
    if name in _REGISTERED:
        raise ValueError(f"there are two cases named {name!r}; give one of them another name")
    if label and label not in PROBLEMS:
        raise ValueError(f"case {name!r} has the label {label!r}, which is none of the known problems")
    if bool(label) != bool(fixes):
        raise ValueError(
            f"case {name!r} has label {label!r} and fixes {fixes}; a sick case needs both, a healthy one none"
        )

    def mark(build: Build) -> Build:
        def seeded_build(seed: int) -> Setup:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return build(seed)

        part = part_of(name, getattr(build, "func", build).__module__)
        _REGISTERED[name] = Case(name, label, root, bool(label), seeded_build, steps, fixes, part, source, why)
        return build

    return mark


def cured(name: str, *, why: str) -> Callable[[Build], Build]:
    """Register the builder below as the cured twin of a sick case: healthy, with the same source and steps.

    Raises:
        KeyError: if there is no such case yet.
    """
    sick = _REGISTERED[name]
    return case(name + CURED, why=why, source=sick.source, steps=sick.steps)


def cases() -> tuple[Case, ...]:
    """Return every case of the clinic, by name."""
    folder: Any = importlib.import_module("photic.lab.clinic")
    for info in pkgutil.iter_modules(folder.__path__, prefix="photic.lab.clinic."):
        if info.name.rpartition(".")[2].startswith("cases_"):
            importlib.import_module(info.name)
    return tuple(_REGISTERED[name] for name in sorted(_REGISTERED))
