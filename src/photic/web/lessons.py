"""The lessons' side of the server: a small JSON API over real networks, and training as a stream."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from photic.reports.page import served
from photic.web.following import event, follow

TRAININGS = threading.Semaphore(2)


def answer(kind: str, given: dict[str, str]) -> dict[str, Any]:
    """Return the answer to a question of the page.

    Raises:
        ValueError: for a question that has no answer; the message says what would.
    """
    from photic.lab.lessons import experiments, knobs, small
    from photic.lab.lessons.turns import turn

    def word(name: str, known: tuple[str, ...]) -> str:
        found = given.get(name, known[0])
        if found not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}")
        return found

    def number(name: str, default: float, low: float, high: float) -> float:
        try:
            found = float(given.get(name, default))
        except ValueError:
            raise ValueError(f"{name} must be a number") from None
        if not low <= found <= high:
            raise ValueError(f"{name} must lie between {low:g} and {high:g}")
        return found

    def seed() -> int:
        return int(number("seed", 0, 0, 999))

    def precision() -> dict[str, Any]:
        chosen = {name: value for name, value in given.items() if name not in ("epsilon", "scale")}
        return small.small_numbers(
            knobs.parsed(chosen), epsilon=number("epsilon", 1e-8, 0.0, 1.0), scale=number("scale", 1.0, 1.0, 2.0**24)
        )

    activations = tuple(knobs.ACTIVATIONS)
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        "options": lambda: {
            "activation": list(activations),
            "initialiser": list(knobs.INITIALISERS),
            "data": list(knobs.DATA),
            "depth": list(range(1, 31)),
            "width": [8, 16, 32, 64, 128, 256],
            "normalisation": list(knobs.NORMALISATIONS),
            "learning_rate": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
            "steps": [100, 300, 1000],
            "seed": list(range(20)),
            "phases": list(small.PHASES),
        },
        "audit": lambda: experiments.audited(knobs.parsed(given)),
        "neuron": lambda: small.neuron(word("activation", activations)),
        "backpropagation": lambda: small.backpropagation(
            word("activation", activations), seed=seed(), scale=number("scale", 1.0, 0.0, 10.0)
        ),
        "time": lambda: small.through_time(
            word("kind", ("rnn", "lstm", "gru")),
            steps=int(number("steps", 50, 2, 200)),
            gain=number("gain", 1.0, -5.0, 5.0),
            seed=seed(),
        ),
        "precision": precision,
        "phases": lambda: small.phases(word("activation", small.PHASES)),
        "phase_point": lambda: small.phase_point(
            word("activation", small.PHASES),
            weight_variance=number("weight_variance", 1.0, 0.01, 200.0),
            bias_variance=number("bias_variance", 0.0, 0.0, 2.0),
            seed=seed(),
        ),
    }
    if kind not in answers:
        raise ValueError("there is no such question")
    with turn():  # the server answers in several threads, and the seed of a question is the process's
        return answers[kind]()


def _asked(request: Request) -> Response:
    from photic.records.documents import to_plain

    try:
        return JSONResponse(to_plain(answer(request.path_params["kind"], dict(request.query_params))))
    except ValueError as error:
        return JSONResponse({"error": str(error)}, status_code=400)


async def _train(request: Request) -> Response:
    from photic.lab.lessons import experiments, knobs

    try:
        chosen = knobs.parsed(dict(request.query_params))
    except ValueError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    gone = threading.Event()

    async def stream() -> AsyncIterator[bytes]:
        if not TRAININGS.acquire(blocking=False):
            yield event("refused", "two networks are training already; stop one first")
            return
        with tempfile.TemporaryDirectory(prefix="photic-lesson-") as folder:
            record = Path(folder) / "training.sqlite"
            done = threading.Event()

            def work() -> None:
                try:
                    experiments.trained(chosen, record, stopped=gone.is_set)
                finally:
                    done.set()
                    TRAININGS.release()

            thread = threading.Thread(target=work, daemon=True)
            thread.start()

            async def over() -> bool:
                if done.is_set():  # what was written last is still to be read
                    if finished:
                        return True
                    finished.append(True)
                return await request.is_disconnected()

            finished: list[bool] = []
            try:
                while not record.exists() and not done.is_set():
                    await anyio.sleep(0.02)
                if record.exists():
                    async for part in follow(record, gone=over):
                        yield part
                yield event("ended", "done")
            finally:
                gone.set()
                await anyio.to_thread.run_sync(thread.join)

    return StreamingResponse(stream(), media_type="text/event-stream")


def _page(request: Request) -> Response:
    return HTMLResponse(served({"mode": "learn"}))


ROUTES = (
    Route("/learn", _page),
    Route("/api/learn/train", _train),
    Route("/api/learn/{kind}", _asked),
)
