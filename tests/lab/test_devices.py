"""Devices: where the papers' networks are trained; what is not there is refused, and no result is taken for another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from photic.cli.main import run
from photic.lab import devices
from photic.lab.claims import Experiment, paper, papers
from photic.lab.online import SIZES, course
from photic.lab.papers.glorot_2010_initialisation import online, saturation, surface
from photic.lab.reproduction import numbers, place, reproduce, trains
from photic.lab.stacks import Plain, accuracies, train

ABSENT = "cuda:99"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "cache"))


class Elsewhere(TorchFunctionMode):
    """Take `cuda` for the CPU, and note what was moved there; everything else is torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.to and len(args) > 1 and str(args[1]) == "cuda":
            self.shapes.append(tuple(args[0].shape))
            args = (args[0], "cpu", *args[2:])
        return func(*args, **(kwargs or {}))


def test_a_device_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(ValueError, match=rf"'{ABSENT}'.*it can on: cpu.*install a build of torch"):
        devices.device(ABSENT)
    with pytest.raises(ValueError, match="'abacus'"):
        devices.device("abacus")
    with pytest.raises(ValueError, match="holds no numbers"):
        devices.device("meta")
    assert devices.device("cpu:0").type == "cpu" and devices.there()[0] == "cpu"


def test_the_command_refuses_before_it_trains(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, told in (
        (["he2015", "--device", ABSENT], f"cannot compute on the device '{ABSENT}'"),
        (["he2015", "--paper-size"], "--paper-size goes with glorot2010"),
        (["glorot2010", "--paper-size", "--full"], "--paper-size goes with glorot2010"),
        (["glorot2010", "--paper-size", "--store"], "leave --paper-size and --device out"),
        (["glorot2010", "--device", "cpu:0", "--store"], "leave --paper-size and --device out"),
    ):
        assert run(["reproduce", *wrong]) == 2
        assert told in capsys.readouterr().err


def test_results_of_two_kinds_of_device_lie_apart_and_of_two_names_of_one_together() -> None:
    glorot = paper("glorot2010")
    assert place(glorot, online, 0, "full", "cuda") != place(glorot, online, 0, "full")
    assert place(glorot, online, 0, "full", "cuda:1") == place(glorot, online, 0, "full", "cuda")
    assert place(glorot, online, 0, "full", "cpu:0") == place(glorot, online, 0, "full")
    assert place(glorot, surface, 0, "quick", "cuda") == place(glorot, surface, 0, "quick")  # it only measures


def test_what_has_a_full_size_of_its_own_trains_on_the_device() -> None:
    full = {claim.experiment for found in papers() for claim in found.claims if claim.size == "full"}
    assert len(full) >= 5 and all(map(trains, full))


def test_the_device_reaches_the_weights_and_every_image_and_changes_nothing_else() -> None:
    """A fake that takes cuda for the CPU: all weights and images are moved, and what comes out is what the CPU gives."""
    with Elsewhere() as moved:
        there = course("tanh", "standard", seed=0, updates=4, every=2, depth=2, width=8, device="cuda")
    weights = [(8, 1024), (8,), (8, 8), (8,), (9, 8), (9,)]
    tests, updates = [(3000, 1024), (3000,)], [(20, 1024), (20,)] * 2
    assert sorted(moved.shapes) == sorted([*weights, *tests, *updates])
    assert there == course("tanh", "standard", seed=0, updates=4, every=2, depth=2, width=8)


def test_a_stack_goes_to_the_device_with_its_batches() -> None:
    nets = [Plain("tanh", 2, 8, 4, 3, 1.0, seed=seed) for seed in range(2)]
    batch = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    with Elsewhere() as moved:
        there = train(nets, [batch] * 3, device="cuda")
    assert moved.shapes.count((5, 4)) == moved.shapes.count((5,)) == 3 and moved.shapes.count((2, 8, 8)) == 1
    here = train(nets, [batch] * 3)
    assert torch.equal(there.losses, here.losses)
    assert torch.equal(accuracies(nets, there, batch), accuracies(nets, here, batch))


@pytest.mark.parametrize("key", ["bachlechner2021", "xiao2018", "zhang2019"])
def test_the_deepest_networks_go_there_too(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With three layers in the place of a thousand: every parameter is moved."""
    found = paper(key)
    deepest = next(claim.experiment for claim in found.claims if claim.experiment.__name__ == "deepest")
    home: Any = __import__(found.module, fromlist=["_"])
    name = {"bachlechner2021": "_model", "xiao2018": "_trained", "zhang2019": "model"}[key]
    whole = getattr(home, name)
    monkeypatch.setattr(home, name, lambda _, *rest, **named: whole(3, *rest, **named))
    with Elsewhere() as moved:
        there = deepest(0, "quick", device="cuda")  # type: ignore[call-arg]
    assert moved.shapes.count((64, 64)) >= 30 and (297, 64) in moved.shapes  # batches of 64 images of 64 pixels
    assert {"bachlechner2021": (64, 64), "xiao2018": (16, 16, 3, 3), "zhang2019": (64, 64)}[key] in moved.shapes
    assert there == deepest(0, "quick")


def test_the_papers_own_size_is_run_in_the_place_of_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 2.3: 1,000 units, 5 million updates; here with eight units and four updates in their place."""
    assert SIZES["paper"]["updates"] == 5_000_000 and SIZES["paper"]["width"] == 1000
    for size, width in (("quick", 6), ("full", 7), ("paper", 8)):
        monkeypatch.setitem(SIZES, size, {"updates": 4, "every": 2, "width": width})  # type: ignore[arg-type]
    glorot = paper("glorot2010")
    asked: list[tuple[Experiment, str]] = []

    def noted(_: Any, experiment: Experiment, __: int, size: str, ___: str) -> dict[str, Any]:
        asked.append((experiment, size))
        return {"cpu_seconds": 0.0}

    monkeypatch.setattr("photic.lab.reproduction.numbers", noted)
    monkeypatch.setattr("photic.lab.reproduction.judged", lambda _, claim, *__, size, device: (claim.size, size))
    result = reproduce(glorot, size="paper")
    assert {size for experiment, size in asked if experiment is online} == {"quick", "paper"}
    assert {size for experiment, size in asked if experiment is saturation} == {"quick", "paper"}
    assert set(result.claims) == {("quick", "quick"), ("full", "paper")}
    monkeypatch.undo()


def test_a_result_at_the_papers_size_says_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "paper", {"updates": 4, "every": 2, "width": 8})
    assert numbers(paper("glorot2010"), online, 0, "paper")["width"] == 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_a_course_on_cuda_is_that_of_the_cpu_up_to_rounding() -> None:
    """Forty updates of float32: sums of 1,024 products in another order differ by 1e-6, which training has not amplified yet."""
    asked: dict[str, Any] = {"seed": 0, "updates": 40, "every": 20, "depth": 3, "width": 32}
    here, there = course("tanh", "normalized", **asked), course("tanh", "normalized", **asked, device="cuda")
    for name in ("means", "deviations", "percentiles", "weight gradients"):
        for a, b in zip(here[name], there[name], strict=True):
            assert a == pytest.approx(b, rel=1e-3, abs=1e-5), name
