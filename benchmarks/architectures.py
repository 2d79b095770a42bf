"""What the audit sees of real architectures: operations, unseen, predicted, time. `--write` renews docs/architectures.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import warnings
from pathlib import Path

import torch

from photic.lab import architectures
from photic.lab.survey import survey, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architectures.md"
HEAD = """# What the audit sees

Random weights, tiny configurations, one thread; made by `python3 dev.py zoo --write`. Every gradient was compared bit for bit
with that of a plain pass, and nothing was left behind. *Predicted* is the share of the model's operations of which
mean-field theory expects signal and gain; elsewhere it restarts from the measurement and says why. *Ratio* is the time
of the audit over that of a plain forward and backward pass of such a tiny network: see `dev.py bench audit` for larger ones.
*In training*: what `photic.check` warns of in 20 steps under AdamW at 1e-3, Adam at 3e-4 and SGD at 0.01 with momentum, with
two seeds each.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--write", action="store_true", help="renew the page in docs/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = {**architectures.TORCH, **architectures.transformers()}
    if options.write and len(chosen) == len(architectures.TORCH):
        print("transformers is not installed here: `python3 dev.py zoo --write` makes an environment that has it")
        return 2
    rows = [survey(name, build) for name, build in chosen.items()]
    print(json.dumps([dataclasses.asdict(row) for row in rows]) if options.json else table(rows))
    for row in rows:
        for problem in (*row.different, *row.left):
            print(f"WRONG: {row.name}: {problem}")
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(HEAD + table(rows), encoding="utf-8")
    return 1 if any(row.different or row.left or row.findings or row.alarms for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
