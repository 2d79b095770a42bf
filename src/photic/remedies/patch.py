"""The patch: an accepted prescription as a unified diff of the user's own source, or as lines to paste."""

from __future__ import annotations

import difflib
import inspect
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import libcst as cst
from torch import nn

from photic.records.runs import Run
from photic.remedies.around import setup_lines
from photic.remedies.constructions import CLASSES, made, other_class
from photic.remedies.edits import Insertion, KeyEdit, ReferenceEdit, with_torch
from photic.remedies.lines import weight_lines
from photic.remedies.measured_lines import measured_lines
from photic.remedies.planning import planned
from photic.remedies.prescription import Prescription
from photic.remedies.rewrites import OF_TORCH, Rewrite, normal_form, rewrites_of
from photic.remedies.source import NoPlace, Source

# What of a prescription is written into the source, and where; with anything else in it, it is given as lines to paste.
_AT_SITES = {
    "activations", "removed", "normalised", "normalisation", "factors", "straight", "epsilons", "dropped", "squeezed", "pathwise",
    "slopes", "guards", "denominators", "axes", "logarithms", "balance", "goals", "turned_masks", "unaligned",
    "rows_first", "channels_last", "channels_first", "logged", "magnitudes", "rounded", "bent",
    "skips", "branched", "put_in",
}  # fmt: skip
_AT_THE_END = {"scheme", "layers", "recurrence", "longest", "fresh", "loops", "constants", "scaled", "frozen"}
_WHERE_MADE = {
    "rate",
    "settings",
    "adam",
    "owned",
    "batch_first",
    "gated",
    "registered",
    "recomputed",
    "precision",
    "blocks",
    "relisted",
}


def write_patch(
    prescription: Prescription, run: Run, build: Any, model: nn.Module, optimizer: Any = None
) -> tuple[str, str]:
    """Return (patch, paste): a unified diff against the working directory, or else the lines to paste.

    Patched are the lines that make the sites and those that make the optimizer and layers; initial weights are drawn at the end of
    the `__init__` of the model's class, or of the function that builds the model where the class is torch's own. All must stand
    in one file. Exactly one of the two is not ''.

    Args:
        prescription: what is changed.
        run: the untreated network.
        build: builds the model.
        model: the treated model.
        optimizer: what makes the optimizer, where that is a function.
    """
    try:
        return _diff(*_edited(prescription, run, build, model, optimizer)), ""
    except NoPlace:
        return "", pasted(prescription, run)


def _edited(prescription: Prescription, run: Run, build: Any, model: nn.Module, optimizer: Any) -> tuple[str, str, str]:
    """Return the source before and after, and its path.

    Raises:
        NoPlace: where no one file takes all of it.
    """
    p = prescription
    asked = {part.name for part in fields(p) if getattr(p, part.name) != getattr(Prescription(), part.name)}
    if asked - _AT_SITES - _AT_THE_END - _WHERE_MADE - {"why", "mends"} or (
        p.normalised and p.normalisation == "batch"
    ):
        raise NoPlace("not a change of the source")
    if any(isinstance(model.get_submodule(name), nn.ModuleList) for name, _, _ in p.put_in):
        raise NoPlace("a list of modules is called one by one")
    rewrites = rewrites_of(p, run)
    files = {run.site(name).where.rpartition(":")[0] for name in rewrites if not _made_by_module(p, run, name)}
    place = _place(build, model)
    if (p.drawn or p.scheme) and place is not None:
        files.add(place[0])
    if len({os.path.realpath(file) for file in files}) > 1:
        raise NoPlace("in several files")
    within = {getattr(inspect.unwrap(one), "__name__", "") for one in (build, optimizer) if callable(one)}
    within |= {type(module).__name__ for module in model.modules()}
    makers = [file for file in map(_source_file, (build, optimizer, type(model))) if file is not None]
    reason: Exception = NoPlace("no source file")
    likely = [place[0], *makers] if place is not None else makers
    for path in dict.fromkeys([*files] or likely):
        if not path or not Path(path).is_file():
            continue
        before = Path(path).read_text(encoding="utf-8")
        try:
            after = _patched(before, place, p, rewrites, run, model, within)
        except NoPlace as error:
            reason = error
            continue
        if after != before:
            return before, after, path
    raise reason


