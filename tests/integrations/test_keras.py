"""The callback in a real `fit` of Keras on torch: gradients and updates of a plain loop with the same weights."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
import torch
import torch.nn.functional as F

os.environ.setdefault("KERAS_BACKEND", "torch")
keras: Any = pytest.importorskip("keras", exc_type=ImportError)

from photic.checkups.stopping import TrainingStopped  # noqa: E402
from photic.integrations.keras import PhoticCallback  # noqa: E402
from photic.integrations.requirements import BlindError  # noqa: E402
from photic.probes.steps import after_steps  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own


def build(activation: str, depth: int, *, scaled: bool = False, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(16, activation=activation) for _ in range(depth)]
    model = keras.Sequential([keras.layers.Input((16,)), *hidden, keras.layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.1, **options)
    model.compile(optimizer=keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer, loss=loss)
    return model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(320, 16, generator=generator), torch.randint(4, (320,), generator=generator)


def fit(model: Any, *callbacks: Any) -> None:
    x, y = data()
    model.fit(x.numpy(), y.numpy(), batch_size=32, epochs=1, shuffle=False, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize(("activation", "depth"), [("relu", 3), ("sigmoid", 10)])
def test_a_fit_is_read_as_autograd_reads_it_and_trains_the_same_bits(activation: str, depth: int) -> None:
    watched, unwatched, fresh = (build(activation, depth) for _ in range(3))
    callback = PhoticCallback()
    fit(watched, callback)
    fit(unwatched)
    pairs = zip(watched.trainable_variables, unwatched.trainable_variables)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)
    watch = callback.watch
    assert watch is not None and watch.run is not None and not watch.faults and watch.steps == 10
    x, y = data()
    values = [v.value for v in fresh.trainable_variables]
    loss = F.cross_entropy(fresh(x[:32], training=True), y[:32])
    gradients = torch.autograd.grad(loss, values)
    read = {p.name: r for p, r in zip(watch.run.parameters, watch.run.steps[0].parameters)}
    assert watch.run.loss == pytest.approx(float(loss), rel=1e-5)
    for variable, value, gradient in zip(watched.trainable_variables, values, gradients):
        name = variable.path
        assert read[name].gradient.norm == pytest.approx(float(gradient.norm()), rel=1e-5), name
        if float(value.norm()) > 0:
            expected = 0.1 * float(gradient.norm()) / float(value.norm())
            assert read[name].update_ratio == pytest.approx(expected, rel=1e-3, abs=1e-8), name
    assert watch.healthy == (activation == "relu")


def own_gradients(model: Any, batches: int) -> list[torch.Tensor]:
    """The mean over the first batches, by autograd."""
    x, y = data()
    values = [v.value for v in model.trainable_variables]
    parts = [
        torch.autograd.grad(F.cross_entropy(model(x[k : k + 32], training=True), y[k : k + 32]), values)
        for k in range(0, 32 * batches, 32)
    ]
    return [sum(gradients[1:], gradients[0]) / batches for gradients in zip(*parts)]


@pytest.mark.parametrize(
    ("options", "batches", "limit"),
    [
        ({"clipnorm": 0.01}, 1, 0.01),
        ({"gradient_accumulation_steps": 4}, 4, None),
        ({"gradient_accumulation_steps": 4, "clipnorm": 0.01}, 4, 0.01),
        ({"loss_scale_factor": 64.0}, 1, None),
        ({"scaled": True}, 1, None),
        ({"scaled": True, "gradient_accumulation_steps": 2}, 2, None),
    ],
)
def test_clipping_accumulation_and_scaled_losses_are_read_as_the_optimizer_used_them(
    options: dict[str, Any], batches: int, limit: float | None
) -> None:
    watched, unwatched, fresh = (build("relu", 3, **options) for _ in range(3))
    callback = PhoticCallback()
    fit(watched, callback)
    fit(unwatched)
    pairs = list(zip(watched.trainable_variables, unwatched.trainable_variables))
    assert all(torch.equal(a.value, b.value) for a, b in pairs)
    assert all(torch.equal(a.value.grad, b.value.grad) for a, b in pairs)
    watch = callback.watch
    assert watch is not None and watch.run is not None and not watch.faults
    assert watch.steps == 10 // batches
    read = {p.name: r for p, r in zip(watch.run.parameters, watch.run.steps[0].parameters)}
    for variable, value, gradient in zip(
        watched.trainable_variables, fresh.trainable_variables, own_gradients(fresh, batches), strict=True
    ):
        norm, weight = float(gradient.norm()), float(value.value.norm())
        reading = read[variable.path]
        assert reading.gradient.norm == pytest.approx(norm, rel=1e-4), variable.path
        assert reading.before_clipping == pytest.approx(norm, rel=1e-4), variable.path
        if weight > 0:
            expected = 0.1 * min(norm, limit or norm) / weight
            assert reading.update_ratio == pytest.approx(expected, rel=2e-3), variable.path


def test_mixed_precision_trains_the_same_bits_and_is_read() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        watched, unwatched = build("relu", 3), build("relu", 3)
        callback = PhoticCallback()
        fit(watched, callback)
        fit(unwatched)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert type(watched.optimizer).__name__ == "LossScaleOptimizer"
    pairs = zip(watched.trainable_variables, unwatched.trainable_variables)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)
    watch = callback.watch
    assert watch is not None and watch.run is not None and not watch.faults
    taken = int(watched.optimizer.iterations)
    assert (watch.steps, watch.scaled.skipped) == (taken, 10 - taken)
    assert watch.run.steps[0].loss == pytest.approx(1.4, abs=0.4) and watch.run.steps[0].loss_scale == 2.0**15


def test_steps_that_a_scaled_loss_made_infinite_are_counted_as_skipped() -> None:
    model, callback = build("relu", 3, scaled=True), PhoticCallback()
    model.optimizer.initial_scale = 3e38
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=model.optimizer, loss=lambda y, output: 10.0 * loss(y, output))
    fit(model, callback)
    taken = int(model.optimizer.iterations)
    assert callback.watch is not None and 0 < taken < 10
    assert (callback.watch.steps, callback.watch.scaled.skipped) == (taken, 10 - taken)


def test_a_compiled_fit_goes_on_and_says_that_nothing_is_read(recwarn: pytest.WarningsRecorder) -> None:
    model, callback = build("relu", 3), PhoticCallback()
    model.compile(optimizer=model.optimizer, loss=model.loss, jit_compile=True)
    model.make_train_function()
    model.train_function = torch.compile(lambda rows: model.train_step(rows[0]), backend="eager")
    fit(model, callback)
    assert any("runs the whole training step inside torch.compile" in str(w.message) for w in recwarn)
    assert callback.watch is not None and callback.watch.run is None and not callback.watch.faults
    assert int(model.optimizer.iterations) == 10


class Stumbles(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 4:
            raise KeyError("stumbled")


def test_after_an_exception_the_next_fit_or_the_end_of_the_callback_ends_the_watch() -> None:
    model, callback, before = build("relu", 3), PhoticCallback(), len(after_steps.listeners)
    for _ in range(2):
        with pytest.raises(KeyError, match="stumbled"):
            fit(model, callback, Stumbles())
        assert len(after_steps.listeners) == before + 1
    del callback
    gc.collect()
    assert len(after_steps.listeners) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_finding_ends_the_fit_where_that_is_asked_for() -> None:
    callback = PhoticCallback(stop_on="critical", every=2)
    with pytest.raises(TrainingStopped, match="vanishing-gradient"):
        fit(build("sigmoid", 10), callback)
    assert callback.watch is not None and callback.watch.steps == 3


def test_a_trainer_that_uses_other_weights_and_another_backend_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Swapped(PhoticCallback):
        def set_model(self, model: Any) -> None:
            super().set_model(build("relu", 3))

    with pytest.raises(BlindError, match="Keras made 2 steps and photic saw no optimizer of torch step"):
        fit(build("relu", 3), Swapped())
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="the backend of Keras is jax"):
        fit(build("relu", 3), PhoticCallback())
