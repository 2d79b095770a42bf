"""The callback in the real Trainer of transformers: before and after clipping, and the weights of an unwatched training."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

transformers: Any = pytest.importorskip("transformers", exc_type=ImportError)
pytest.importorskip("accelerate", exc_type=ImportError)

from photic.checkups.stopping import TrainingStopped  # noqa: E402
from photic.integrations.requirements import BlindError  # noqa: E402
from photic.integrations.transformers import PhoticCallback  # noqa: E402
from photic.probes.steps import after_steps  # noqa: E402
from tests.integrations import plain_loop as plain  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own


def train(
    model: torch.nn.Module, folder: Path, *callbacks: Any, accumulate: int = plain.ACCUMULATE, **options: Any
) -> None:
    x, y = plain.data()
    rows = [{"x": a, "labels": b} for a, b in zip(x, y)]
    arguments = transformers.TrainingArguments(
        str(folder), num_train_epochs=1, per_device_train_batch_size=plain.ROWS, learning_rate=plain.RATE, report_to=[],
        gradient_accumulation_steps=accumulate, max_grad_norm=plain.CLIP, save_strategy="no", use_cpu=True,
        disable_tqdm=True, optim="sgd", lr_scheduler_type="constant", remove_unused_columns=False, **options,
    )  # fmt: skip

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    InOrder(model=model, args=arguments, train_dataset=rows, callbacks=list(callbacks)).train()


@pytest.mark.parametrize("activation", [torch.relu, torch.sigmoid])
def test_accumulated_and_clipped_gradients_are_those_of_a_plain_loop(tmp_path: Path, activation: Any) -> None:
    depth = 4 if activation is torch.relu else 10
    models = [plain.build(plain.WithLoss, activation=activation, depth=depth) for _ in range(3)]
    expected, callback = plain.train(models[0]), PhoticCallback()
    train(models[1], tmp_path, callback)
    train(models[2], tmp_path)
    assert plain.same_weights(models[1], models[2]) and plain.same_weights(models[1], models[0])
    watch = callback.watch
    assert watch is not None and watch.run is not None and expected is not None and expected.run is not None
    assert not watch.faults and watch.steps == plain.STEPS
    assert plain.numbers(watch.run) == pytest.approx(plain.numbers(expected.run), rel=1e-6)
    assert [f.problem for f in watch.findings] == [f.problem for f in expected.findings]
    assert watch.healthy == (activation is torch.relu)


def test_gradients_are_read_before_and_after_clipping(tmp_path: Path) -> None:
    seen: list[float] = []

    class AsTheTrainerSees(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
            seen.append(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None) ** 0.5)

    callback = PhoticCallback()
    train(plain.build(plain.WithLoss), tmp_path, callback, AsTheTrainerSees())
    assert callback.watch is not None and callback.watch.run is not None
    step = callback.watch.run.steps[0]
    after = sum(r.gradient.norm**2 for r in step.parameters if r.gradient) ** 0.5
    before = sum((r.before_clipping or 0.0) ** 2 for r in step.parameters) ** 0.5
    assert after == pytest.approx(seen[0], rel=1e-6) == pytest.approx(plain.CLIP, rel=1e-4)
    assert before == pytest.approx(step.clip_norm, rel=1e-6) and before > 2 * after


@pytest.mark.parametrize("options", [{"bf16": True}, {"torch_compile": True, "torch_compile_backend": "eager"}])
def test_mixed_precision_and_compiled_models_train_the_same_bits_and_are_read(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    watched, unwatched, callback = plain.build(plain.WithLoss), plain.build(plain.WithLoss), PhoticCallback()
    train(watched, tmp_path, callback, **options)
    train(unwatched, tmp_path, **options)
    assert plain.same_weights(watched, unwatched)
    watch = callback.watch
    assert watch is not None and watch.run is not None and not watch.faults and watch.steps == plain.STEPS
    for step in watch.run.steps:
        used = sum(r.gradient.norm**2 for r in step.parameters if r.gradient) ** 0.5
        assert used == pytest.approx(plain.CLIP, rel=1e-3)
        assert all(r.gradient and r.gradient.norm > 0.0 and r.update_ratio for r in step.parameters)


def test_after_an_exception_the_next_training_or_the_end_of_the_callback_ends_the_watch(tmp_path: Path) -> None:
    class Stumbles(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if state.global_step == 5:
                raise KeyError("stumbled")

    net, before = plain.build(plain.WithLoss), len(after_steps.listeners)
    callback = PhoticCallback(record=tmp_path / "run.sqlite")
    for _ in range(2):
        with pytest.raises(KeyError, match="stumbled"):
            train(net, tmp_path, callback, Stumbles())
        assert len(after_steps.listeners) == before + 1
    del callback
    gc.collect()
    assert len(after_steps.listeners) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_finding_ends_the_training_where_that_is_asked_for(tmp_path: Path) -> None:
    callback = PhoticCallback(stop_on="critical", every=2)
    with pytest.raises(TrainingStopped, match="vanishing-gradient"):
        train(plain.build(plain.WithLoss, activation=torch.sigmoid, depth=10), tmp_path, callback)
    assert callback.watch is not None and callback.watch.steps == 3


def test_a_model_that_is_not_the_trained_one_is_told_at_once(tmp_path: Path) -> None:
    class Swapped(PhoticCallback):
        def on_train_begin(self, *given: Any, model: Any, **others: Any) -> None:
            super().on_train_begin(*given, model=plain.build(plain.WithLoss), **others)

    with pytest.raises(BlindError, match="photic saw no optimizer of torch step on the model it watches"):
        train(plain.build(plain.WithLoss), tmp_path, Swapped())
