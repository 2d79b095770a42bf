"""Several ranks, some through torchrun, over gloo, against one process that sees all their data."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

import photic
from photic.integrations import distributed
from tests import children
from tests.integrations import distributed_ranks as ranks

SCRIPT = str(Path(ranks.__file__))
RANKS = ("0", "1", "2", "3")
DATA_PARALLEL = [
    ("ddp", 2),
    ("ddp", 4),
    ("ddp-no-sync", 2),
    ("fsdp2", 2),
    ("fsdp2", 4),
    ("fsdp2-no-sync", 2),
    ("hsdp", 4),
]
ALL = [*DATA_PARALLEL, ("tp", 2), ("fsdp2tp", 4)]
CASES = [pytest.param(*case, marks=pytest.mark.slow if case[1] == 4 or "no-sync" in case[0] else ()) for case in ALL]
THROUGH_TORCHRUN = pytest.param("ddp through torchrun", 2, marks=pytest.mark.slow)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(mode: str, number: int, folder: Path, *words: str) -> list[subprocess.CompletedProcess[str]]:
    """Without torchrun each rank is told what torchrun would tell it."""
    command = [sys.executable, SCRIPT, mode, str(folder), *words]
    if mode == "single":
        return [children.run(command, OMP_NUM_THREADS="1")]
    group = {"WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda rank: children.run(command, **group, RANK=rank, LOCAL_RANK=rank), RANKS[:number]))


def torchrun(mode: str, number: int, folder: Path, *words: str) -> list[subprocess.CompletedProcess[str]]:
    way = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
    command = [sys.executable, *way, SCRIPT, mode, str(folder), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return [subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)]


def results(mode: str, number: int, folder: Path, *words: str, way: Any = start) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    for done in way(mode, number, folder, *words):
        assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(number)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return {words: results("single", 1, tmp_path_factory.mktemp("single"), *words.split())[0] for words in ("", "sick")}


@pytest.mark.parametrize(("mode", "number"), [*CASES, THROUGH_TORCHRUN])
def test_every_rank_reads_what_one_process_reads(mode: str, number: int, tmp_path: Path, alone: Any) -> None:
    expected = alone[""]
    mode, _, through = mode.partition(" through ")
    found = results(mode, number, tmp_path, way=torchrun if through else start)
    for result in found:
        assert result["faults"] == [] and result["steps"] == expected["steps"] == [0, 8]
        assert len(result["exchanges"]) == result["audits"] == 4  # steps 0, 2, 4 and 8: one vector each
        if "no-sync" not in mode:  # only the first micro-batch's forward is audited
            assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
        for when in ("first", "parameters"):
            assert result[when].keys() == expected[when].keys()
            for name, numbers in expected[when].items():
                loose = 1e-6 if when == "first" else 1e-4  # eight steps apart, float32 roundings have grown
                # Weights of 256 elements, each rounded to 6e-8 of itself: an update is known to 4e-9 of its weight.
                assert result[when][name] == pytest.approx(numbers, rel=loose, abs=4e-9), (when, name)
                assert result[when][name]["count"] == numbers["count"]
        for kind in ("sites", "signals") if (mode, number) in DATA_PARALLEL and "no-sync" not in mode else ():
            assert result[kind] == pytest.approx({**expected[kind]}, rel=1e-6), kind
        assert list(result["matrices"]) == list(expected["matrices"]) and len(expected["matrices"]) == 5
        for name, facts in expected["matrices"].items():
            cut = (
                "tp" in mode
            )  # then each rank has a sample of the matrix: of 16 row sums that are cut in half, a poor one
            assert result["matrices"][name][:2] == facts[:2]
            assert result["matrices"][name][2] == pytest.approx(facts[2], rel=0.02 if cut else 1e-6)
            assert result["matrices"][name][3] == pytest.approx(facts[3], rel=1.0 if cut else 1e-6)
    assert all(result["findings"] == found[0]["findings"] for result in found)
    assert [result["parameters"] for result in found[1:]] == [found[0]["parameters"]] * (number - 1)
    assert (tmp_path / "run.sqlite").exists()


@pytest.mark.parametrize(
    ("mode", "number"), [("ddp", 2), ("fsdp2", 2), pytest.param("hsdp", 4, marks=pytest.mark.slow)]
)
def test_every_rank_finds_what_one_process_finds(mode: str, number: int, tmp_path: Path, alone: Any) -> None:
    expected = [(problem, sites) for problem, _, sites in alone["sick"]["findings"]]
    assert expected[0][0] == "vanishing-gradient"
    for result in results(mode, number, tmp_path, "sick"):
        assert [(problem, sites) for problem, _, sites in result["findings"]] == expected


@pytest.mark.parametrize(
    ("mode", "number"),
    [pytest.param(*case, marks=() if case in (("ddp", 2), ("tp", 2)) else pytest.mark.slow) for case in ALL],
)
def test_training_is_bit_identical_and_a_sampled_step_costs_one_exchange(
    mode: str, number: int, tmp_path: Path
) -> None:
    """Each process group counts what it was asked for: photic's own is the last one, the others are the training's."""
    watched = results(mode, number, tmp_path / "watched")
    plain = results(mode, number, tmp_path / "plain", "plain")
    messages = 2 * (number.bit_length() - 1)  # of one exchange: there and back with one other, bit by bit
    assert [result["weights"] for result in watched] == [result["weights"] for result in plain]
    for with_photic, without in zip(watched, plain, strict=True):
        assert with_photic["collectives"] == [*without["collectives"], with_photic["audits"] * messages]
        assert with_photic["audits"] == 4 and sum(without["collectives"]) > 0


def test_the_noise_is_how_far_the_ranks_own_gradients_lie_apart(tmp_path: Path) -> None:
    found = results("ddp", 2, tmp_path)[0]["noise"]
    torch.manual_seed(0)
    model = ranks.Net(torch.relu, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    generator = torch.Generator().manual_seed(1)
    for step in range(9):
        x = torch.randn(ranks.ROWS, 16, generator=generator)
        y = torch.randint(4, (ranks.ROWS,), generator=generator)
        own = [
            torch.autograd.grad(F.cross_entropy(model(a), b), list(model.parameters()))
            for a, b in zip(x.chunk(2), y.chunk(2))
        ]
        means = [(a + b) / 2 for a, b in zip(*own)]
        if step == 8:  # the last audit; unbiased over two ranks: |a - b|^2 / 2
            for (name, _), a, b, mean in zip(model.named_parameters(), *own, means):
                assert found[name] == pytest.approx(float((a - b).norm() / 2**0.5 / mean.norm()), rel=1e-3), name
        for parameter, mean in zip(model.parameters(), means):
            parameter.grad = mean
        optimizer.step()


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_rank_that_dies_does_not_make_the_others_wait_in_photic(number: int, tmp_path: Path) -> None:
    """Each rank trains by itself here, so nobody but photic would wait for the dead one; its patience is 5 seconds."""
    began = time.perf_counter()
    done = start("apart", number, tmp_path, "dies")
    assert done[1].returncode == -signal.SIGKILL
    for rank in {*range(number)} - {1}:
        result = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert len(result["faults"]) == 1 and "photic stopped watching" in done[rank].stderr
        assert result["steps"] == [0, 2] and time.perf_counter() - began < 120


@pytest.fixture
def group() -> Iterator[None]:
    """This process as the only rank."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_single_process_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"not initialised; in a single process use `photic.watch`"):
        distributed.watch(torch.nn.Linear(2, 2))


