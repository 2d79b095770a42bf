"""MNIST and CIFAR-10 are read from small files of their formats; a missing or broken file is named."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from photic.cli.main import run
from photic.lab import glorot_table
from photic.lab.datasets.image_files import cifar10, mnist


def idx(values: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_comes_back_as_it_was_written(tmp_path: Path, packed: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 28, 28)).astype(np.uint8)
    labels = np.arange(7).astype(np.uint8)
    for name, values in (("train-images-idx3-ubyte", pixels), ("train-labels-idx1-ubyte", labels)):
        content = idx(values)
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    images, found = mnist(tmp_path)
    assert images.shape == (7, 784) and found.tolist() == list(range(7))
    assert np.array_equal(np.round(images * 255).astype(np.uint8).reshape(7, 28, 28), pixels)
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte"):
        mnist(tmp_path, "test")


def test_a_broken_idx_file_is_refused(tmp_path: Path) -> None:
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(b"hello")
    with pytest.raises(ValueError, match="not an IDX file"):
        mnist(tmp_path, "test")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 28, 28), np.uint8))[:-1])
    with pytest.raises(ValueError, match="announces"):
        mnist(tmp_path, "test")


def test_cifar_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records = np.random.default_rng(1).integers(0, 256, (5, 4, 3073)).astype(np.uint8)
    for number, block in enumerate(records, 1):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(block.tobytes())
    images, labels = cifar10(tmp_path)
    assert images.shape == (20, 3072)
    assert np.array_equal(labels, records[:, :, 0].ravel())
    assert np.array_equal(np.round(images[4] * 255), records[1, 0, 1:])
    with pytest.raises(FileNotFoundError, match="no test_batch"):
        cifar10(tmp_path, "test")
    (tmp_path / "test_batch.bin").write_bytes(b"x" * 3000)
    with pytest.raises(ValueError, match="3000 bytes"):
        cifar10(tmp_path, "test")


def written(folder: Path) -> None:
    """Write MNIST of 30 training and 20 test images whose class is the brightest row, gzipped in part."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 20)):
        labels = draw.integers(0, 10, count).astype(np.uint8)
        pixels = draw.integers(0, 60, (count, 28, 28)).astype(np.uint8)
        pixels[np.arange(count), labels] = 255
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def test_table_1_is_trained_on_the_users_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(glorot_table.SIZES, "quick", {"updates": 40, "width": 16})
    monkeypatch.setitem(glorot_table.SIZES, "full", {"updates": 200, "width": 16})
    (tmp_path / "mnist").mkdir()
    written(tmp_path / "mnist")
    assert run(["reproduce", "glorot2010", "--data", str(tmp_path), "--json"]) == 0
    column = json.loads(capsys.readouterr().out)["table-1"][0]
    assert column["dataset"] == "MNIST" and column["tests"] == 20 and column["theirs"]["Tanh N"] == 1.64
    assert set(column["ours"]) == set(column["theirs"]) and all(0 <= error <= 100 for error in column["ours"].values())
    assert run(["reproduce", "glorot2010", "--data", str(tmp_path), "--full"]) == 0
    assert "MNIST" in capsys.readouterr().err


def test_a_folder_without_the_files_is_told_what_belongs_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reproduce", "glorot2010", "--data", str(tmp_path)]) == 3
    told = capsys.readouterr().err
    assert "train-images-idx3-ubyte" in told and "data_batch_1.bin" in told and "Nothing is downloaded" in told
    assert run(["reproduce", "he2015", "--data", str(tmp_path)]) == 2
