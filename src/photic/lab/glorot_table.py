"""Table 1 of Glorot & Bengio 2010: what the paper prints, and its networks trained on MNIST and CIFAR-10 from a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from photic.lab import cache
from photic.lab.claims import Numbers, Size
from photic.lab.datasets.image_files import cifar10, mnist
from photic.lab.error_rates import best_group
from photic.lab.online import SIZES, network, train

CONFIGURATIONS = {
    "Sigmoid": ("sigmoid", "standard"),
    "Tanh": ("tanh", "standard"),
    "Softsign": ("softsign", "standard"),
    "Softsign N": ("softsign", "normalized"),
    "Tanh N": ("tanh", "normalized"),
}
SHAPESET = {"Sigmoid": 82.61, "Tanh": 27.15, "Softsign": 16.27, "Softsign N": 16.06, "Tanh N": 15.6}
PRINTED = {  # test error in percent, five hidden layers
    "MNIST": {"Softsign": 1.64, "Softsign N": 1.72, "Tanh": 1.76, "Tanh N": 1.64, "Sigmoid": 2.21},
    "CIFAR-10": {"Softsign": 55.78, "Softsign N": 53.8, "Tanh": 55.9, "Tanh N": 52.92, "Sigmoid": 57.28},
    "ImageNet": {"Softsign": 69.14, "Softsign N": 68.13, "Tanh": 70.58, "Tanh N": 68.57, "Sigmoid": 70.66},
}
WHERE = {
    "MNIST": (mnist, ("", "mnist", "MNIST/raw")),
    "CIFAR-10": (cifar10, ("", "cifar-10-batches-bin", "cifar10")),
}
_BATCH, _RATE = 10, 0.03
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Column:
    """One data set's column of table 1, ours and the paper's.

    Attributes:
        dataset: `MNIST` or `CIFAR-10`.
        ours: test error in percent by configuration, the mean over the seeds.
        best: configurations that do not differ from the best at p = 0.005.
        theirs: what the paper prints.
        tests: images that were tested.
        updates, width: how the networks were trained; the paper's had 1,000 units and were trained to the end.
    """

    dataset: str
    ours: Mapping[str, float]
    best: tuple[str, ...]
    theirs: Mapping[str, float]
    tests: int
    updates: int
    width: int


def columns(
    folder: Path, *, size: Size, seeds: int = 1, device: str = "cpu", progress: Progress = lambda _, __: None
) -> list[Column]:
    """Train the five networks of table 1 on each data set whose files lie in `folder`, or take them from the cache.

    Five hidden layers of 300 units, SGD at 0.03 on batches of 10, pixels in [-1, 1]; 10,000 updates, 60,000 in the full
    size, trained on `device`. The paper chose the learning rate of each on held-out images; here all have one.

    Raises:
        FileNotFoundError: if the folder has neither; the message says which files belong where.
    """
    read = {name: files for name in WHERE if (files := _found(folder, name)) is not None}
    if not read:
        raise FileNotFoundError(
            f"{folder} has neither MNIST nor CIFAR-10. MNIST: train-images-idx3-ubyte, train-labels-idx1-ubyte, "
            "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, gzipped or not, there or in mnist/. CIFAR-10, the binary "
            "version: data_batch_1.bin to data_batch_5.bin and test_batch.bin, there or in cifar-10-batches-bin/. "
            "Nothing is downloaded."
        )
    found: list[Column] = []
    updates, width = SIZES[size]["updates"], SIZES[size]["width"]
    jobs = len(read) * len(CONFIGURATIONS)
    for name, parts in read.items():
        ours: dict[str, float] = {}
        for configuration in CONFIGURATIONS:
            progress(f"{name}: {configuration}", (len(found) * len(CONFIGURATIONS) + len(ours)) / jobs)
            errors = [
                _error(name, parts, configuration, updates=updates, width=width, seed=seed, device=device)
                for seed in range(seeds)
            ]
            ours[configuration] = 100.0 * sum(errors) / seeds
        tests = len(parts[3])
        found.append(
            Column(name, ours, tuple(best_group(ours, tests)), PRINTED[name], tests, updates, width)
        )  # fmt: skip
    progress("done", 1.0)
    return found


def _found(folder: Path, dataset: str) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Return training images in [-1, 1], labels, test images, labels; None where no file of the data set is there."""
    read, places = WHERE[dataset]
    first = {"MNIST": "train-images-idx3-ubyte", "CIFAR-10": "data_batch_1.bin"}[dataset]
    for place in places:
        home = folder / place
        if (home / first).exists() or (home / f"{first}.gz").exists():
            images, labels = read(home, "train")
            tests, answers = read(home, "test")
            arrays = (images * 2.0 - 1.0, labels, tests * 2.0 - 1.0, answers)
            one, two, three, four = map(torch.from_numpy, arrays)
            return one, two, three, four
    return None


def _error(
    dataset: str,
    parts: tuple[Tensor, Tensor, Tensor, Tensor],
    configuration: str,
    *,
    updates: int,
    width: int,
    seed: int,
    device: str,
) -> float:
    images, labels, tests, answers = parts
    content = hashlib.sha256()
    for part in parts:
        content.update(part.numpy().tobytes())
    question = {
        "content": content.hexdigest(), "configuration": configuration, "updates": updates, "seed": seed,
        "width": width, "rate": _RATE, "device": torch.device(device).type,
    }  # fmt: skip
    key = cache.key("photic.lab.glorot_table", question)

    def run() -> Numbers:
        activation, weights = CONFIGURATIONS[configuration]
        model = network(activation, weights, width=width, depth=5, seed=seed, inputs=images.shape[1], outputs=10)
        model.to(device)
        draw = torch.Generator().manual_seed(seed)
        left = updates
        while left:
            order = torch.randperm(len(labels), generator=draw)[: _BATCH * min(left, max(1, len(labels) // _BATCH))]
            whole = order[: max(_BATCH, len(order) // _BATCH * _BATCH)]
            train(model, images[whole].to(device), labels[whole].to(device), rate=_RATE)
            left -= -(-len(whole) // _BATCH)
        with torch.no_grad():
            return {"error": float((model(tests.to(device)).argmax(1).cpu() != answers).double().mean())}

    return float(cache.kept(cache.folder() / "papers" / f"table-1-{dataset}-{configuration}-{key}.json", run)["error"])
