"""What people post who ask why a network does not train: found, cured by the change that they were told, and not where it was made."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import check, treat
from photic.remedies.carry_out import carry_out
from photic.remedies.patch import apply_patch
from photic.remedies.prescription import Prescription
from tests import children
from tests.diagnosis.held import alarms
from tests.remedies import posted as p
from tests.remedies.test_late_breaks_and_loops import prescribed
from tests.remedies.test_structure import cured


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)


def likelihood(output: Any, target: Tensor) -> Tensor:
    return -p.log_likelihood(output, target)


LIST: dict[str, tuple[Any, Any, Any, Any, Any, Any]] = {  # remedy, batches, sick, healthy, loss (sick, healthy), optimizer
    "states of zeros": ("batch-first", p.rows, partial(p.RowReader, first=False), partial(p.RowReader, first=True), F.cross_entropy, adam),
    "view of windows": ("rows-first", p.waves, partial(p.Windows, turned=False), partial(p.Windows, turned=True), F.mse_loss, adam),
    "probabilities into ctc": ("log-probabilities", p.words, partial(p.Speech, "softmax"), partial(p.Speech, "log_softmax"), p.ctc, adam),
    "scores into ctc": ("log-probabilities", p.words, partial(p.Speech, ""), partial(p.Speech, "log_softmax"), p.ctc, adam),
    "log likelihood": ("descend", p.contexts, p.SkipGram, p.SkipGram, (p.log_likelihood, likelihood), adam),
    "norm of one value": ("left-out", p.sales, partial(p.Forecast, norm=True), partial(p.Forecast, norm=False), F.mse_loss, adam),
    "positions by arange": (
        "positions-in-time", p.halves, partial(p.Encoder, table="rows", first=False), partial(p.Encoder, table="rows", first=True),
        F.cross_entropy, lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
    ),
    "positions of the tutorial": (
        "positions-in-time", p.halves, partial(p.Encoder, table="buffer", first=False), partial(p.Encoder, table="buffer", first=True),
        F.cross_entropy, lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
    ),
    "scores without scale": ("smaller-scores", p.recall, partial(p.Memory, scaled=False), partial(p.Memory, scaled=True), F.cross_entropy, momentum),
}  # fmt: skip


@pytest.mark.parametrize("name", LIST)
def test_it_is_cured_by_what_cured_it(name: str) -> None:
    remedy, batches, sick, healthy, losses, optimizer = LIST[name]
    loss, right = losses if isinstance(losses, tuple) else (losses, losses)
    found = treat(sick, batches(), loss, optimizer=optimizer, steps=100, workers=1, seeds=(0,))
    assert found.remedy == remedy, found.report()
    assert found.patch or found.paste
    torch.manual_seed(0)
    model = healthy()
    assert not alarms(check(model, batches(), right, optimizer(model)))


def test_the_patch_leaves_out_the_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from photic.cli.targets import load

    monkeypatch.chdir(tmp_path)
    source = Path(p.__file__).read_text()
    (tmp_path / "net.py").write_text(source + "\n\ndef build():\n    return RowReader(first=False)\n")
    found = treat(
        load("net.py:build").build, p.rows(), F.cross_entropy, optimizer=adam, steps=100, workers=1, seeds=(0,)
    )
    assert found.remedy == "batch-first" and found.patch, found.paste
    assert "+        out, _ = self.lstm(x)" in found.patch and "batch_first=True" in found.patch
    apply_patch(found.patch, tmp_path)
    run = "import net; print(tuple(net.build()(net.rows()[0][0]).shape))"
    done = children.run([sys.executable, "-c", run], cwd=tmp_path)
    assert done.stdout.strip() == "(32, 6)", done.stderr


def test_a_relu_above_all_layers_becomes_a_softplus(monkeypatch: pytest.MonkeyPatch) -> None:
    cured(
        "smooth-output",
        monkeypatch,
        partial(p.Density, torch.relu),
        p.opacities(),
        F.mse_loss,
        optimizer=adam,
        steps=100,
    )
    torch.manual_seed(0)
    model = p.Density(F.softplus)
    assert not alarms(check(model, p.opacities(), F.mse_loss, adam(model)))
    hidden = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    nn.init.constant_(hidden[0].bias, -9.0)
    assert "above all layers" in prescribed("smooth-output", hidden, p.opacities(), F.mse_loss)


def test_a_transposition_of_channels_becomes_a_move_of_them() -> None:
    g = torch.Generator().manual_seed(3)
    batches = [(torch.randn(16, 3, 6, 6, generator=g), torch.randint(0, 4, (16, 6, 6), generator=g)) for _ in range(8)]
    torch.manual_seed(0)
    model, right = p.Pixels(permuted=False), p.Pixels(permuted=True)
    right.load_state_dict(model.state_dict())
    found = prescribed("channels-last", copy.deepcopy(model), batches)
    assert isinstance(found, Prescription) and found.channels_last == ("/transpose#1",)
    carry_out(found, model, seed=0)
    torch.testing.assert_close(model(batches[0][0]), right(batches[0][0]))
    assert isinstance(prescribed("channels-last", p.Pixels(permuted=True), batches), str)


def test_a_part_that_ran_twice_under_no_grad_is_recorded_twice() -> None:
    g = torch.Generator().manual_seed(4)
    pairs = [(torch.randn(16, 8, generator=g), torch.randn(16, 8, generator=g)) for _ in range(8)]
    batches = [((a, b), (a + b)[:, :4].argmax(1)) for a, b in pairs]
    torch.manual_seed(0)
    model, right = p.Twice(recorded=False), p.Twice(recorded=True)
    right.load_state_dict(model.state_dict())
    found = prescribed("recorded-pass", copy.deepcopy(model), batches)
    assert isinstance(found, Prescription)
    carry_out(found, model, seed=0)
    for one in (model, right):
        F.cross_entropy(one(*batches[0][0]), batches[0][1]).backward()
    for one, other in zip(model.parameters(), right.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("flat", [False, True])
def test_advantages_that_meet_every_ratio_are_found(flat: bool) -> None:
    model = p.Policy()
    found = check(model, p.rollouts(), partial(p.clipped, flat=flat), adam(model))
    assert alarms(found) == ([] if flat else ["broadcast-target"])


def test_colours_that_lie_last_become_channels() -> None:
    torch.manual_seed(0)
    model, right = p.Camera(permuted=False), p.Camera(permuted=True)
    right.load_state_dict(model.state_dict())
    found = prescribed("channels-first", copy.deepcopy(model), p.places())
    assert isinstance(found, Prescription) and found.channels_first == ("/reshape#1",)
    carry_out(found, model, seed=0)
    x = p.places()[0][0]
    torch.testing.assert_close(model(x), right(x))
    assert isinstance(prescribed("channels-first", p.Camera(permuted=True), p.places()), str)


def test_factors_that_all_start_at_one_number_are_drawn() -> None:
    found = prescribed("drawn-tables", p.Factors(drawn=False), p.ratings(), F.mse_loss)
    assert isinstance(found, Prescription) and [layer.weight for layer in found.layers] == ["u", "i"]
    model = p.Factors(drawn=False)
    carry_out(found, model, seed=0)
    assert float(model.u.detach().std()) == pytest.approx(0.3, rel=0.2) and abs(float(model.u.detach().mean())) < 0.05
    assert isinstance(prescribed("drawn-tables", p.Factors(drawn=True), p.ratings(), F.mse_loss), str)


def test_the_weight_of_a_focal_loss_may_be_sure() -> None:
    def focal(output: Tensor, target: Tensor) -> Tensor:
        p = torch.sigmoid(output)
        away = p * (1 - target) + (1 - p) * target
        return (away**2 * F.binary_cross_entropy_with_logits(output, target, reduction="none")).mean()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    with torch.no_grad():
        model[2].weight.mul_(200.0)
    g = torch.Generator().manual_seed(5)
    batches = [(x, (x[:, :1] > 0).float()) for x in (torch.randn(32, 8, generator=g) for _ in range(12))]
    assert "loss-saturation" not in alarms(check(model, batches, focal, torch.optim.SGD(model.parameters(), lr=1e-4)))
    squared = check(
        model, batches, lambda o, t: F.mse_loss(torch.sigmoid(o), t), torch.optim.SGD(model.parameters(), lr=1e-4)
    )
    assert "loss-saturation" in alarms(squared)


def errors_over(spread: Callable[[Tensor], Tensor]) -> Any:
    return lambda output, target: ((output - target) ** 2 / spread(target)).mean()


def test_a_square_with_a_negative_weight_has_no_bound_and_a_likelihood_of_numbers_has_one() -> None:
    batches = [(x, torch.cat([y, y - y - 5e-4], 1)) for x, y in p.waves()]
    model = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 2))
    torch.manual_seed(0)
    by_the_mean = errors_over(lambda y: torch.where(y.std(0) < 1e-6, y.mean(0), y.std(0)))
    found = check(model, batches, by_the_mean, torch.optim.Adam(model.parameters(), lr=3e-2), steps=40)
    assert "diverging" in alarms(found)
    gaussian = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 2))

    def likely(output: Tensor, target: Tensor) -> Tensor:
        mean, log = output.chunk(2, 1)
        return 0.5 * (log + (target - mean) ** 2 / log.exp()).mean()

    assert not alarms(check(gaussian, p.waves(), likely, torch.optim.Adam(gaussian.parameters(), lr=1e-2), steps=100))
