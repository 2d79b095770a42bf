"""MNIST and CIFAR-10 from the user's own folder, in their usual formats; nothing is downloaded."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

_MNIST = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CIFAR = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}


def mnist(folder: Path, part: str = "train") -> tuple[Images, Labels]:
    """Return images [n, 784] in [0, 1] and labels [n] of MNIST's `train` or `test` part.

    `folder` holds the four IDX files under their own names, as they are or gzipped (`.gz`).

    Raises:
        FileNotFoundError: if a file is missing; the message says which and where it belongs.
        ValueError: if a file is not in the IDX format, or images and labels do not go together.
    """
    pixels, labels = (_idx(_found(folder, name, "MNIST")) for name in _MNIST[part])
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise ValueError(f"{folder}: images {pixels.shape} and labels {labels.shape} do not go together")
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255.0), labels.astype(np.int64)


def cifar10(folder: Path, part: str = "train") -> tuple[Images, Labels]:
    """Return images [n, 3072] in [0, 1] (red, green, blue planes) and labels [n] of CIFAR-10's `train` or `test` part.

    `folder` holds the binary version: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`. The Python
    version is a pickle, which runs whatever is in it, so it is not read.

    Raises:
        FileNotFoundError: if a file is missing; the message says which and where it belongs.
        ValueError: if a file does not consist of records of 3,073 bytes.
    """
    blocks: list[NDArray[np.uint8]] = []
    for name in _CIFAR[part]:
        path = _found(folder, f"{name}.bin", "CIFAR-10 (the binary version)")
        content = np.frombuffer(_content(path), np.uint8)
        if content.size == 0 or content.size % 3073:
            raise ValueError(f"{path} has {content.size} bytes; CIFAR-10 has records of one label and 3,072 pixels")
        blocks.append(content.reshape(-1, 3073))
    records = np.concatenate(blocks)
    return records[:, 1:].astype(np.float32) / np.float32(255.0), records[:, 0].astype(np.int64)


def _found(folder: Path, name: str, dataset: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{folder} has no {name} (nor {name}.gz): put the files of {dataset} there under their own names"
    )


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _idx(path: Path) -> NDArray[np.uint8]:
    content = _content(path)
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of bytes: it should begin with 00 00 08")
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if values.size != int(np.prod(shape)):
        raise ValueError(f"{path} announces {shape} values and holds {values.size}")
    return values.reshape(shape)
