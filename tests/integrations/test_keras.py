"""The callback in a real `fit` of Keras on torch: gradients and updates of a plain loop with the same weights."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
import torch.nn.functional as F

os.environ.setdefault("KERAS_BACKEND", "torch")
keras: Any = pytest.importorskip("keras", exc_type=ImportError)

from photic.integrations.keras import PhoticCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own


def build(activation: str, depth: int, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(16, activation=activation) for _ in range(depth)]
    model = keras.Sequential([keras.layers.Input((16,)), *hidden, keras.layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.1, **options), loss=loss)
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
