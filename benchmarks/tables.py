"""Which benchmark writes which table of the documentation, and the command that runs one of them or all.

`python3 dev.py bench` runs every benchmark (hours), `bench NAME` one of them, `bench --list` says what there is. What a benchmark
prints is kept in build/bench/NAME.txt, below a line with date, machine and versions. With `--write` the Markdown table in it becomes
docs/measured/NAME.md, which the page of the benchmarks shows; those that renew a page of their own (papers, architectures) do that.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from circumstances import circumstances

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUTPUTS, MEASURED = ROOT / "build" / "bench", ROOT / "docs" / "measured"
NO_BENCHMARKS = ("circumstances", "tables")
HEAD = "| run | minutes | exit code | its page |\n|---|---|---|---|"


@dataclass(frozen=True)
class Table:
    """What the documentation says of a benchmark beside its own first sentence.

    Attributes:
        page: page of docs/ that tells of it, with the section.
        rival: who stands beside us in the same run; '' for nobody.
        newest: the newest result, in a sentence, as measured; '' where none is kept.
        renews: whether it has a `--write` of its own, which renews its page.
    """

    page: str = "benchmarks.md"
    rival: str = ""
    newest: str = ""
    renews: bool = False


RULES = "SageMaker Debugger, AUTOTRAINER, DeepDiagnosis and TheDeepChecker with `photic clinic --rivals`"
TABLES = {
    "architectures": Table(
        "architectures.md", "a plain forward and backward pass", "21 architectures, nothing unseen", True
    ),
    "audit": Table(rival="a plain forward and backward pass"),
    "check": Table("judging.md#what-a-check-costs", "twenty steps of a plain loop", "1.39 to 2.10 times a plain loop"),
    "clinic": Table("judging.md#the-clinic", RULES, "held out: 53 of 58 detected, 2 false alarms of 68"),
    "crash": Table("trust.md#records-survive", newest="1,000 kills and 1,000 damaged files: no wrong number"),
    "fuzz": Table("trust.md#nothing-changes", "the same training unwatched", "5,200 networks, none with a fault"),
    "invariance": Table(
        "judging.md#what-must-not-change-a-verdict",
        "the same case, written otherwise",
        "first finding unchanged in 2,998 of 3,008 comparisons with a scaled loss",
    ),
    "kernels": Table(
        "watching.md",
        "a streaming read (`torch.sum`), and the same numbers by torch's reductions",
        "96 % of a streaming read beyond the cache, 61 % with the sampled histogram",
    ),
    "memory": Table("rules.md#vanishing-in-time"),
    "papers": Table("papers.md", "what the papers print", "20 papers, 179 claims: 153 hold, 15 within the noise", True),
    "shattering": Table(
        "judging.md#shattering", "training at four settings", "12 of 200 set-ups named, none that learned"
    ),
    "strangers": Table(
        "judging.md#strangers", "training to step 300", "294 healthy: 2 false alarms; 79 sick: 18 missed"
    ),
    "shapeset": Table("experiments.md#data", newest="28,700 images a second in two processes on two busy cores"),
    "sweep": Table(
        "experiments.md#sweeps",
        "one network after the other",
        "1,024 whole: width 16 19 times, width 32 8.4 times as fast",
    ),
    "collective": Table(
        "cookbook/distributed.md",
        "a bare all_reduce of as many zeros",
        "0.7 ms with 2 ranks, 2.1 ms with 4 on two cores; 0.66 and 0.34 of a bare one's time",
    ),
    "faults": Table("trust.md", "the same training unwatched", "1,815 faults injected, none reached the training"),
    "soak": Table("watching.md", newest="1,000,000 steps: 507.6 MB after 2,000 of them, 508.6 MB at the end"),
    "wheel": Table("trust.md", newest="0.647 MB; check, run, report and serve from a clean environment"),
    "rates": Table("judging.md", "training at many rates", "names 14 of 23 sick networks, 0 of 16 healthy ones"),
    "page": Table(
        "page.md",
        "Plotly and ECharts on the same data",
        "first draw 45 ms (588, 10,624), zoom 60 frames a second (4, 0.5)",
    ),
    "thresholds": Table("rules.md#vanishing-gradient", "400 steps of training"),
    "treatment": Table(
        "guides/verify.md#how-often-it-cures",
        "AUTOTRAINER's list of repairs, and remedies drawn at random",
        "repaired 58 of 61 held out in a median of 2.9 runs, 335 of 355 of the tuning part",
    ),
    "watch": Table(
        "watching.md",
        "wandb.watch, TensorBoard histograms, naive hooks, `torch._foreach_norm`",
        "0.970 to 1.017 of the time without it, where nothing twice gives 0.977 to 1.019",
    ),
}


def benchmarks() -> dict[str, str]:
    """Return the question of every benchmark, the first line of its docstring, by name."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("[a-z]*.py")):
        if path.stem not in NO_BENCHMARKS:
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = re.sub(r"[;.] `?--write`? renews .*", ".", text.split("\n", 1)[0])
    return found


def printed_table(text: str) -> str:
    """Return the first Markdown table in what a benchmark printed; '' when there is none."""
    found = re.search(r"^\|.*\|\n\|(?:-+\|)+\n(?:\|.*\|\n?)*", text, flags=re.MULTILINE)
    return found[0].strip() if found else ""


def main(arguments: list[str]) -> int:
    """Run one benchmark, or all."""
    known = benchmarks()
    chosen = [word for word in arguments[:1] if not word.startswith("-")]
    options = arguments[len(chosen) :]
    if "--list" in options:
        print("\n".join(f"{name:14} {question}" for name, question in known.items()))
        return 0
    if chosen and chosen[0] not in known:
        print(f"no benchmark {chosen[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    rows = [one(name, options) for name in (chosen or known)]
    if not chosen:
        print(HEAD, *(row for row, _ in rows), sep="\n")
    return max(code for _, code in rows)


def one(name: str, options: list[str]) -> tuple[str, int]:
    """Run a benchmark, keep what it prints, and return its row of the summary with its exit code."""
    table = TABLES.get(name, Table())
    passed = [word for word in options if word != "--write" or table.renews]
    head = f"`python3 dev.py bench {' '.join([name, *passed])}`, {circumstances()}"
    print(head, file=sys.stderr, flush=True)
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    began, said = time.perf_counter(), list[str]()
    with subprocess.Popen(
        [sys.executable, str(HERE / f"{name}.py"), *passed], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            said.append(line)
            print(line, end="", flush=True)
    text, minutes = "".join(said), (time.perf_counter() - began) / 60
    (OUTPUTS / f"{name}.txt").write_text(f"{head}\n\n{text}", encoding="utf-8")
    if "--write" in options and printed_table(text) and running.returncode == 0 and not table.renews:
        MEASURED.mkdir(exist_ok=True)
        (MEASURED / f"{name}.md").write_text(f"{printed_table(text)}\n\n{head}.\n", encoding="utf-8")
    return f"| {name} | {minutes:.1f} | {running.returncode} | {table.page} |", running.returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
