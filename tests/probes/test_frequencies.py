"""Frequencies of classes: the scores give them, their loss is the entropy, and who comes down to it has learned nothing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import photic
from photic.diagnosis.evidence import Case, training
from photic.diagnosis.learning import learns
from photic.probes.frequencies import Frequencies
from photic.remedies.material import Material


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.booleans())
def test_a_softmax_of_the_scores_gives_the_counts_and_one_more(classes: list[int], last: bool) -> None:
    assume(not last or len(classes) != 5)  # then torch's own axis, the second, is taken
    targets = torch.tensor(classes).expand(2, -1)
    seen = Frequencies()
    seen.saw(targets[0])
    output = torch.zeros((2, len(classes), 5) if last else (2, 5, len(classes)))
    scores = seen.scores(output, targets)
    if len(set(classes)) < 2:
        assert scores is None
        return
    assert scores is not None and scores.shape == output.shape
    counts = torch.bincount(targets[0], minlength=5) + 1
    shares = scores.softmax(2 if last else 1).movedim(2 if last else 1, -1)
    torch.testing.assert_close(shares, (counts / counts.sum()).expand(shares.shape))


def test_the_loss_of_the_frequencies_is_the_entropy() -> None:
    targets = torch.arange(100_000 - 1) % 20 // 19  # one in twenty
    seen = Frequencies()
    seen.saw(targets)
    scores = seen.scores(torch.zeros(len(targets), 2), targets)
    assert scores is not None
    entropy = -(0.05 * math.log(0.05) + 0.95 * math.log(0.95))
    assert float(F.cross_entropy(scores, targets)) == pytest.approx(entropy, rel=1e-3)
    one = Frequencies()
    one.saw(targets.float()[:, None])
    scores = one.scores(torch.zeros(len(targets), 1), targets.float()[:, None])
    assert scores is not None
    loss = F.binary_cross_entropy_with_logits(scores, targets.float()[:, None])
    assert float(loss) == pytest.approx(entropy, rel=1e-3)


def test_no_classes_no_scores() -> None:
    seen = Frequencies()
    for targets in (None, torch.zeros(4), torch.tensor([1, 1, 1, 1]), torch.tensor([]), torch.full((4,), 7.5)):
        seen.saw(targets)
    assert seen.scores(torch.zeros(4, 3), torch.tensor([1, 1, 1, 1])) is None  # one class is no frequency
    assert seen.scores(torch.zeros(4, 3), torch.zeros(4, 3)) is None
    assert seen.scores(None, torch.tensor([0, 1])) is None


def rare(share: int, *, told: bool = True) -> list[tuple[Tensor, Tensor]]:
    """Sixteen batches in which one example in `share` is of the second class; the first number says which, if it is told."""
    draw = torch.Generator().manual_seed(0)
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(16):
        targets = (torch.randint(share, (64,), generator=draw) == 0).long()
        x = torch.randn(64, 8, generator=draw)
        batches.append((torch.cat([x[:, :1] + 3.0 * targets[:, None] * told, x[:, 1:]], 1), targets))
    return batches


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))


@pytest.mark.parametrize("told", [True, False])
def test_who_comes_down_to_the_frequencies_has_learned_nothing(told: bool) -> None:
    model = network()
    run = photic.check(
        model, rare(20, told=told), F.cross_entropy, torch.optim.Adam(model.parameters(), 1e-2), steps=60
    ).run
    seen = training(Case(run, None))
    assert seen is not None and seen.prior is not None and seen.prior < 0.4 * seen.chance < seen.first
    assert seen.last < 0.5 * seen.first  # it falls in both
    assert learns(seen) is told


def test_a_rate_at_which_only_the_frequencies_are_learned_is_found() -> None:
    model = network()
    found = photic.check(model, rare(20), F.cross_entropy, torch.optim.Adam(model.parameters(), 3.0))
    assert "learning-rate-too-large" in {finding.problem for finding in found.findings if finding.severity != "info"}


def test_a_trial_counts_from_the_frequencies() -> None:
    material = Material.collect(network, rare(20), F.cross_entropy, None, steps=40)
    held = torch.cat([targets for _, targets in material.held_back]).double().mean()
    assert material.prior == pytest.approx(float(-held * math.log(0.05) - (1 - held) * math.log(0.95)), rel=0.1)
    numbers = [(x, x[:, :1] + 2.0) for x, _ in rare(20)]
    assert Material.collect(network, numbers, F.mse_loss, None, steps=40).prior is None


def test_a_loss_that_takes_no_scores_keeps_what_else_is_known() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    batches = [(x, y.float()[:, None]) for x, y in rare(4)]
    run = photic.check(model, batches, F.binary_cross_entropy, torch.optim.Adam(model.parameters(), 1e-2)).run
    assert run.prior is None and run.untrained is not None and run.constant is not None
