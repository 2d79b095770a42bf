"""The callback in the real Trainer of Lightning: the numbers of a plain loop, and the weights of an unwatched fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

lightning: Any = pytest.importorskip("lightning.pytorch", exc_type=ImportError)

from photic.checkups.stopping import TrainingStopped  # noqa: E402
from photic.integrations.lightning import PhoticCallback  # noqa: E402
from photic.integrations.requirements import BlindError  # noqa: E402
from tests.integrations import plain_loop as plain  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own


class Module(lightning.LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), plain.RATE)


def fit(module: Any, *callbacks: Any, sampler: Any = None, **options: Any) -> Any:
    settings = {"accumulate_grad_batches": plain.ACCUMULATE, "gradient_clip_val": plain.CLIP, **options}
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks), **settings,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(*plain.data()), batch_size=plain.ROWS, sampler=sampler))
    return trainer


@pytest.mark.parametrize("activation", [torch.relu, torch.sigmoid])
def test_accumulated_and_clipped_gradients_are_those_of_a_plain_loop(activation: Any) -> None:
    depth = 4 if activation is torch.relu else 10
    reference = plain.build(activation=activation, depth=depth)
    expected = plain.train(reference)
    watched, callback = plain.build(activation=activation, depth=depth), PhoticCallback()
    fit(Module(watched), callback)
    unwatched = plain.build(activation=activation, depth=depth)
    fit(Module(unwatched))
    assert plain.same_weights(watched, unwatched) and plain.same_weights(watched, reference)
    assert callback.watch is not None and expected is not None and not callback.watch.faults
    assert expected.run is not None and callback.watch.run is not None
    assert callback.watch.steps == plain.STEPS
    assert plain.numbers(callback.watch.run) == pytest.approx(plain.numbers(expected.run), rel=1e-6)
    assert [f.problem for f in callback.watch.findings] == [f.problem for f in expected.findings]
    assert callback.watch.healthy == (activation is torch.relu)


def test_clipping_shows_as_a_difference_between_before_and_after() -> None:
    callback = PhoticCallback()
    fit(Module(plain.build()), callback)
    assert callback.watch is not None and callback.watch.run is not None
    readings = callback.watch.run.steps[0].parameters
    after = sum(r.gradient.norm**2 for r in readings if r.gradient) ** 0.5
    before = sum((r.before_clipping or 0.0) ** 2 for r in readings) ** 0.5
    assert after == pytest.approx(plain.CLIP, rel=1e-4) and before > 2 * plain.CLIP


@pytest.mark.parametrize(
    "options", [{"precision": "bf16-mixed"}, {"accumulate_grad_batches": 1}, {"gradient_clip_val": 0.0}]
)
def test_other_settings_train_the_same_bits_and_are_read(options: dict[str, Any]) -> None:
    watched, unwatched, callback = plain.build(), plain.build(), PhoticCallback()
    fit(Module(watched), callback, **options)
    fit(Module(unwatched), **options)
    assert plain.same_weights(watched, unwatched)
    assert callback.watch is not None and callback.watch.run is not None and not callback.watch.faults
    assert plain.numbers(callback.watch.run) if options.get("gradient_clip_val") != 0.0 else callback.watch.run.steps


@pytest.mark.parametrize("way", ["compiled", "manual"])
def test_compiled_models_and_loops_by_hand_train_the_same_bits_and_are_read(way: str) -> None:
    class ByHand(Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__(net)
            self.automatic_optimization = False

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            loss = super().training_step(batch, index)
            self.manual_backward(loss)
            optimizer.step()
            return loss

    options = {"accumulate_grad_batches": 1, "gradient_clip_val": None}
    nets, callback = [plain.build(), plain.build()], PhoticCallback()
    for net, callbacks in zip(nets, ([callback], [])):
        inner: Any = torch.compile(net, backend="eager") if way == "compiled" else net
        fit((ByHand if way == "manual" else Module)(inner), *callbacks, **options)
    assert plain.same_weights(*nets)
    watch = callback.watch
    assert watch is not None and not watch.faults and watch.steps == plain.STEPS * plain.ACCUMULATE
    assert watch.run is not None
    x, y = plain.data()
    fresh = plain.build()
    own = torch.autograd.grad(F.cross_entropy(fresh(x[: plain.ROWS]), y[: plain.ROWS]), list(fresh.parameters()))
    for reading, gradient in zip(watch.run.steps[0].parameters, own, strict=True):
        assert reading.gradient is not None and reading.gradient.norm == pytest.approx(float(gradient.norm()), rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_compiled_module_is_fitted_and_the_user_told_that_nothing_is_read(accumulate: int) -> None:
    nets, callback = [plain.build(), plain.build()], PhoticCallback()
    with pytest.warns(UserWarning, match="Lightning runs the whole training step inside torch.compile"):
        fit(torch.compile(Module(nets[0]), backend="eager"), callback, accumulate_grad_batches=accumulate)
    fit(torch.compile(Module(nets[1]), backend="eager"), accumulate_grad_batches=accumulate)
    assert plain.same_weights(*nets)
    assert callback.watch is not None and callback.watch.run is None and not callback.watch.faults


def test_a_finding_ends_the_fit_where_that_is_asked_for() -> None:
    callback = PhoticCallback(stop_on="critical")
    with pytest.raises(TrainingStopped, match="vanishing-gradient"):
        fit(Module(plain.build(activation=torch.sigmoid, depth=10)), callback)
    assert callback.watch is not None and callback.watch.steps == 3


def test_an_exception_in_the_fit_keeps_the_record(tmp_path: Path) -> None:
    class Stumbles(Module):
        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            if index == 8:
                raise KeyError("stumbled")
            return super().training_step(batch, index)

    callback = PhoticCallback(record=tmp_path / "run.sqlite")
    with pytest.raises(KeyError, match="stumbled"):
        fit(Stumbles(plain.build()), callback)
    from photic.records.stores import StoreReader

    assert callback.watch is not None and callback.watch.steps == 4
    assert StoreReader(tmp_path / "run.sqlite").facts()["steps"] == 4


def test_a_trainer_whose_optimizer_is_not_torchs_is_told_at_once() -> None:
    class Foreign(Module):
        def optimizer_step(self, epoch: int, index: int, optimizer: Any, closure: Any = None) -> None:
            closure()
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter -= 0.1 * parameter.grad
            self.trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.increment_completed()

    with pytest.raises(BlindError, match="photic saw no optimizer of torch step"):
        fit(Foreign(plain.build()), PhoticCallback())
