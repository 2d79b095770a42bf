"""The rules on the clinic's cases, by `photic.check` with 20 steps: found, named, and false alarms on the cured twins.

The cases are drafted and not yet verified over seeds: the score says where to look, not how good the rules are.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import pkgutil
import warnings

import photic
import photic.lab.clinic as clinic
from photic.lab.clinic.case import cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for info in pkgutil.iter_modules(clinic.__path__, prefix="photic.lab.clinic."):
        importlib.import_module(info.name)
    score: collections.Counter[str] = collections.Counter()
    rows = []
    for case in cases():
        try:
            setup = case.build(0)
            found = photic.check(setup.model, setup.batches, setup.loss, setup.optimizer, steps=options.steps).findings
        except Exception as error:
            rows.append((case.name, case.label, [f"{type(error).__name__}: {error}"]))
            score[f"{case.part}: failed to run"] += 1
            continue
        problems = [finding.problem for finding in found]
        alarm = any(finding.severity != "info" for finding in found)
        kind = "sick" if case.sick else "healthy"
        score[f"{case.part}: {kind}"] += 1
        score[f"{case.part}: {'found' if case.sick else 'false alarms'}"] += alarm
        if case.sick:
            score[f"{case.part}: named first"] += problems[:1] == [case.label]
        if case.sick != alarm or (case.sick and problems[:1] != [case.label]):
            rows.append((case.name, case.label, problems))
    if options.json:
        print(json.dumps({"score": score, "rows": rows}))
        return
    for name, label, problems in rows:
        print(f"{name:36s} {label or 'healthy':28s} {', '.join(problems) or 'nothing found'}")
    for name in sorted(score):
        print(f"{name}: {score[name]}")


if __name__ == "__main__":
    main()