@pytest.mark.filterwarnings("ignore")  # torch's own, about FSDP1
def test_models_whose_gradients_are_kept_are_refused(group: None) -> None:
    class DeepSpeedEngine(torch.nn.Linear):  # as it would not install here
        pass

    for watch in (distributed.watch, photic.watch):
        with pytest.raises(
            RuntimeError, match=r"DeepSpeedEngine keeps the gradients in its engine, .* use DDP or FSDP2"
        ):
            watch(DeepSpeedEngine(2, 2))
        with pytest.raises(RuntimeError, match=r"FSDP1 keeps its parameters in flat buffers .* use `fully_shard`"):
            watch(torch.nn.Sequential(FullyShardedDataParallel(torch.nn.Linear(2, 2), device_id=torch.device("cpu"))))


def test_one_process_does_not_judge_a_model_that_is_cut_over_several(group: None, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    fully_shard(model[0])
    with pytest.raises(
        RuntimeError, match=r"a part of each parameter only .* use `photic.integrations.distributed.watch`"
    ):
        photic.watch(model)
    with distributed.watch(model) as watch:
        assert watch.healthy is None  # nothing was read yet


def test_photic_run_says_that_it_watched_nothing_of_such_a_model(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import torch, torch.distributed as dist\nfrom torch.distributed.fsdp import fully_shard\n"
        "dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)\n"
        "model = fully_shard(torch.nn.Linear(2, 2))\noptimizer = torch.optim.SGD(model.parameters(), 0.1)\n"
        "for _ in range(4):\n    model(torch.ones(1, 2)).sum().backward()\n    optimizer.step()\n"
        "print('trained')\ndist.destroy_process_group()\n"
    )
    done = children.run([sys.executable, "-m", "photic", "run", str(script)], cwd=tmp_path)
    assert done.returncode == 0 and "trained" in done.stdout, done.stderr[-2000:]
    said = " ".join((done.stdout + done.stderr).split())
    assert "nothing was watched" in said and "photic.integrations.distributed.watch" in said
