"""The lessons: answers agree with formulas, limits are kept, training streams, and the page shows each lesson."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from photic.web.export import key
from photic.web.lessons import ROUTES, answer
from photic.web.server import application

LESSONS = (
    "neuron", "backpropagation", "depth", "saturation", "tanh", "xavier", "he", "centring", "normalisation", "residual",
    "time", "precision", "phases", "free",
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return TestClient(application(tmp_path, lessons=ROUTES), base_url="http://127.0.0.1")


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu", "selu"])
def test_the_slope_by_formula_is_autograds(activation: str) -> None:
    found = answer("neuron", {"activation": activation})
    assert found["formula"] == pytest.approx(found["measured"], abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_every_delta_by_formula_is_autograds(activation: str, seed: int) -> None:
    for layer in answer("backpropagation", {"activation": activation, "seed": str(seed), "scale": "2"})["layers"]:
        assert layer["formula"] == pytest.approx(layer["autograd"], abs=1e-12)


def test_centring_makes_a_sigmoid_network_keep_its_gradient() -> None:
    reached = {
        name: answer("audit", {"initialiser": name, "depth": "20"})["profile"]["reached"]
        for name in ("default", "xavier", "centred_logistic")
    }
    assert reached["default"] < reached["xavier"] < reached["centred_logistic"] == 21


@pytest.mark.parametrize("gain", [0.5, 0.9, 1.0, 1.1, 1.3])
def test_a_recurrent_network_passes_at_most_its_gain_per_step(gain: float) -> None:
    found = answer("time", {"kind": "rnn", "gain": str(gain)})
    assert all(m <= f * 1.001 for m, f in zip(found["measured"], found["formula"], strict=True))
    assert found["measured"][0] == pytest.approx(gain**49, rel=0.01)  # the inputs are small: nothing saturates


def test_the_lesson_on_batch_normalisation_measures_what_its_formula_says() -> None:
    layers = answer("audit", {"activation": "relu", "normalisation": "batch", "depth": "10"})["profile"]["layers"]
    for name in ("transport", "predicted"):
        rates = [a[name] / b[name] for a, b in itertools.pairwise(layers[1:-1])]
        mean = math.prod(rates) ** (1 / len(rates))
        assert mean == pytest.approx(math.sqrt(math.pi / (math.pi - 1.0)), rel=0.05), name


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "softsign", "gelu"])
def test_every_phase_diagram_has_an_edge_between_the_phases(activation: str) -> None:
    found = answer("phases", {"activation": activation})
    weights, biases, gains = (np.array(found[name]) for name in ("weights", "biases", "gains"))
    line = np.array(found["line"])
    inside = line[(line[:, 0] >= weights[0]) & (line[:, 0] <= weights[-1]) & (line[:, 1] <= 1.0)]
    assert inside[:, 1].min() < 0.15 and inside[:, 1].max() > 0.9
    for weight, bias in inside[:: max(1, len(inside) // 20)]:
        column, row = int(np.abs(weights - weight).argmin()), int(np.abs(biases - bias).argmin())
        around = gains[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert around.min() <= 1.03 and around.max() >= 0.97, (weight, bias)
    if activation == "tanh":  # from (1, 0) it leaves along the weights, and is no straight line
        assert np.interp(1.35, line[:, 0], line[:, 1]) == pytest.approx(0.0064, abs=0.002)


def test_a_neuron_is_asked_at_zero_exactly() -> None:
    found = answer("neuron", {"activation": "sigmoid"})
    assert found["x"][80] == 0.0 and found["x"][83] == 0.3 and found["x"][0] == -8.0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("audit", {"depth": "1000"}), ("audit", {"width": "-1"}), ("audit", {"activation": "__import__"}), ("audit", {"width": "x"}),
        ("audit", {"data": "../../etc/passwd"}), ("audit", {"unknown": "1"}), ("time", {"steps": "1e9"}), ("time", {"gain": "nan"}),
        ("precision", {"epsilon": "inf"}), ("phases", {"activation": "nothing"}), ("nothing", {}), ("train", {"steps": "99999"}),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused_in_words(client: TestClient, kind: str, words: dict[str, str]) -> None:
    found = client.get(f"/api/learn/{kind}", params=words)
    assert found.status_code == 400 and found.json()["error"]


def test_training_streams_every_step_and_ends(client: TestClient) -> None:
    with client.stream("GET", "/api/learn/train", params={"steps": "12", "depth": "2", "width": "8"}) as stream:
        text = "".join(stream.iter_text())
    assert text.startswith("event: start") and text.rstrip().endswith('data: "done"')
    assert "glance/gradient" in text


def test_questions_are_written_as_the_page_writes_them() -> None:
    given = {"epsilon": 1e-8, "residual": True, "depth": 10, "gain": 1.0, "width": 0.025}
    assert key("x", given) == "x?depth=10&epsilon=1e-8&gain=1&residual=true&width=0.025"


@pytest.fixture(scope="module")
def reader(served_at: str, open_tab: Any) -> Iterator[Callable[[str], Any]]:
    """One tab that goes from lesson to lesson by its address, as by the list of them; each is built anew when it is shown."""
    tab = open_tab(f"{served_at}/learn")

    def read(lesson: str) -> Any:
        tab.page.evaluate("document.querySelector('.experiment').dataset.left = ''")
        tab.page.evaluate(f"location.hash = ''; location.hash = '{lesson}'")
        tab.page.wait_for_selector(".experiment:not([data-left]) :is(figure, table)", timeout=90000)
        return tab

    tab.page.wait_for_selector(".experiment", timeout=90000)
    yield read
    tab.page.close()


def faults(tab: Any) -> list[str]:
    """Return what is wrong with the page: wider than the window, hard to read or to reach, an error in the console."""
    width = tab.page.evaluate("document.documentElement.scrollWidth")
    wide = [] if width == tab.page.viewport_size["width"] else [f"{width} wide"]
    return [*wide, *tab.violations(), *tab.errors]


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_lesson_is_whole(served_at: str, reader: Any, lesson: str) -> None:
    tab = reader(lesson)
    assert tab.page.inner_text("nav a[aria-current=page]") == tab.page.inner_text("h1")
    assert faults(tab) == []
    assert tab.foreign(served_at) == []


@pytest.mark.parametrize(
    ("lesson", "width", "dress"),
    [("free", 400, "dark"), ("phases", 2560, "light"), ("precision", 2560, "dark")],
)
def test_lessons_are_whole_at_every_width_in_both_dresses(
    served_at: str, open_tab: Any, lesson: str, width: int, dress: str
) -> None:
    tab = open_tab(f"{served_at}/learn#{lesson}", width=width, dress=dress)
    tab.page.wait_for_selector(".experiment figure, .experiment table", timeout=90000)
    assert faults(tab) == []
    tab.page.close()


def test_the_text_of_a_lesson_is_there_before_pytorch_is(served_at: str, open_tab: Any) -> None:
    tab = open_tab(f"{served_at}/learn#neuron")
    tab.page.route("**/api/learn/options", lambda route: None)  # it never answers
    tab.page.reload()
    tab.page.wait_for_selector("h1")
    assert tab.page.inner_text("h1") == "One neuron and its slope"
    assert "PyTorch is starting" in tab.text()
    tab.page.close()


def test_every_knob_changes_what_is_measured(reader: Any) -> None:
    tab = reader("free")
    said = tab.page.locator(".experiment .said").first

    def changes(change: Any) -> None:
        rates = tab.page.locator(".experiment p.text").first
        before = (said.inner_text().split(" (")[0], rates.inner_text())
        change()
        for _ in range(4500):
            tab.page.wait_for_timeout(20)
            if (said.inner_text().split(" (")[0], rates.inner_text()) != before:
                return
        raise AssertionError(f"nothing changed after {before}")

    knobs = tab.page.locator(".experiment .knobs").first
    for label, option in (
        ("activation", "relu"),
        ("weights", "he"),
        ("data", "shapeset"),
        ("normalisation", "layer"),
    ):
        changes(lambda label=label, option=option: knobs.get_by_label(label).select_option(option))
    for label in ("hidden layers", "units per layer", "seed"):
        changes(lambda label=label: (knobs.get_by_label(label).focus(), tab.page.keyboard.press("ArrowRight")))
    changes(lambda: knobs.get_by_label("residual connections").check())
    assert tab.errors == []


def test_the_phase_diagram_is_asked_where_it_is_clicked(reader: Any) -> None:
    tab = reader("phases")
    box = tab.page.locator("canvas.phase").bounding_box()
    assert box is not None
    tab.page.locator("canvas.phase").click(position={"x": box["width"] * 0.99, "y": box["height"] * 0.5})
    tab.page.locator(".said", has_text="it explodes").wait_for(timeout=90000)  # tanh with weights of variance 4


def test_an_exported_page_answers_from_itself_and_says_what_it_cannot(open_tab: Any, tmp_path: Path) -> None:
    from photic.records.documents import to_plain
    from photic.reports.page import page

    options = {**answer("options", {}), "activation": ["sigmoid", "tanh"]}
    kept = {"options": options, "neuron?activation=sigmoid": to_plain(answer("neuron", {"activation": "sigmoid"}))}
    path = tmp_path / "index.html"
    path.write_text(page({"mode": "learn", "answers": kept}), encoding="utf-8")
    tab = open_tab(path.as_uri())
    tab.page.wait_for_selector(".experiment figure")
    assert "its slope is 0.25 by autograd, 0.25 by the formula" in tab.text()
    tab.page.locator(".knobs select").select_option("tanh")
    tab.page.get_by_role("alert").filter(has_text="was exported").wait_for()
    assert tab.requests == [path.as_uri()] and tab.errors == [] and tab.violations() == []
    tab.page.close()


def test_a_network_is_trained_from_the_page(reader: Any) -> None:
    tab = reader("free")
    tab.page.locator(".experiment .knobs").get_by_label("steps").fill("0")  # the first choice: 100
    tab.page.get_by_role("button", name="Train it").click()
    tab.page.locator(".training [role=status]", has_text="done").wait_for(timeout=60000)
    assert tab.page.locator(".training .heat canvas").count() >= 1
    assert tab.errors == []


def test_a_turned_knob_takes_away_the_training_of_other_settings(reader: Any) -> None:
    tab = reader("tanh")
    tab.page.get_by_role("button", name="Train it").click()
    tab.page.locator(".training .heat").wait_for(timeout=60000)
    tab.page.get_by_label("hidden layers").fill("3")
    tab.page.wait_for_timeout(400)  # ten times as long as the server takes to see what is new
    assert tab.page.locator(".training .heat").count() == 0
    assert tab.page.locator(".training [role=status]").inner_text() == ""
    assert tab.page.get_by_role("button", name="Train it").is_enabled() and tab.errors == []


def test_relu_is_drawn_without_an_end_and_its_slope_with_a_step(reader: Any) -> None:
    tab = reader("he")
    curves = tab.page.locator("svg.units path.curve").evaluate_all("found => found.map(path => path.getAttribute('d'))")
    value, slope = curves[0], curves[1]
    heights = [float(point.split(" ")[1]) for point in value.replace("M", "L").split("L")[1:]]
    assert heights[-1] < heights[-2] < heights[-10]  # still going up where it leaves the frame
    assert slope.count("M") == 2  # broken where it jumps


@pytest.mark.parametrize(("lesson", "dress"), [("depth", "light"), ("backpropagation", "dark")])
def test_on_a_narrow_screen_a_lesson_comes_before_the_list_of_lessons(
    served_at: str, open_tab: Any, lesson: str, dress: str
) -> None:
    tab = open_tab(f"{served_at}/learn#{lesson}", width=400, dress=dress)
    tab.page.wait_for_selector(".experiment figure, .experiment table", timeout=90000)
    assert faults(tab) == []
    box = tab.page.locator("h1").bounding_box()
    assert box is not None and box["y"] < 350
    if lesson == "backpropagation":
        size = tab.page.locator(".experiment svg").evaluate("s => 14 * s.clientWidth / s.viewBox.baseVal.width")
        assert size > 10.0  # pixels of its letters
    tab.page.close()
