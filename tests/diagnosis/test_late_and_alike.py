"""What breaks after some steps is read right before; what absorbs infinite numbers is passed over; what is read alike is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.batches import loss_of_mean
from tests.diagnosis import late_and_alike as sick
from tests.diagnosis.held import alarms, asked


def test_what_breaks_after_some_steps_is_named_where_it_breaks() -> None:
    checkup = asked(sick.Triplets(), sick.gaits(), sick.of_the_active, rate=3e-2)
    (found,) = [f for f in checkup.findings if f.problem == "non-finite"]
    assert found.sites == ("<loss>/mean#1",) and checkup.run.broke_trained
    assert found.reason.startswith("In step ") and found.reason.endswith("Before the training it does not.")


def test_what_is_no_longer_there_is_not_copied() -> None:
    class Keeping(sick.Triplets):
        kept: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.kept = super().forward(x)  # torch copies no tensor with a history
            return self.kept

    (found,) = [
        f for f in asked(Keeping(), sick.gaits(), sick.of_the_active, rate=3e-2).findings if f.problem == "non-finite"
    ]
    assert found.sites == () and "is not finite from step" in found.reason


class Paths(nn.Module):
    """Costs of two ways of which one is closed: log-sum-exp passes over it; with both closed the cost is infinite."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.closed = nn.Linear(16, 4), torch.tensor([float("inf"), float("inf") if both else 0.0])

    def forward(self, x: Tensor) -> Tensor:
        cost = torch.stack([self.first(x).square().sum(1), torch.ones(len(x))], 1)
        one = -torch.logsumexp(-(cost + torch.tensor([float("inf"), 0.0])), 1)
        return one + torch.logsumexp(-(cost + self.closed), 1)


@pytest.mark.parametrize("both", [True, False])
def test_infinite_numbers_that_are_absorbed_are_meant(both: bool) -> None:
    found = [
        f
        for f in asked(Paths(both=both), loss=lambda out, _: out.mean(), steps=2).findings
        if f.problem == "non-finite"
    ]
    assert [f.sites for f in found] == ([("/add#2",)] if both else [])


def test_a_part_that_was_not_seen_is_looked_behind() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(16, 8), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            one, other = torch.cat([self.first(x)[:, :4], torch.log(0.0 * self.first(x)[:, 4:])], 1).chunk(2, 1)
            return self.last(one + other)

    (found,) = [f for f in asked(Parts(), steps=2).findings if f.problem == "non-finite"]
    assert found.sites == ("/log#1",)


def test_an_attention_that_reads_nothing_but_padding_is_named() -> None:
    (found,) = [f for f in asked(sick.Reader(turned=True), sick.facts()).findings if f.severity != "info"]
    assert found.problem == "idle-layer" and found.sites[0] == "attn/scaled_dot_product_attention#1"
    assert "fact" in found.sites and "question" not in found.sites
    assert alarms(asked(sick.Reader(turned=False), sick.facts())) == []


def test_one_row_of_the_whole_batch_for_all_is_named() -> None:
    (found,) = [f for f in asked(sick.Pooled(whole=True), sick.groups()).findings if f.severity == "critical"]
    assert found.problem == "class-prior-only" and found.sites == ("/expand#1",)
    assert alarms(asked(sick.Pooled(whole=False), sick.groups())) == []


def test_a_loss_that_is_blind_to_the_targets_has_no_chance() -> None:
    def blind(output: Tensor, _: Any) -> Tensor:
        return output.square().mean()

    targets = torch.tensor([0.0, 1.0, 1.0, 0.0])
    mean = targets.mean().expand(4)
    assert loss_of_mean(mean, targets, F.mse_loss, 0) == pytest.approx(0.25)
    assert loss_of_mean(mean, targets, F.binary_cross_entropy_with_logits, 0) is not None
    assert loss_of_mean(mean, targets, F.binary_cross_entropy, 0) == pytest.approx(0.6931472)
    assert loss_of_mean(mean, targets, blind, 0) is None
    assert loss_of_mean(torch.zeros(4), torch.zeros(4), F.mse_loss, 0) is None