def patched(patch: str, folder: str | os.PathLike[str] = ".") -> tuple[Path, str]:
    """Return the file that a patch made by `write_patch` is for, and its text with the patch applied; nothing is written.

    Raises:
        ValueError: if the patch is empty, or the file has changed since it was made.
    """
    lines = patch.splitlines(keepends=True)
    if len(lines) < 3 or not lines[1].startswith("+++ "):
        raise ValueError("there is no patch to apply")
    name = lines[1][4:].strip()
    path = Path(folder) / (name.removeprefix("b/") if name.startswith("b/") else name)
    before = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return path, "".join(_applied(before, lines[2:], path))


def apply_patch(patch: str, folder: str | os.PathLike[str] = ".") -> Path:
    """Apply a patch made by `write_patch`, keep the old file beside it as `NAME.orig`, and return the file's path.

    Raises:
        ValueError: if the patch is empty, or the file has changed since it was made; then nothing is written.
    """
    path, after = patched(patch, folder)
    path.with_name(path.name + ".orig").write_bytes(path.read_bytes())
    path.write_text(after, encoding="utf-8")
    return path


def _applied(before: list[str], hunks: list[str], path: Path) -> list[str]:
    after: list[str] = []
    position = 0
    for line in hunks:
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0].removeprefix("-"))
            start -= 0 if line.split()[1].endswith(",0") else 1
            after += before[position:start]
            position = start
        elif line.startswith("+"):
            after.append(line[1:])
        elif line.startswith((" ", "-")):
            if position >= len(before) or before[position] != line[1:]:
                raise ValueError(
                    f"{path} has changed since the patch was made (line {position + 1}); nothing was written. "
                    "Run the treatment again"
                )
            if line.startswith(" "):
                after.append(before[position])
            position += 1
    return after + before[position:]


def _place(build: Any, model: nn.Module) -> tuple[str, str, str] | None:
    """Return file, 'class' or 'function', and name of what the weights' initialisation belongs to."""
    for kind in type(model).__mro__:  # the class that makes the layers may be one that the model's inherits from
        if kind.__module__.startswith("torch."):
            break
        if "__init__" in vars(kind):
            path = _source_file(kind)
            return None if path is None or "." in kind.__qualname__ else (path, "class", kind.__name__)
    build = inspect.unwrap(build) if callable(build) else build
    if inspect.isfunction(build) and build.__name__ != "<lambda>":
        path = _source_file(build)
        return None if path is None else (path, "function", build.__name__)
    return None


def _source_file(thing: Callable[..., Any] | type) -> str | None:
    try:
        path = inspect.getsourcefile(thing)
    except TypeError:
        return None
    return path if path is not None and Path(path).is_file() else None


def _patched(
    text: str,
    place: tuple[str, str, str] | None,
    prescription: Prescription,
    rewrites: dict[str, Rewrite],
    run: Run,
    model: nn.Module,
    within: set[str],
) -> str:
    """Return the changed source; `place` is where weights may be drawn.

    Raises:
        NoPlace: where a part of the prescription has no place in this file.
    """
    source = Source.of(text)
    plan = made(source, prescription, run.optimizer, model, within)
    by_module = {name for name in rewrites if _made_by_module(prescription, run, name)}
    for operation in {run.site(name).operation for name in by_module}:
        same = {s.name for s in run.sites if s.operation == operation and s.module_type and "/" not in s.name}
        if same - by_module:
            raise NoPlace("a module of the same class must stay")
    becomes = next(iter(_become(prescription)), "")
    if by_module and len(_become(prescription)) > 1:
        raise NoPlace("modules of several kinds become several others")
    try:
        for operation in {run.site(name).operation for name in by_module}:
            plan |= other_class(source, operation, becomes)
        plan |= planned(source, {name: one for name, one in rewrites.items() if name not in by_module}, run)
        tree = source.changed(plan, "" if prescription.drawn or prescription.scheme else prescription.why)
    except NoPlace as reason:
        tree = _referred(source.module, prescription, rewrites, run)
        if tree is None:
            raise reason
    if prescription.drawn or prescription.scheme:
        if place is None:
            raise NoPlace("the model is built by no function or class of a file")
        _, owner, name = place
        insertion = Insertion(
            owner, name, type(model).__name__, lambda variable: _lines(prescription, run, model, variable)
        )
        tree = tree.visit(insertion)
        if not insertion.done:
            raise NoPlace("no constructor in this file")
    return with_torch(tree).code


