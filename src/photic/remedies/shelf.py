"""The shelf: courses kept on disk under a hash of all that decides them, so that an interrupted treatment goes on."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import photic
from photic.probes.calls import tensors_in
from photic.records.documents import from_plain, to_plain
from photic.remedies.course import Course
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription


class Shelf:
    """Courses in a folder.

    The name of a course is a hash of photic's and torch's versions, photic's own source, the source of every module that is
    loaded from below the working directory, the batches, the untrained weights, the optimizer's settings, the
    prescription, the seed and the rungs. When one of them changes, the arm is trained anew.

    Args:
        folder: is made when it is not there.
    """

    def __init__(self, folder: str | os.PathLike[str], material: Material, rungs: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._material, self._rungs = material, tuple(rungs)
        digest = hashlib.sha256(f"{photic.__version__} {torch.__version__} {_own_source()}".encode())
        for part in (*_user_source(), *map(_bytes, tensors_in((material.training, material.held_back)))):
            digest.update(part)
        self._common = digest.hexdigest()
        self._setups: dict[int, str] = {}

    def read(self, prescription: Prescription | None, seed: int, order: Any) -> Course | None:
        """Return the course that was kept; None when there is none, or it cannot be read."""
        try:
            return from_plain(json.loads(self._place(prescription, seed, order).read_text(encoding="utf-8")), Course)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, prescription: Prescription | None, seed: int, order: Any, course: Course) -> None:
        """Keep a course, whole or not at all."""
        place = self._place(prescription, seed, order)
        part = place.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(to_plain(course), allow_nan=False), encoding="utf-8")
        part.replace(place)

    def _place(self, prescription: Prescription | None, seed: int, order: Any) -> Path:
        asked = f"{self._common} {self._setup(seed)} {prescription!r} {seed} {self._rungs} {order.steps} {order.judged}"
        return self.folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"

    def _setup(self, seed: int) -> str:
        """Return a hash of the untrained weights and the optimizer's settings."""
        if seed not in self._setups:
            setup = self._material.fresh(seed)
            named = (
                type(setup.model).__qualname__,
                setup.model,
                setup.optimizer,
                getattr(setup.loss, "__qualname__", setup.loss),
            )
            digest = hashlib.sha256(" ".join(map(str, named)).encode())
            for value in tensors_in(_held_by(setup.loss)):
                digest.update(_bytes(value))
            for name, value in setup.model.state_dict().items():
                digest.update(name.encode())
                if isinstance(value, Tensor):
                    digest.update(_bytes(value))
            self._setups[seed] = digest.hexdigest()
        return self._setups[seed]


def _held_by(loss: Any) -> Any:
    """Return what a loss computes with and does not say in its name: buffers, arguments of a partial, what a function closes over."""
    if isinstance(loss, nn.Module):
        return list(loss.state_dict().values())
    if isinstance(loss, partial):
        return [_held_by(loss.func), loss.args, loss.keywords]
    cells = list(getattr(loss, "__closure__", None) or ())
    return [cell.cell_contents for cell in cells if _filled(cell)]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return f"{plain.dtype} {tuple(plain.shape)}".encode() + plain.reshape(-1).view(torch.uint8).numpy().tobytes()


@cache
def _own_source() -> str:
    folder = Path(photic.__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()


@cache
def _resolved(name: str) -> Path:
    """Return where a loaded module lies: there are thousands, and links are followed part by part."""
    return Path(name).resolve()


def _user_source() -> Iterator[bytes]:
    """Yield the source of every loaded module that lies below the working directory and is not installed there."""
    here = Path.cwd()
    names = {getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name != "photic"}
    for path in sorted(_resolved(name) for name in names if isinstance(name, str) and name.endswith(".py")):
        if (
            path != here
            and path.is_relative_to(here)
            and not {"site-packages", "photic"} & set(path.parts)
            and path.is_file()
        ):
            yield path.read_bytes()
