"""The patch: an accepted prescription as a unified diff of the user's own source, or as lines to paste."""

from __future__ import annotations

import difflib
import inspect
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper
from torch import nn

from photic.records.runs import Run
from photic.remedies.around import setup_lines
from photic.remedies.edits import OF_TORCH, ActivationEdit, ImportTorch, Insertion, KeyEdit, ReferenceEdit
from photic.remedies.lines import weight_lines
from photic.remedies.prescription import Prescription


def write_patch(prescription: Prescription, run: Run, build: Any, model: nn.Module) -> tuple[str, str]:
    """Return (patch, paste): a unified diff against the working directory, or else the lines to paste.

    Patched are the lines that call the activation, and the `__init__` of the model's class, or the function that
    builds the model where the class is torch's own. Exactly one of the two is not ''.
    """
    if setup_lines(prescription):  # no line of the model says it
        return "", pasted(prescription, run)
    target = _place(build, model) or _lines_of(prescription, run)
    if target is not None and not prescription.drawn:
        target = _lines_of(prescription, run) or target
    if target is not None:
        path, owner, name = target
        before = Path(path).read_text(encoding="utf-8")
        after = _patched(before, path, owner, name, prescription, run)
        if after is not None and after != before:
            return _diff(before, after, path), ""
    return "", pasted(prescription, run)


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


def _lines_of(prescription: Prescription, run: Run) -> tuple[str, str, str] | None:
    """Return the one file in which all changed calls stand."""
    wanted = [*prescription.activations, *prescription.normalised, *prescription.removed]
    files = {run.site(name).where.rpartition(":")[0] for name in wanted}
    path = files.pop() if len(files) == 1 else ""
    return (path, "", "") if path and Path(path).is_file() else None


def _source_file(thing: Callable[..., Any] | type) -> str | None:
    try:
        path = inspect.getsourcefile(thing)
    except TypeError:
        return None
    return path if path is not None and Path(path).is_file() else None


def _patched(text: str, path: str, owner: str, name: str, prescription: Prescription, run: Run) -> str | None:
    """Return the changed source; None where a part of the prescription has no place in this file."""
    tree = cst.parse_module(text)
    wanted = [*prescription.activations, *prescription.normalised, *prescription.removed]
    if wanted:
        edit = _activation_edit(prescription, run, path, wanted)
        if edit is None:
            return None
        edited = MetadataWrapper(tree).visit(edit)
        if not edit.complete:
            edited = _referred(tree, edit.operation, edit.becomes) if edit.becomes in OF_TORCH else None
            if edited is None:
                return None
        tree = edited
    if prescription.drawn:
        insertion = Insertion(owner, name, lambda variable: weight_lines(prescription, run, variable))
        tree = tree.visit(insertion)
        if not insertion.done:
            return None
    return tree.visit(ImportTorch()).code


def _activation_edit(prescription: Prescription, run: Run, path: str, wanted: list[str]) -> ActivationEdit | None:
    lines: set[int] = set()
    operations: set[str] = set()
    modules = False
    for name in wanted:
        site = run.site(name)
        file, _, line = site.where.rpartition(":")
        operations.add(site.operation)
        if site.module_type and "/" not in name:
            modules = True  # nn.Sigmoid(): changed where it is made
        elif not file or not Path(file).exists() or not os.path.samefile(file, path):  # noqa: PTH121
            return None
        else:
            lines.add(int(line))
    if len(operations) != 1:
        return None
    left_alone = [s for s in run.sites if s.operation in operations and s.phase == "model" and s.name not in wanted]
    if any(modules or int(site.where.rpartition(":")[2] or 0) in lines for site in left_alone):
        return None  # one line or class serves a site that must stay
    becomes = next(iter(set(prescription.activations.values())), "")
    return ActivationEdit(operations.pop(), becomes, lines, modules, normalise=bool(prescription.normalised))


def _referred(tree: cst.Module, operation: str, becomes: str) -> cst.Module | None:
    """Return the source with another activation where it is handed on or looked up by name; None unless at one place."""
    for edit in (ReferenceEdit(operation, becomes), KeyEdit(tree, operation, becomes)):
        edited = tree.visit(edit)
        if edit.made == 1:
            return edited
    return None


def pasted(prescription: Prescription, run: Run) -> str:
    """Return the lines to paste, each with the place that it is for."""
    said = [f"# {prescription.why}", *setup_lines(prescription)]
    for name, operation in prescription.activations.items():
        said.append(f"# {name}: call torch.{'' if operation in OF_TORCH else 'nn.functional.'}{operation} here")
    said += [
        f"# {name}: call it on torch.nn.functional.layer_norm(x, x.shape[-1:])" for name in prescription.normalised
    ]
    said += [f"# {name}: leave it out" for name in prescription.removed]
    if prescription.drawn:
        said += weight_lines(prescription, None, "model")[1:]
    places = {site.name: site.where for site in run.sites if site.where}
    return "\n".join(_once([_placed(line, places) for line in said])) + "\n"


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
