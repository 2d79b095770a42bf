"""Accelerate's own loop, with `prepare`, `accumulate`, `backward` and `clip_grad_norm_`."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.utils.data import DataLoader, TensorDataset

accelerate: Any = pytest.importorskip("accelerate", exc_type=ImportError)

from photic.checkups.stopping import TrainingStopped  # noqa: E402
from photic.integrations.accelerate import watch  # noqa: E402
from tests.integrations import plain_loop as plain  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own


def train(
    model: torch.nn.Module,
    *,
    watched: bool,
    accumulate: int = plain.ACCUMULATE,
    stop_on: Any = "never",
    record: Any = None,
    sharded: bool = False,
    **options: Any,
) -> Any:
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate, **options)
    if sharded:
        shard(accelerator)
    loader = DataLoader(TensorDataset(*plain.data()), batch_size=plain.ROWS)
    net, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), plain.RATE), loader)
    handle = watch(accelerator, net, optimizer, stop_on=stop_on, record=record) if watched else None
    for x, y in loader:
        with accelerator.accumulate(net):
            accelerator.backward(F.cross_entropy(net(x), y))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(net.parameters(), plain.CLIP)
            optimizer.step()
            optimizer.zero_grad()
    if handle is not None:
        handle.close()
    return handle


def shard(accelerator: Any) -> None:
    """Let `prepare` cut the model with FSDP2. Accelerate asks for that on accelerators only; what it then does runs on gloo as well."""
    accelerator.state.fsdp_plugin = accelerate.FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=["Linear"],
        reshard_after_forward=True, cpu_ram_efficient_loading=False,
    )  # fmt: skip
    accelerator.state.distributed_type = accelerate.DistributedType.FSDP


@pytest.fixture(autouse=True)
def its_state_is_new() -> Iterator[None]:
    """Accelerate keeps its precision for the whole process."""
    yield
    accelerate.state.AcceleratorState._reset_state(True)


@pytest.mark.parametrize("activation", [torch.relu, torch.sigmoid])
def test_accumulated_and_clipped_gradients_are_those_of_a_plain_loop(activation: Any) -> None:
    depth = 4 if activation is torch.relu else 10
    models = [plain.build(activation=activation, depth=depth) for _ in range(3)]
    expected = plain.train(models[0])
    handle = train(models[1], watched=True)
    train(models[2], watched=False)
    assert plain.same_weights(models[1], models[2]) and plain.same_weights(models[1], models[0])
    assert not handle.faults and handle.steps == plain.STEPS
    assert expected is not None and expected.run is not None
    assert plain.numbers(handle.run) == pytest.approx(plain.numbers(expected.run), rel=1e-6)
    assert [f.problem for f in handle.findings] == [f.problem for f in expected.findings]
    assert handle.healthy == (activation is torch.relu)


@pytest.mark.parametrize("way", ["bf16", "compiled"])
def test_mixed_precision_and_compiled_models_train_the_same_bits_and_are_read(way: str) -> None:
    """Clipped to CLIP, so what the optimizer used has that norm; under torch.compile only parameters are read."""
    options = {"mixed_precision": "bf16"} if way == "bf16" else {}
    watched, unwatched = plain.build(), plain.build()
    if way == "compiled":
        watched, unwatched = (torch.compile(model, backend="eager") for model in (watched, unwatched))
    handle = train(watched, watched=True, **options)
    train(unwatched, watched=False, **options)
    assert plain.same_weights(watched, unwatched)
    assert not handle.faults and handle.steps == plain.STEPS
    assert handle.run is not None
    for step in handle.run.steps:
        used = sum(r.gradient.norm**2 for r in step.parameters) ** 0.5
        before = sum(r.before_clipping**2 for r in step.parameters) ** 0.5
        assert used == pytest.approx(plain.CLIP, rel=1e-3) and before > plain.CLIP
        assert all(r.gradient.norm > 0.0 and r.update_ratio > 0.0 for r in step.parameters)
    if way == "compiled":
        expected = plain.train(plain.build())
        assert expected is not None and expected.run is not None
        names = [(p.name.removeprefix("_orig_mod."), p.shape) for p in handle.run.parameters]
        assert names == [(p.name, p.shape) for p in expected.run.parameters]
        for ours, theirs in zip(handle.run.steps[0].parameters, expected.run.steps[0].parameters, strict=True):
            assert ours.gradient.norm == pytest.approx(theirs.gradient.norm, rel=1e-5)
            assert ours.update_ratio == pytest.approx(theirs.update_ratio, rel=1e-4)


def test_a_finding_ends_the_training_where_that_is_asked_for() -> None:
    with pytest.raises(TrainingStopped, match="vanishing-gradient"):
        train(plain.build(activation=torch.sigmoid, depth=10), watched=True, stop_on="critical")


def test_engines_that_keep_their_gradients_are_refused() -> None:
    accelerator = SimpleNamespace(distributed_type=accelerate.DistributedType.DEEPSPEED)
    with pytest.raises(RuntimeError, match="keeps the gradients in its engine"):
        watch(accelerator, plain.build(), None)


def test_fsdp1_is_refused() -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        cut = FullyShardedDataParallel(torch.nn.Linear(2, 2), device_id=torch.device("cpu"))
        accelerator = SimpleNamespace(distributed_type=accelerate.DistributedType.FSDP)
        with pytest.raises(RuntimeError, match=r"FSDP1 keeps its parameters in flat buffers .* use `fully_shard`"):
            watch(accelerator, cut, torch.optim.SGD(cut.parameters(), 0.1))
    finally:
        dist.destroy_process_group()


def test_an_optimizer_that_is_none_is_refused() -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    with pytest.raises(TypeError, match=r"accelerator.prepare"):
        watch(accelerator, plain.build(), None)
