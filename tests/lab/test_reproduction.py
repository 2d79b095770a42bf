"""The frame of the papers: claims judged, results kept, runs resumed, the scoreboard stored and shown."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from photic.cli.main import run
from photic.lab import cache, claims
from photic.lab.board import interval, markdown, verdict
from photic.lab.claims import Claim, Numbers, Paper, Size, papers
from photic.lab.reproduction import merged, reproduce, scoreboard
from photic.records import documents
from photic.reports.scoreboard import STORED, read_stored, to_claims_json

ROOT = Path(__file__).resolve().parents[2]
CALLS: list[tuple[int, str]] = []


def draws(seed: int, size: Size) -> Numbers:
    CALLS.append((seed, size))
    if seed == 7:
        raise KeyboardInterrupt
    return {"value": 1.0 + seed, "list": [seed], "nothing": math.nan}


def made(**changes: object) -> Paper:
    settings = {
        "text": "It grows.",
        "place": "p. 1",
        "experiment": draws,
        "number": "value",
        "tolerance": "none",
        **changes,
    }
    return Paper(key="he2015", title="A title", module="photic.lab.cache", claims=(Claim(**settings),))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTIC_CACHE", str(tmp_path / "cache"))
    CALLS.clear()


@pytest.mark.parametrize(
    ("low", "high", "over", "measured", "holds"),
    [(1.9, 2.1, "mean", 2.0, True), (2.5, None, "mean", 2.0, False), (None, 1.0, "smallest", 1.0, True), (3.0, 3.0, "largest", 3.0, True)],
)  # fmt: skip
def test_a_claim_holds_where_its_number_lies_in_the_range(
    low: float | None, high: float | None, over: str, measured: float, holds: bool
) -> None:
    result = reproduce(made(low=low, high=high, over=over)).claims[0]
    assert result.measured == measured and result.holds is holds and result.spread == 1.0


@pytest.mark.parametrize(
    ("low", "high", "seeds", "over", "said"),
    [
        (None, 5.0, 3, "mean", "holds"),  # 2 +- 4.30 / sqrt(3) = -0.48 to 4.48
        (1.0, None, 3, "mean", "within the noise"),
        (2.5, None, 3, "mean", "does not hold"),
        (1.0, None, 3, "smallest", "holds"),
        (1.0, None, 1, "mean", "holds, one seed"),
    ],
)
def test_a_claim_whose_interval_crosses_its_bound_is_within_the_noise(
    low: float | None, high: float | None, seeds: int, over: str, said: str
) -> None:
    result = reproduce(made(low=low, high=high, seeds=seeds, over=over)).claims[0]
    assert verdict(result) == said
    found = interval(result)
    assert (found is None) == (seeds == 1 or over != "mean")
    if found is not None:  # Student's t for two degrees of freedom: 4.303
        assert found == pytest.approx((2.0 - 4.3027 / math.sqrt(3), 2.0 + 4.3027 / math.sqrt(3)), abs=1e-3)


def test_nan_holds_nothing() -> None:
    assert reproduce(made(number="nothing")).claims[0].holds is False


def test_what_was_computed_is_not_computed_again_and_a_stopped_run_goes_on() -> None:
    reproduce(made(), seeds=2)
    with pytest.raises(KeyboardInterrupt):
        reproduce(made(), seeds=8)
    assert [seed for seed, _ in CALLS] == [0, 1, 2, 3, 4, 5, 6, 7]
    reproduce(made(), seeds=7)
    assert len(CALLS) == 8


def test_another_question_or_other_code_is_another_result() -> None:
    assert cache.key("photic.lab.cache", {"seed": 0}) != cache.key("photic.lab.cache", {"seed": 1})
    assert cache.source_key("photic.lab.claims") != cache.source_key("photic.lab.cache")
    assert "photic.theory.maps" in set(cache._imported((ROOT / "src/photic/theory/laws.py").read_text()))


def test_a_full_claim_stays_open_in_the_quick_size_and_keeps_its_stored_result() -> None:
    full = made(size="full")
    quick = scoreboard([reproduce(full)])
    assert quick.papers[0].claims[0].measured is None and CALLS == []
    done = scoreboard([reproduce(full, size="full")])
    assert done.papers[0].claims[0].measured == 2.0 and {size for _, size in CALLS} == {"full"}
    assert merged(quick, done).papers[0].claims[0].measured == 2.0
    assert (
        merged(scoreboard([reproduce(made(size="full", text="It shrinks."), seeds=5)]), done)
        .papers[0]
        .claims[0]
        .measured
        is None
    )


def test_the_seconds_are_those_of_the_quick_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("time.process_time", lambda: float(next(ticks)))
    assert reproduce(made()).seconds == 3.0  # one tick for each seed
    assert reproduce(made(size="full"), size="full").seconds == 0.0


def test_the_scoreboard_survives_its_document_and_makes_the_promised_json() -> None:
    board = scoreboard([reproduce(made(low=1.0))])
    assert documents.from_json(documents.to_json(board)) == board
    claim = {"text": "It grows.", "place": "p. 1", "expected": [1.0, None], "measured": 2.0, "seeds": 3, "holds": True}
    assert json.loads(to_claims_json(board)) == {"papers": [{"key": "he2015", "title": "A title", "claims": [claim]}]}
    assert "| It grows. | p. 1 | – | at least 1 | 2 ± 1 (3 seeds) | -0.484 to 4.48 | within the noise |" in markdown(
        board
    )


def test_every_paper_is_in_the_references_and_owes_place_range_seeds_and_derivation() -> None:
    keys = (ROOT / "references.bib").read_text()
    found = papers()
    assert len({paper.key for paper in found}) == len(found)
    for paper in found:
        assert f"{{{paper.key}," in keys, paper.key
        assert paper.full.endswith("."), f"{paper.key} does not say what its full size is"
        assert len({claim.text for claim in paper.claims}) == len(paper.claims)
        for claim in paper.claims:
            assert claim.text.endswith(".") and claim.place and claim.tolerance and claim.seeds >= 1
            assert claim.low is not None or claim.high is not None
            assert claim.experiment.__doc__ and claim.experiment.__module__ == paper.module
            assert claim.low is None or claim.high is None or claim.low <= claim.high


def test_the_stored_scoreboard_has_every_claim_as_it_stands_in_the_code() -> None:
    stored = {paper.key: paper for paper in read_stored().papers}
    assert set(stored) == {paper.key for paper in papers()}
    for paper in papers():
        kept = stored[paper.key].claims
        assert [(c.text, c.place, c.size) for c in kept] == [(c.text, c.place, c.size) for c in paper.claims], paper.key
        for old, claim in zip(kept, paper.claims, strict=True):  # a bound that is computed may differ in its last bit
            for was, now in ((old.low, claim.low), (old.high, claim.high)):
                assert was == now or math.isclose(was, now, rel_tol=1e-12), claim.text


def test_the_command_shows_the_stored_scoreboard_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    program = "import sys; sys.modules['torch'] = None; from photic.cli.main import run; raise SystemExit(run(['reproduce', '--json']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert STORED.exists() and json.loads(done.stdout)["papers"]
    assert run(["reproduce", "nobody1900"]) == 2
    assert "there is no paper 'nobody1900'" in capsys.readouterr().err
    assert run(["reproduce", "--store"]) == 2


def test_the_page_of_the_papers_is_the_stored_scoreboard() -> None:
    assert (ROOT / "docs" / "papers.md").read_text() == markdown(read_stored())


def test_a_paper_is_found_by_its_key() -> None:
    first = papers()[0]
    assert claims.paper(first.key) is first
    with pytest.raises(KeyError, match="there is no paper"):
        claims.paper("nobody1900")
