"""Engines that keep the gradients, as DeepSpeed does: that is said, and no zero of them is reported.

Stand-ins show it where no engine is installed; DeepSpeed itself is there in `dev.py test --integrations`."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.integrations.requirements import BlindError
from photic.integrations.trackers import Tracker, tracked
from tests import children
from tests.integrations import plain_loop as plain

ENGINE = '''
import torch
from torch import nn

class Engine:
    """Takes each gradient away as it arrives and steps on a flat copy of all weights, as ZeRO does."""

    def __init__(self, model):
        self.parameters, self.kept = list(model.parameters()), {}
        self.flat = nn.Parameter(torch.cat([p.detach().flatten() for p in self.parameters]))
        self.inner = torch.optim.SGD([self.flat], 0.1)
        for parameter in self.parameters:
            parameter.register_post_accumulate_grad_hook(self.take)

    def take(self, parameter):
        self.kept[parameter], parameter.grad = parameter.grad, None

    def step(self):
        self.flat.grad = torch.cat([self.kept[p].flatten() for p in self.parameters])
        self.inner.step()
        with torch.no_grad():
            for parameter, part in zip(self.parameters, self.flat.split([p.numel() for p in self.parameters])):
                parameter.copy_(part.view_as(parameter))
'''


def engine_of(model: nn.Module) -> Any:
    names: dict[str, Any] = {}
    exec(ENGINE, names)
    return names["Engine"](model)


def train(model: nn.Module, engine: Any, *others: torch.optim.Optimizer) -> None:
    x, y = plain.data()
    for _ in range(6):
        F.cross_entropy(model(x), y).backward()
        for stepping in (engine, *others):
            stepping.step()


def test_an_engine_whose_optimizer_nobody_sees_ends_with_a_warning() -> None:
    models = [plain.build(), plain.build()]
    watch = photic.watch(models[0])
    train(models[0], engine_of(models[0]))
    with pytest.warns(UserWarning, match="no torch optimizer step on the parameters of the model: nothing was watched"):
        watch.close()
    assert watch.run is None and not watch.faults
    train(models[1], engine_of(models[1]))
    assert plain.same_weights(*models)


@pytest.mark.parametrize("given", ["of the engine", "of the user"])
@pytest.mark.parametrize("first", ["the engine", "photic"])
def test_gradients_that_an_optimizer_never_sees_are_the_finding_and_no_tracker_gets_a_zero(
    given: str, first: str
) -> None:
    model, sent = plain.build(), list[set[str]]()
    engine = engine_of(model) if first == "the engine" else None
    own = torch.optim.SGD(model.parameters(), 0.1)
    with photic.watch(model, engine.inner if engine and given == "of the engine" else own) as watch:
        engine = engine or engine_of(model)
        with tracked(watch, Tracker("a list", lambda numbers, _: sent.append(set(numbers)), lambda _: None)):
            train(model, engine, *([own] if watch._ours(own) else []))
    assert not watch.faults and watch.run is not None and not watch.healthy
    assert [f.problem for f in watch.findings if f.severity != "info"] == ["cleared-gradients"]
    if first == "the engine":
        assert "engines that keep them to themselves do (DeepSpeed)" in watch.findings[0].reason
    assert all(reading.gradient is None for reading in watch.run.steps[-1].parameters)
    assert len(sent) == 2 and not any("photic/gradient_norm/used" in names for names in sent)


def forgetful(net: nn.Module) -> nn.Module:
    """Its gradients go as they arrive, and nobody steps for it."""
    for parameter in net.parameters():
        parameter.register_post_accumulate_grad_hook(_forget)
    return net


def _forget(parameter: Tensor) -> None:
    parameter.grad = None


NOWHERE = "the error gradient flows, but every parameter's gradient reads None or zero"


@pytest.mark.filterwarnings("ignore")  # the library's own
@pytest.mark.parametrize("trainer", ["lightning", "transformers"])
def test_a_trainer_whose_parameters_get_no_gradient_is_stopped_in_its_second_step(trainer: str, tmp_path: Path) -> None:
    pytest.importorskip({"lightning": "lightning.pytorch"}.get(trainer, trainer), exc_type=ImportError)
    with pytest.raises(BlindError, match=NOWHERE):
        if trainer == "lightning":
            from photic.integrations.lightning import PhoticCallback
            from tests.integrations.test_lightning import Module, fit

            fit(Module(forgetful(plain.build())), PhoticCallback(), gradient_clip_val=None)
        else:
            from photic.integrations.transformers import PhoticCallback as ForTheTrainer
            from tests.integrations.test_transformers import train as train_there

            train_there(forgetful(plain.build(plain.WithLoss)), tmp_path, ForTheTrainer())


def test_photic_run_says_that_it_saw_no_training(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        ENGINE + "torch.manual_seed(0)\nmodel = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))\n"
        "engine = Engine(model)\nfor _ in range(6):\n    model(torch.randn(4, 8)).square().mean().backward()\n    engine.step()\n"
    )
    done = children.run([sys.executable, "-m", "photic", "run", "train.py"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    said = " ".join((done.stdout + done.stderr).split())
    assert (
        "holds no parameter of Sequential, which ran" in said and "copies an engine" in said and "healthy" not in said
    )


DEEPSPEED = """
import os, sys
import torch, deepspeed
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
settings = {
    "train_micro_batch_size_per_gpu": 16,
    "optimizer": {"type": "SGD", "params": {"lr": 0.1}},
    "zero_optimization": {"stage": STAGE},
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
}
engine, optimizer, _, _ = deepspeed.initialize(
    model=model, model_parameters=model.parameters(), dist_init_required=True, config=settings
)


