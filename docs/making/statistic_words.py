"""The page of what is measured: the words of the records, from their own documentation."""

from __future__ import annotations

import inspect

from docstrings import markdown

from photic.records import findings, moments, predictions, profiles, runs, sites, treatments, vocabulary

_HEAD = """# What is measured

The records are plain frozen data; reading them needs no torch. `photic.read(PATH)` returns one, `photic.write(record, PATH)` keeps one,
`--json` prints one. This page has every field of them. One word per idea:

- **site**: one operation where photic measures: `layers.3`, or the sigmoid that a forward calls, `/sigmoid#2`.
- **signal**: the forward value at a site. **gradient**: the derivative of the loss with respect to it.
- **gain**: by what factor an operation multiplies the norm of the gradient that passes back through it.
- **transport**: the gradient's norm at a site over that at the top layer. **arrival**: the same where a skip may carry it.
- **reach**: how many layers the gradient gets to: those whose arrival is at least exp(-3), about 0.05.
- **reading**: the statistics of a site at a step. **run**: all readings, with the table of sites.
- **finding**: a problem, where, why, how sure, what to do. **remedy**: a change that may cure. **trial**: a short training
  that tests one. **treatment**: the remedy that cured, its trials, the patch.
"""
_GROUPS = (
    ("The network", sites, ("Site", "Edge", "Parameter", "Unseen")),
    ("The readings", moments, ("Moments",)),
    ("", runs, ("Run", "Step", "SiteReading", "EdgeReading", "ParameterReading")),
    (
        "Facts of some sites",
        runs,
        ("WeightFacts", "UnitFacts", "SpreadFacts", "ShareFacts", "GateFacts", "TimeFacts", "ColumnFacts"),
    ),
    ("The depth profile", profiles, ("Profile", "LayerLine", "BudgetLine", "JoinPart", "Block")),
    ("What theory expects", predictions, ("Prediction", "SitePrediction")),
    ("The verdict", findings, ("Checkup", "Diagnosis", "Finding", "Evidence", "NotAsked")),
    ("The treatment", treatments, ("TreatmentRecord", "Trial")),
)


def page() -> str:
    """Return the page."""
    parts = [_HEAD.strip()]
    kinds = ", ".join(f"`{kind}`" for kind in vocabulary.Kind.__args__)
    for title, module, chosen in _GROUPS:
        if title:
            parts.append(f"## {title}")
        for name in chosen:
            kind = getattr(module, name)
            parts.append(f"### {name}\n\n{markdown(kind)}")
            computed = [(n, p) for n, p in vars(kind).items() if isinstance(p, property)]
            if computed:
                words = "\n".join(f"- `{n}`: {(inspect.getdoc(p) or '').splitlines()[0]}" for n, p in computed)
                parts.append(f"Computed from them:\n\n{words}")
        if title == "The network":
            parts.append(f"The kinds of a site: {kinds}.")
    return "\n\n".join(parts)