def _lines(prescription: Prescription, run: Run, model: nn.Module, variable: str) -> list[str]:
    """Return the lines that draw weights, the reason above them."""
    measured = measured_lines(prescription, run, model, variable) if prescription.scheme else []
    given = weight_lines(prescription, run, variable) if prescription.drawn else []
    return [*measured, *given[bool(measured) :]]


def _made_by_module(prescription: Prescription, run: Run, name: str) -> bool:
    """Whether a site is changed where its module is made: `nn.Sigmoid()`."""
    p = prescription
    changed = any(name in names for names in (p.activations, p.removed, p.logarithms, p.logged))
    site = run.site(name)
    return changed and bool(site.module_type) and "/" not in name and site.operation in CLASSES


def _become(p: Prescription) -> set[str]:
    """Return what functions that are called by name become."""
    return {
        *p.activations.values(),
        *(["cross_entropy"] if p.logarithms else []),
        *(["log_softmax"] if p.logged else []),
    }


def _referred(tree: cst.Module, p: Prescription, rewrites: dict[str, Rewrite], run: Run) -> cst.Module | None:
    """Return the source with another function where it is handed on or looked up by name; None unless at one place, and all of it."""
    becomes = _become(p)
    operations = {run.site(name).operation for name in rewrites}
    if (
        len(operations) != 1
        or len(becomes) != 1
        or len(rewrites) != len(p.activations) + len(p.logarithms) + len(p.logged)
    ):
        return None
    (operation,), (other,) = operations, becomes
    for edit in (ReferenceEdit(operation, other), KeyEdit(tree, operation, other)):
        edited = tree.visit(edit)
        if edit.made == 1:
            return edited
    return None


def pasted(prescription: Prescription, run: Run) -> str:
    """Return the lines to paste, each with the place that it is for."""
    said = [f"# {prescription.why}", *setup_lines(prescription)]
    for name, operation in prescription.activations.items():
        said.append(f"# {name}: call torch.{'' if operation in OF_TORCH else 'nn.functional.'}{operation} here")
    if prescription.normalisation != "batch":
        said += [
            f"# {name}: call it on {normal_form('x', prescription.normalisation, maps=_of_maps(run, name))}"
            for name in prescription.normalised
        ]
    said += [f"# {name}: leave it out" for name in prescription.removed]
    if prescription.drawn:
        said += weight_lines(prescription, None, "model")[1:]
    places = {site.name: site.where for site in run.sites if site.where}
    return "\n".join(_once([_placed(line, places) for line in said])) + "\n"


def _of_maps(run: Run, name: str) -> bool:
    """Whether a site gives maps; one that is there once another remedy has put it there is as the others of its module."""
    module = name.partition("/")[0]
    alike = [site.shape for site in run.sites if site.name.partition("/")[0] == module]
    return any(len(shape) >= 4 for shape in [site.shape for site in run.sites if site.name == name] or alike)


def _once(lines: list[str]) -> list[str]:
    """Say once what comes again for each turn of a loop: comments one after the other that differ in the numbers of their sites alone."""
    said: list[str] = []
    for _, group in itertools.groupby(lines, lambda line: re.sub(r"#\d+", "", line) if line.startswith("# ") else line):
        first, *more = group
        if more and first.startswith("# "):
            said.append(f"{first}  # and {len(more)} times more, at each turn")
        else:
            said += [first, *more]
    return said


def _placed(line: str, places: dict[str, str]) -> str:
    """Return a comment that begins with a site's name with the site's line in the source after the name."""
    name, colon, rest = line.removeprefix("# ").partition(": ")
    where = places.get(name, "") if line.startswith("# ") and colon else ""
    path, _, number = where.rpartition(":")
    return f"# {name} ({os.path.relpath(path)}:{number}): {rest}" if path and Path(path).is_file() else line


def _diff(before: str, after: str, path: str) -> str:
    shown = os.path.relpath(path)
    outside = shown.startswith("..")
    old, new = (path, path) if outside else (f"a/{shown}", f"b/{shown}")
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), old, new)
    return "".join(lines)