def train():
    torch.manual_seed(1)
    for _ in range(6):
        x, y = torch.randn(16, 8), torch.randint(4, (16,))
        loss = nn.functional.cross_entropy(engine(x), y)
        engine.backward(loss)
        engine.step()
        print("loss", loss.item().hex())
"""


def in_deepspeed(folder: Path, stage: int, rest: str, *before: str) -> tuple[int, str]:
    """Run a script of DeepSpeed on the CPU, alone in its group; return its exit code and all that it printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (folder / "train.py").write_text(DEEPSPEED.replace("STAGE", str(stage)) + rest)
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    done = subprocess.run(
        [sys.executable, *before, "train.py"], capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, **alone, "DS_ACCELERATOR": "cpu"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


with_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason="DeepSpeed is not installed: `dev.py test --integrations` builds it where it can",
)


@with_deepspeed
@pytest.mark.parametrize("stage", [0, 3])
def test_deepspeed_trains_as_without_us_and_is_told_that_nothing_can_be_read(stage: int, tmp_path: Path) -> None:
    plain_code, alone = in_deepspeed(tmp_path, stage, "train()\nsys.exit(7)\n")
    code, said = in_deepspeed(tmp_path, stage, "train()\nsys.exit(7)\n", "-m", "photic", "run", "--fail-on", "warning")
    losses = [line for line in alone.splitlines() if line.startswith("loss")]
    assert plain_code == code == 7 and len(losses) == 6, alone[-2000:]
    assert [line for line in said.splitlines() if line.startswith("loss")] == losses
    words = " ".join(said.split())
    assert "nothing was watched: RuntimeError: DeepSpeedEngine keeps the gradients in its engine" in words
    assert "critical" not in words and "healthy" not in words


@with_deepspeed
def test_deepspeeds_engine_and_optimizer_are_refused(tmp_path: Path) -> None:
    rest = """
import photic
from photic.integrations import distributed

for watch, given in ((photic.watch, (engine,)), (photic.watch, (model, optimizer)), (distributed.watch, (engine,))):
    try:
        watch(*given)
    except (RuntimeError, TypeError) as error:
        print("refused", type(error).__name__, error)
train()
"""
    code, said = in_deepspeed(tmp_path, 2, rest)
    refused = [line for line in said.splitlines() if line.startswith("refused")]
    assert code == 0 and said.count("loss ") == 6, said[-2000:]
    assert len(refused) == 3 and all("use DDP or FSDP2" in line for line in refused), refused
    assert "got DeepSpeedZeroOptimizer" in refused[1]
