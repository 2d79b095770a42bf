"""A chosen part of the papers' claims, run anew: closed forms and what takes seconds. All run in `photic reproduce --all`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from photic.cli.main import run
from photic.lab import online
from photic.lab.claims import Numbers, paper, papers
from photic.lab.online import course
from photic.lab.reproduction import numbers
from photic.lab.tracing import trace

CHOSEN = {
    "glorot2010": ("surface", "gallery", "table", "errata"),
    "he2015": ("closed_forms", "rectangular"),
    "hanin2018": ("shallow",),
    "saxe2014": ("spectra", "nonlinear"),
    "poole2016": ("lengths", "correlations"),
    "pennington2017": ("linear",),
    "yang2019": ("linear", "tanh"),
    "balduzzi2017": ("looks_linear",),
    "pascanu2013": ("matrices",),
    "xiao2018": ("kernels",),
    "klambauer2017": ("theory",),
    "bachlechner2021": ("start",),
    "zhang2019": ("start",),
    "martens2021": ("conditions",),
    "zhang2022tat": ("slopes",),
    "de2020": ("variances",),
    "xiong2020": ("depths",),
    "schoenholz2017": ("gradients",),
    "jozefowicz2015": ("memory",),
    "wang2022deepnet": ("updates",),
}
SEEDS = 2  # at most so many here; `photic reproduce --all` takes all


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("key", CHOSEN)
def test_the_chosen_claims_of_a_paper_hold(key: str) -> None:
    from photic.lab.reproduction import judged

    found = paper(key)
    claims = [claim for claim in found.claims if claim.experiment.__name__ in CHOSEN[key] and claim.size == "quick"]
    assert {claim.experiment.__name__ for claim in claims} == set(CHOSEN[key])
    for claim in claims:
        seeds = min(claim.seeds, SEEDS)
        for seed in range(seeds):
            numbers(found, claim.experiment, seed, "quick")
        result = judged(found, claim, seeds)
        # A sentence that does not hold must say why.
        assert result.holds or claim.note, (claim.text, result.measured, claim.low, claim.high)


def test_every_paper_has_a_part_that_ci_runs() -> None:
    assert set(CHOSEN) == {found.key for found in papers()}


def test_the_tensors_of_figures_6_to_8_are_those_of_the_record() -> None:
    """The histograms are of autograd's tensors; a record keeps their moments, and both agree to float32's rounding."""
    from photic.lab.papers.glorot_2010_initialisation import distributions

    drawn = distributions(0, "quick")
    for weights in online.VARIANCES:
        layers = trace(online.network("tanh", weights, width=1000, depth=5, seed=0), online.images(300, 1000))
        assert drawn[f"{weights} activations rms"] == pytest.approx(layers.activations, rel=1e-4)
        assert drawn[f"{weights} gradients rms"] == pytest.approx([300 * g for g in layers.gradients[:5]], rel=1e-4)
        assert drawn[f"{weights} weight gradients rms"] == pytest.approx(layers.weight_gradients[1:5], rel=1e-4)


def test_an_experiment_is_the_same_every_time() -> None:
    for key in ("he2015", "poole2016"):
        found = paper(key)
        experiment = {claim.experiment.__name__: claim.experiment for claim in found.claims}[CHOSEN[key][0]]
        assert experiment(1, "quick") == experiment(1, "quick")


def test_there_are_sixty_claims_over_twelve_papers_and_more() -> None:
    assert len(papers()) >= 12
    assert sum(len(found.claims) for found in papers()) >= 60


def test_figures_are_drawn_in_the_form_of_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "glorot2010", "--figure", "5", "--out", str(tmp_path)]) == 0
    assert run(["reproduce", "poole2016", "--figure", "1", "--out", str(tmp_path)]) == 0
    for name in ("glorot2010-figure-5.png", "poole2016-figure-1.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert run(["reproduce", "poole2016", "--figure", "99", "--out", str(tmp_path)]) == 2
    assert "there are: 1" in capsys.readouterr().err


@pytest.mark.slow
def test_glorots_figures_2_to_11_and_table_1_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With trainings of four updates of narrow layers in the place of 10,000."""
    from photic.lab.papers import glorot_2010_initialisation as glorot

    def short(activation: str, weights: str, *, seed: int, depth: int = 5, **_: int) -> Numbers:
        return course(activation, weights, seed=seed, updates=4, every=2, depth=depth, width=8)

    monkeypatch.setattr(glorot, "course", short)
    assert list(glorot.FIGURES) == [str(number) for number in range(2, 12)] + ["table-1"]
    for number in glorot.FIGURES:
        assert run(["reproduce", "glorot2010", "--figure", number, "--out", str(tmp_path)]) == 0
        assert (tmp_path / f"glorot2010-figure-{number}.png").stat().st_size > 10_000
    assert run(["reproduce", "glorot2010", "--figure", "2", "--full", "--out", str(tmp_path / "full")]) == 0
    assert (tmp_path / "full" / "glorot2010-figure-2.png").exists()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softsign"])
def test_a_course_trains_and_reads_its_layers_as_autograd_does_and_is_kept(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "softsign": F.softsign}[activation]
    found = course(activation, "standard", seed=3, updates=20, every=10, depth=2, width=16)
    model = online.network(activation, "standard", width=16, depth=2, seed=3)
    test, answers = online.images(3000, 1003)
    for reading in range(3):
        if reading:
            pixels, labels = online.images(100, 4_000_000 + 10 * (reading - 1))
            for x, y in zip(pixels.split(10), labels.split(10)):
                gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
                with torch.no_grad():
                    for parameter, gradient in zip(model.parameters(), gradients):
                        parameter -= 0.03 * gradient
        first = curve(model[0](test))
        second = curve(model[2](first))
        wrong = float((model(test).argmax(1) != answers).double().mean())
        own = torch.autograd.grad(F.cross_entropy(model(test[:300]), answers[:300]), [model[0].weight, model[2].weight])
        assert found["errors"][reading] == pytest.approx(wrong, abs=2 / 3000)
        for name, expected in {
            "means": [float(h[:300].detach().mean()) for h in (first, second)],
            "deviations": [float(h[:300].detach().std()) for h in (first, second)],
            "percentiles": [float(h[:300].abs().detach().quantile(0.98)) for h in (first, second)],
            "weight gradients": [float(g.square().mean().sqrt()) for g in own],
        }.items():
            assert found[name][reading] == pytest.approx(expected, rel=1e-4, abs=1e-6), name
    assert sum(found["histograms"][1]) * 2 / 101 == pytest.approx(1.0)  # a density over [-1, 1]
    monkeypatch.setattr(online, "_trained", None)  # what is kept is not trained again
    assert course(activation, "standard", seed=3, updates=20, every=10, depth=2, width=16) == found


def test_table_1_groups_as_two_proportions_do() -> None:
    """Glorot's MNIST column: 1.64 % against 2.21 % of 10,000 has z = 2.93, two-sided p = 0.0034; by statsmodels' formula."""
    from photic.lab.error_rates import best_group, two_proportions

    assert two_proportions(0.0164, 0.0221, 10_000) == pytest.approx(0.0034, abs=2e-4)
    assert two_proportions(0.02, 0.02, 10_000) == pytest.approx(1.0)
    column = {"a": 1.64, "b": 1.76, "c": 2.21}
    assert best_group(column, 10_000) == ["a", "b"] and best_group(column, 1000) == ["a", "b", "c"]
