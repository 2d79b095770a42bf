"""Export: the answers that a page of lessons needs without a server, all measured beforehand."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from photic.records.documents import to_plain
from photic.records.stores import StoreReader
from photic.reports.view import network_of_store
from photic.web.lessons import answer

if TYPE_CHECKING:
    from photic.lab.lessons.knobs import Knobs

DEPTHS = (1, 2, 5, 10, 20)
ACTIVATIONS = ("sigmoid", "tanh", "relu")
INITIALISERS = ("default", "xavier", "he", "centred_logistic")
NORMALISATIONS = ("none", "batch")
OF_TRAINING = ("learning_rate", "steps")
Progress = Callable[[str, float], None]


def key(kind: str, given: dict[str, Any]) -> str:
    """Return the words of a question as the page writes them (`web/src/learn/source.ts`)."""
    words = [f"{name}={quote(_word(value), safe='')}" for name, value in sorted(given.items())]
    return f"{kind}?{'&'.join(words)}" if words else kind


def _word(value: Any) -> str:
    """Return a value as JavaScript writes it: true, 0.1, 1e-8."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = repr(int(value)) if value.is_integer() else repr(value)
        if abs(value) >= 1e-6 and "e-" in text:  # JavaScript writes 0.000001, Python 1e-06
            return format(Decimal(text), "f")
        mantissa, mark, exponent = text.partition("e")
        return f"{mantissa}{mark}{int(exponent):+d}".replace("+", "") if mark else text
    return str(value)


def questions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every question that an exported page can answer."""
    from photic.lab.lessons.knobs import Knobs
    from photic.lab.lessons.small import PHASES

    first = {name: value for name, value in dataclasses.asdict(Knobs()).items() if name not in OF_TRAINING}
    grid = itertools.product(ACTIVATIONS, INITIALISERS, DEPTHS, NORMALISATIONS, (False, True))
    for activation, initialiser, depth, normalisation, residual in grid:
        chosen = {"activation": activation, "initialiser": initialiser, "depth": depth}
        yield "audit", {**first, **chosen, "normalisation": normalisation, "residual": residual}
    for activation in ACTIVATIONS:
        yield "neuron", {"activation": activation}
        for scale in (0.25, 0.5, 1, 2, 4):
            yield "backpropagation", {"activation": activation, "scale": scale, "seed": 0}
    for kind, gains in (("rnn", (0.5, 0.7, 0.9, 1, 1.1, 1.3)), ("lstm", (-2, 0, 1, 2, 4)), ("gru", (1,))):
        for gain in gains:
            yield "time", {"kind": kind, "gain": gain, "steps": 50, "seed": 0}
    for depth, epsilon, power in itertools.product(DEPTHS, (1e-12, 1e-10, 1e-8, 1e-6, 1e-4), (0, 8, 16, 20)):
        yield "precision", {**first, "depth": depth, "epsilon": epsilon, "scale": 2**power}
    for activation in PHASES:
        yield "phases", {"activation": activation}
        variances = answer("phases", {"activation": activation})["weights"]
        for variance in variances:
            yield "phase_point", {"activation": activation, "weight_variance": variance, "bias_variance": 0, "seed": 0}


def answers(progress: Progress) -> dict[str, Any]:
    """Return each question's words with its answer; `options` says what there is to choose."""
    found: dict[str, Any] = {"options": options()}
    asked = list(questions())
    for number, (kind, given) in enumerate(asked):
        progress("audits", 0.6 * number / len(asked))
        found[key(kind, given)] = to_plain(_rounded(answer(kind, {name: str(value) for name, value in given.items()})))
    trainings = list(trained_knobs())
    for number, knobs in enumerate(trainings):
        progress("trainings", 0.6 + 0.4 * number / len(trainings))
        found[key("train", dataclasses.asdict(knobs))] = _training(knobs)
    progress("done", 1.0)
    return found


def options() -> dict[str, Any]:
    """Return what there is to choose in an exported page; a knob with one value is not shown."""
    from photic.lab.lessons.knobs import Knobs
    from photic.lab.lessons.small import PHASES

    first = Knobs()
    return {
        "activation": list(ACTIVATIONS),
        "initialiser": list(INITIALISERS),
        "data": [first.data],
        "depth": list(DEPTHS),
        "width": [first.width],
        "normalisation": list(NORMALISATIONS),
        "learning_rate": [first.learning_rate],
        "steps": [first.steps],
        "seed": [first.seed],
        "phases": list(PHASES),
    }


def trained_knobs() -> Iterator[Knobs]:
    """Yield the knobs of every training in an exported page: of every network that it audits."""
    from photic.lab.lessons.knobs import Knobs

    grid = itertools.product(ACTIVATIONS, INITIALISERS, DEPTHS, NORMALISATIONS, (False, True))
    for activation, initialiser, depth, normalisation, residual in grid:
        yield Knobs(activation, initialiser, depth, normalisation=normalisation, residual=residual)


def _training(knobs: Knobs) -> dict[str, Any]:
    from photic.lab.lessons.experiments import trained

    with tempfile.TemporaryDirectory(prefix="photic-lesson-") as folder:
        record = Path(folder) / "training.sqlite"
        trained(knobs, record, stopped=lambda: False)
        reader = StoreReader(record)
        try:
            view = network_of_store(reader, title="training")
        finally:
            reader.close()
    heats = [heat for heat in view["heats"] if heat["series"].startswith("glance/")]
    return {"heats": heats, "losses": view["losses"], "loss_steps": view["loss_steps"]}


def _rounded(value: Any) -> Any:
    """Return the same data with five digits: what a picture shows."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: item if name in ("weights", "biases") else _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
