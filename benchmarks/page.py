"""The page with 200 layers x 10,000 steps: first draw, zoom and scrub beside Plotly and ECharts, file size, and following a live run.

Needs Node (it bundles our heat map and fetches the others into build/, where nothing else sees them) and Chromium.
`--alone` fetches nothing and measures photic only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from photic.records import stores
from photic.records.stores import StoreReader, StoreWriter
from photic.reports.cells import pack
from photic.reports.page import page
from photic.reports.view import view_of_store

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "page-bench"
HERE = ROOT / "benchmarks" / "in_browser"
OTHERS = {"plotly": "plotly.js-dist-min@4.1.2", "echarts": "echarts@6.1.0"}
FILES = {"plotly": "plotly.js-dist-min/plotly.min.js", "echarts": "echarts/dist/echarts.min.js"}
MEMORY = "--js-flags=--max-old-space-size=8192"
DRAWS = {"photic": 15, "plotly": 5, "echarts": 1}
LAYERS, STEPS = 200, 10_000


def table(steps: int, *, seed: int, noise: float) -> np.ndarray:
    """A gradient that fades with depth, recovers slowly and differs from batch to batch."""
    generator = np.random.default_rng(seed)
    depth, course = np.arange(LAYERS)[::-1], np.arange(steps)[:, None] / STEPS
    slope = -0.25 + 0.18 * course + 0.02 * np.sin(12.0 * course)
    return np.exp(slope * depth + noise * generator.standard_normal((steps, LAYERS)))


def heat(steps: int = STEPS) -> dict[str, Any]:
    names = [f"blocks.{k}.linear" for k in range(LAYERS)]
    packed = pack(range(steps), table(steps, seed=0, noise=0.1).tolist())
    return {"series": "bench", "name": "gradient", "unit": "norm", "names": names, **packed}


def report_of_a_run(folder: Path) -> tuple[Path, dict[str, float]]:
    """Write 10,000 steps through the store, as a watch of every step does, and make its report."""
    record, target = folder / "run.sqlite", folder / "report.html"
    gradient, signal = table(STEPS, seed=0, noise=0.1), table(STEPS, seed=1, noise=0.02)
    with StoreWriter(record) as writer:
        writer.fact("modules", [f"blocks.{k}.linear" for k in range(LAYERS)])
        for step in range(STEPS):
            writer.row("glance/gradient", step, gradient[step].tolist())
            writer.row("glance/signal", step, signal[step].tolist())
            writer.row("loss", step, [2.0 / (1.0 + step / 1000.0)])
            while writer._queue.qsize() > 200:
                time.sleep(0.001)
    reader = StoreReader(record)
    try:
        view = view_of_store(reader, title="run")
    finally:
        reader.close()
    target.write_text(page(view), encoding="utf-8")
    whole = {**view["runs"][0], "heats": [heat()]}
    every = folder / "every.html"
    every.write_text(page({"mode": "report", "runs": [whole], "treatment": None}), encoding="utf-8")
    return every, {
        "report_mb": target.stat().st_size / 1e6,
        "columns": len(view["runs"][0]["heats"][0]["steps"]),
        "one_table_of_every_step_mb": every.stat().st_size / 1e6,
    }


def bundle(alone: bool) -> Path:
    """Return a page with our heat map and, unless alone, the others."""
    BUILD.mkdir(parents=True, exist_ok=True)
    npx, npm = shutil.which("npx"), shutil.which("npm")
    if npx is None or npm is None or not (ROOT / "web" / "node_modules").exists():
        raise SystemExit("this benchmark needs Node and what the page is built with: `python3 dev.py page` fetches it")
    config = BUILD / "vite.config.mjs"
    entry = json.dumps(str(HERE / "ours.ts"))
    config.write_text(
        f"export default {{ logLevel: 'warn', build: {{ outDir: {json.dumps(str(BUILD / 'ours'))}, emptyOutDir: true, "
        f"lib: {{ entry: {entry}, formats: ['iife'], name: 'bundle', fileName: () => 'ours.js', cssFileName: 'ours' }} }} }}"
    )
    subprocess.run([npx, "vite", "build", "--config", str(config)], cwd=ROOT / "web", check=True)
    scripts = [BUILD / "ours" / "ours.js"]
    if not alone:
        if not all((BUILD / "node_modules" / file).exists() for file in FILES.values()):
            quiet = ["--no-fund", "--no-audit", "--ignore-scripts", "--no-save", "--prefix", str(BUILD)]
            subprocess.run([npm, "install", *quiet, *OTHERS.values()], check=True, stdout=subprocess.DEVNULL)
        scripts += [BUILD / "node_modules" / file for file in FILES.values()]
    made = BUILD / "bench.html"
    style = (BUILD / "ours" / "ours.css").read_text(encoding="utf-8")
    tags = "".join(f'<script src="{script.as_uri()}"></script>' for script in [*scripts, HERE / "heatmaps.js"])
    made.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style><body>{tags}", encoding="utf-8")
    return made


class Timed(sqlite3.Connection):
    """A connection that times its transactions: `with connection:` from the first statement to the end of the commit."""

    took: list[tuple[float, float]] = []  # noqa: RUF012  # commit, whole transaction, in ms

    def __enter__(self) -> sqlite3.Connection:
        self.began = time.perf_counter()
        return super().__enter__()

    def __exit__(self, *error: Any) -> Any:
        before = time.perf_counter()
        found = super().__exit__(*error)
        now = time.perf_counter()
        Timed.took.append((1000.0 * (now - before), 1000.0 * (now - self.began)))
        return found


def write_live(folder: Path, seconds: float) -> None:
    """Write 50 steps a second, print when each was written, and what the commits took (this is a process of its own)."""
    connect = sqlite3.connect
    stores.sqlite3 = type("sqlite3", (), {**vars(sqlite3), "connect": lambda *a, **k: connect(*a, factory=Timed, **k)})  # type: ignore[attr-defined]
    values, written = table(int(50 * seconds), seed=2, noise=0.1), {}
    with StoreWriter(folder / "live.sqlite") as writer:
        writer.fact("modules", [f"blocks.{k}.linear" for k in range(LAYERS)])
        began = time.perf_counter()
        for step, row in enumerate(values):
            time.sleep(max(0.0, began + step / 50.0 - time.perf_counter()))
            written[step] = time.time()
            writer.row("glance/gradient", step, row.tolist())
            writer.row("glance/signal", step, (2.0 * row).tolist())
            writer.row("loss", step, [1.0])
    print(json.dumps({"written": written, "commits_ms": Timed.took, "dropped": writer.dropped}))


FOLLOW = """() => { window.shown = {}; const look = () => {
  const at = document.querySelector('.panel .course label.knob > output')?.textContent
  if (at && !(at in window.shown)) { window.shown[at] = 0; requestAnimationFrame(() => setTimeout(() => { window.shown[at] = Date.now() / 1000 })) }
}; new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true }); look() }"""


def live(open_page: Callable[[str], Any], folder: Path, seconds: float) -> dict[str, float]:
    """Follow a live run in the dashboard; the delay is from the training's call to the painted picture."""
    command = [sys.executable, "-m", "photic", "serve", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = next(word for line in server.stderr for word in line.split() if word.startswith("http"))
        tab = open_page(address)
        tab.evaluate(FOLLOW)
        training = [sys.executable, __file__, "--write", str(folder), "--seconds", str(seconds)]
        done = subprocess.run(training, check=True, capture_output=True, text=True)
        tab.wait_for_timeout(1500)
        shown = {int(step): at for step, at in tab.evaluate("window.shown").items() if at}
    finally:
        server.terminate()
        server.wait(timeout=10)
    told = json.loads(done.stdout)
    written = {int(step): at for step, at in told["written"].items()}
    paints = sorted(shown)
    # A step is shown by the first picture that holds it; those before the dashboard saw the run are not delayed.
    delays = [
        1000.0 * (shown[next(p for p in paints if p >= step)] - written[step])
        for step in written
        if paints and paints[0] < step <= paints[-1]
    ]
    commits, whole = (sorted(kind) for kind in zip(*told["commits_ms"], strict=True))
    return {
        "steps_followed": len(delays),
        "pictures": len(paints),
        "delay_ms": statistics.median(delays),
        "delay_95_ms": sorted(delays)[int(0.95 * len(delays))],
        "commit_ms": statistics.median(commits),
        "commit_95_ms": commits[int(0.95 * len(commits))],
        "transaction_ms": statistics.median(whole),
        "transaction_95_ms": whole[int(0.95 * len(whole))],
        "rows_dropped": told["dropped"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--alone", action="store_true", help="photic only; nothing is fetched")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the live run")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write_live(options.write, options.seconds)
        return
    from playwright.sync_api import Error, sync_playwright

    chromium = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    made = bundle(options.alone)
    found: dict[str, Any] = {"cores": os.cpu_count(), "load": [os.getloadavg()[0]]}
    with tempfile.TemporaryDirectory() as made_here, sync_playwright() as playwright:
        folder = Path(made_here)
        whole, found["size"] = report_of_a_run(folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", MEMORY])
        found["browser"] = browser.version

        def open_page(url: str) -> Any:
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(url)
            return tab

        data = heat()
        for name in ["photic"] if options.alone else ["photic", *OTHERS]:
            tab = open_page(made.as_uri())
            tab.set_default_timeout(300_000)
            limits = {"draws": DRAWS[name], "rounds": 7 if name == "photic" else 3, "frames": 180, "seconds": 30}
            ask = "([name, heat, options]) => bench(name, heat, options)"
            try:
                found[name] = tab.evaluate(ask, [name, data, limits])
                if name != "echarts":  # a minute for each picture
                    found[name]["draw_cpu_ms"] = processor(tab, "draw", 1)
                    found[name]["frame_cpu_ms"] = processor(tab, "zoom", 28)
            except Error as error:  # two million points can be too many
                found[name] = {"failed": str(error).splitlines()[0]}
            tab.close()
        opened = []
        for _ in range(7):
            tab = open_page(whole.as_uri())
            tab.evaluate(
                (HERE / "heatmaps.js").read_text(encoding="utf-8") + "\n;0"
            )  # else its last function is called
            opened.append(tab.evaluate("(options) => report(options)", {"rounds": 1, "frames": 180, "seconds": 10}))
            tab.close()
        found["report"] = {
            "opened_ms": statistics.median(one["opened_ms"] for one in opened),
            **{kind: summed([one[kind] for one in opened]) for kind in ("zoom", "scrub")},
        }
        runs = folder / "runs"
        runs.mkdir()
        found["live"] = live(open_page, runs, options.seconds)
        browser.close()
    found["lesson"] = lesson()
    found["load"].append(os.getloadavg()[0])
    print(json.dumps(found) if options.json else said(found))


def processor(tab: Any, what: str, times: int) -> float:
    """The processor's time in the page's main thread, in ms each: what others on the machine do does not count."""
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def so_far() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(1000.0 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    took = []
    for _ in range(5):
        before = so_far()
        tab.evaluate(f"() => again.{what}()")
        took.append((so_far() - before) / times)
    return statistics.median(took)


def summed(all_: list[dict[str, float]]) -> dict[str, float]:
    return {
        "frames_per_second": statistics.median(one["frames_per_second"] for one in all_),
        "best": max(one["best"] for one in all_),
        "busy_ms": statistics.median(one["busy_ms"] for one in all_),
    }


def lesson() -> dict[str, float]:
    from photic.records.documents import to_plain
    from photic.web.lessons import answer

    asked = {"depth": "20", "width": "64"}
    audits, answers, busy = [], [], []
    for seed in range(-3, 25):
        began, before = time.perf_counter(), time.process_time()
        found = answer("audit", {**asked, "seed": str(abs(seed))})
        json.dumps(to_plain(found))
        if seed >= 0:  # the first ones compile
            answers.append(1000.0 * (time.perf_counter() - began))
            audits.append(found["milliseconds"])
            busy.append(1000.0 * (time.process_time() - before))
    middle = statistics.median
    return {"audit_ms": middle(audits), "answer_ms": middle(answers), "answer_cpu_ms": middle(busy)}


def rate(numbers: dict[str, Any], kind: str) -> str:
    if "failed" in numbers:
        return numbers["failed"]
    of = numbers[kind]
    return f"{of['frames_per_second']:.1f}, best {of['best']:.1f} ({of['busy_ms']:.1f} ms)"


def of_processor(numbers: dict[str, Any], name: str) -> str:
    return f"{numbers[name]:.1f}" if name in numbers else "-"


def said(found: dict[str, Any]) -> str:
    names = [name for name in ("photic", *OTHERS) if name in found]
    size, report, followed, lesson_ = found["size"], found["report"], found["live"], found["lesson"]
    draws = [
        f.get("failed") or f"{f['first_draw_ms']:.0f}, best {f['best_draw_ms']:.0f}" for f in (found[n] for n in names)
    ]
    rows = [
        ("report of the run from its store, gradient and signal, MB", f"{size['report_mb']:.2f}, {size['columns']:.0f} columns"),
        (f"report with one table of all {STEPS} steps, MB", f"{size['one_table_of_every_step_mb']:.2f}"),
        ("that report, from opening the file to the painted heat map, ms", f"{report['opened_ms']:.0f}"),
        ("zoom in that report, frames a second", rate(report, "zoom")),
        ("scrub through time in it (heat map, profile, numbers), frames a second", rate(report, "scrub")),
        ("live, 50 steps a second: from the call to the picture, ms", f"{followed['delay_ms']:.0f}, 95 % within {followed['delay_95_ms']:.0f}"),
        ("the writer's commit meanwhile, ms", f"{followed['commit_ms']:.2f}, 95 % within {followed['commit_95_ms']:.2f}"),
        ("its whole transaction, ms", f"{followed['transaction_ms']:.2f}, 95 % within {followed['transaction_95_ms']:.2f}"),
        ("steps followed, pictures drawn, rows dropped", f"{followed['steps_followed']}, {followed['pictures']}, {followed['rows_dropped']}"),
        ("a lesson's audit of 20 layers of 64, ms", f"{lesson_['answer_ms']:.0f}, of the processor {lesson_['answer_cpu_ms']:.0f}"),
    ]  # fmt: skip
    return "\n".join(
        [
            f"{LAYERS} layers x {STEPS} steps; headless Chromium {found['browser']}; {found['cores']} cores, of which others kept "
            f"{found['load'][0]:.0f} (before) and {found['load'][1]:.0f} (after) processes waiting; medians",
            "",
            f"| heat map, 1200 x 440 | {' | '.join(names)} |",
            "|---|" + "---|" * len(names),
            "| first draw, ms | " + " | ".join(draws) + " |",
            "| the same, of the processor in the page's main thread, ms | " + " | ".join(of_processor(found[n], "draw_cpu_ms") for n in names) + " |",
            "| a frame while zooming, of the processor, ms | " + " | ".join(of_processor(found[n], "frame_cpu_ms") for n in names) + " |",
            "| zoom, frames a second (each keeps the page busy) | " + " | ".join(rate(found[n], "zoom") for n in names) + " |",
            "| pointing at cells, frames a second | " + " | ".join(rate(found[n], "point") for n in names) + " |",
            "",
            "| report, dashboard, lessons | |",
            "|---|---|",
            *(f"| {words} | {number} |" for words, number in rows),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
