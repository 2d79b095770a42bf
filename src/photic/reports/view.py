"""View: what the page shows of a record, as plain data; folders are cut off paths, and source stays out unless asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from photic.records.documents import to_plain
from photic.records.findings import Checkup, Finding
from photic.records.moments import told_signal
from photic.records.predictions import Prediction
from photic.records.runs import Run
from photic.records.stores import StoreReader
from photic.records.treatments import TreatmentRecord
from photic.reports.cells import pack
from photic.reports.curve import Curve
from photic.reports.layer_rows import AUDITED, layer_rows
from photic.reports.magnitudes import magnitudes
from photic.reports.verdict import verdict

# Series of a store: what they are called on the page, and which fact names their rows.
SERIES = {
    "glance/gradient": ("gradient", "norm", "modules"),
    "glance/signal": ("signal", "rms", "modules"),
    "glance/weights": ("gradient of the weights", "norm", "weights"),
    "audit/gradient": ("gradient, every operation", "norm", "sites"),
    "audit/signal": ("signal, every operation", "rms", "sites"),
    "audit/update": ("update / weight", "ratio", "parameters"),
    "audit/dead": ("dead units", "share", "sites"),
}
# A path: a separator with a name before or behind it, up to the last separator.
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:~|\.{1,2})?(?:[\\/][^\\/\s:'\"`,;]+)+[\\/](?=[^\\/\s])")


def bare(text: str) -> str:
    """Return a text with the folders cut off the paths in it.

    Example:
        >>> bare("in /home/me/net/model.py:12 the sigmoid")
        'in model.py:12 the sigmoid'
    """
    return _FOLDERS.sub("", text)


def view_of(
    record: Checkup | TreatmentRecord,
    *,
    title: str = "",
    curves: Sequence[Sequence[Curve]] = (),
    store: StoreReader | None = None,
    with_source: bool = False,
    with_patch: bool = False,
) -> dict[str, Any]:
    """Return the page's data of a record.

    Args:
        record: a checkup, or a treatment: then the untreated and the treated network stand beside each other.
        title: of the network; a treatment names its two by what was done.
        curves: for each network its activations with the units on them.
        store: the course of the run, where there is one.
        with_source: leave the patch and whole paths in.
        with_patch: leave the patch in, without folders: of code that is ours, not the user's.
    """
    both = [*curves, (), ()]
    if isinstance(record, TreatmentRecord):
        runs = [_network(record.before, f"{title} untreated".strip(), both[0], with_source)]
        if record.after is not None:
            runs.append(_network(record.after, f"{title} {record.remedy}".strip(), both[1], with_source))
        patch = record.patch
        treatment: dict[str, Any] | None = {
            "remedy": record.remedy,
            "trials": [_trial(to_plain(trial), with_source) for trial in record.trials],
            "patch": patch if with_source else _patch(patch) if with_patch else "",
            "patched_lines": sum(line.startswith("+") and not line.startswith("+++") for line in patch.splitlines()),
            "paste": record.paste if with_source else _paste(record.paste),
            "notes": _texts(record.notes, with_source),
        }
    else:
        runs, treatment = [_network(record, title, both[0], with_source)], None
    if store is not None:
        runs[0] |= course(store)
        runs[0]["notes"] = [*runs[0]["notes"], *damage_of(store)]
    return {"mode": "report", "runs": runs, "treatment": treatment}


def _trial(trial: dict[str, Any], with_source: bool) -> dict[str, Any]:
    kept = {
        name: trial[name] for name in ("remedy", "title", "changes", "outcome", "losses", "held_back_loss", "score")
    }
    kept |= {name: trial[name] for name in ("reached", "layers", "remaining", "brought", "seconds", "seeds", "effects")}
    return kept | {"reason": _text(trial["reason"], with_source)}


def _patch(patch: str) -> str:
    """Return a patch that names its file alone."""
    lines = patch.splitlines(keepends=True)
    heads = {"--- ": "a", "+++ ": "b"}
    return "".join(
        f"{line[:4]}{heads[line[:4]]}/{place(line[4:].strip())}\n" if line[:4] in heads and number < 2 else line
        for number, line in enumerate(lines)
    )


def _paste(lines: str) -> str:
    """Return lines to paste whose comments name files without folders."""
    return "".join(bare(line) if line.startswith("#") else line for line in lines.splitlines(keepends=True))


def _text(text: str, with_source: bool) -> str:
    return text if with_source else bare(text)


def _texts(texts: Sequence[str], with_source: bool) -> list[str]:
    return list(dict.fromkeys(_text(text, with_source) for text in texts))


def place(where: str, with_source: bool = False) -> str:
    """Return `file.py:42` of a longer path, or all of it."""
    return where if with_source or not where else PurePath(where.replace("\\", "/")).name


def _network(checkup: Checkup, title: str, curves: Sequence[Curve], with_source: bool) -> dict[str, Any]:
    run, found = checkup.run, checkup.diagnosis
    profile, last = (
        None if p is None else _profile(to_plain(p), with_source) for p in (found.profile, found.last_profile)
    )
    if profile is not None:
        _add_predicted_signal(profile, checkup.prediction)
    said = verdict(checkup)
    return {
        "title": title or run.model,
        "model": run.model,
        "verdict": _text(said, with_source),
        "healthy": checkup.healthy and not run.stopped,
        "optimizer": run.optimizer,
        "facts": {name: _text(value, with_source) for name, value in run.facts.items()},
        "loss": to_plain(run.loss),
        "losses": to_plain([_short(loss) for loss in run.losses]),
        "loss_steps": _loss_steps(run),
        "profile": profile,
        "last_profile": last,
        "sites": _sites(run, with_source),
        "findings": [_finding(finding, with_source) for finding in found.findings],
        "not_asked": [
            {"problem": item.problem, "missing": _text(item.missing, with_source)} for item in found.not_asked
        ],
        "unseen": _texts([f"{item.what}: {item.why}" for item in run.unseen], with_source),
        "assumptions": _texts(checkup.prediction.assumptions, with_source),
        "heats": _readings(run),
        "histograms": [],
        "curves": to_plain([to_plain(curve) for curve in curves]),
        "notes": _texts(checkup.notes, with_source),
    }


def _profile(profile: dict[str, Any], with_source: bool) -> dict[str, Any]:
    for line in profile["layers"]:
        line["where"] = place(line["where"], with_source)
    return profile


def _add_predicted_signal(profile: dict[str, Any], prediction: Prediction) -> None:
    """Add to each layer the mean and the deviation that theory expects where the measured ones were taken."""
    sites = {site.site: site for site in prediction.sites}
    for line in profile["layers"]:
        expected = sites.get(line["activation"] or line["site"])
        mean, rms = (None, None) if expected is None else (expected.signal_mean, expected.signal_rms)
        line["predicted_mean"] = line["predicted_deviation"] = None
        if mean is not None and rms is not None and math.isfinite(mean) and math.isfinite(rms):
            line["predicted_mean"] = mean
            line["predicted_deviation"] = math.sqrt(max(rms * rms - mean * mean, 0.0))


def _finding(finding: Finding, with_source: bool) -> dict[str, Any]:
    plain = to_plain(finding)
    plain["where"] = place(finding.where, with_source)
    for name in ("reason", "advice"):
        plain[name] = _text(plain[name], with_source)
    return plain


def _sites(run: Run, with_source: bool) -> list[dict[str, Any]]:
    readings = run.steps[0].sites if run.steps else ()
    return [
        {
            "name": site.name,
            "operation": site.operation,
            "kind": site.kind,
            "module": site.module,
            "type": site.module_type,
            "phase": site.phase,
            "where": place(site.where, with_source),
            "shape": list(site.shape),
            "signal": to_plain(None if (m := reading.signal) is None else _short(told_signal(site.operation, m))),
            "gradient": to_plain(None if reading.gradient is None else _short(reading.gradient.told_norm)),
            "gain": to_plain(None if reading.gain is None else _short(reading.gain)),
        }
        for site, reading in zip(run.sites, readings, strict=True)
    ]


def _loss_steps(run: Run) -> list[int] | None:
    """Return the step of each loss; None where they are of readings whose steps are not in the record."""
    count = len(run.losses)
    return list(range(count)) if run.steps and run.steps[-1].step == count - 1 else None


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _readings(run: Run) -> list[dict[str, Any]]:
    """Return the trained layers at the audited steps, where there is more than one."""
    rows = [site.order for site in run.sites if site.kind == "weight" and site.phase == "model"]
    if len(run.steps) < 2 or not rows:
        return []
    names, steps = [run.sites[order].name for order in rows], [step.step for step in run.steps]
    gradient = [
        [math.nan if (m := step.sites[o].gradient) is None else m.told_norm for o in rows] for step in run.steps
    ]
    signal = [[math.nan if (m := step.sites[o].signal) is None else m.told_rms for o in rows] for step in run.steps]
    return [
        {"series": "steps/gradient", "name": "gradient", "unit": "norm", "names": names, **pack(steps, gradient)},
        {"series": "steps/signal", "name": "signal", "unit": "rms", "names": names, **pack(steps, signal)},
    ]


def course(store: StoreReader) -> dict[str, Any]:
    """Return the course of a watched run: its heat maps and losses."""
    facts, series = store.facts(), store.series()
    heats = [heat for name in shown(series) if (heat := heat_of(store, name, facts)) is not None]
    losses = [(step, values[0]) for step, values in store.rows("loss")]
    return {
        "heats": heats,
        "histograms": magnitudes(store, facts),
        "losses": to_plain([_short(loss) for _, loss in losses]),
        "loss_steps": [step for step, _ in losses],
    }


def shown(series: Sequence[str]) -> list[str]:
    """Return the series that are heat maps: of the first optimizer's steps, then of the others'.

    What audits read is also shown layer by layer, as glances have it.

    Example:
        >>> shown(["optimizer 2/audit/update", "loss", "audit/signal"])
        ['glance/signal', 'audit/signal', 'optimizer 2/audit/update']
    """
    order = list(SERIES)
    known = {name for name in series if name.removeprefix(_own(name)) in SERIES}
    known |= {
        own + glance for name in known for glance, audit in AUDITED.items() if name == (own := _own(name)) + audit
    }
    return sorted(known, key=lambda name: (_own(name), order.index(name.removeprefix(_own(name)))))


def _own(series: str) -> str:
    """Return what stands before the name of a series that belongs to the steps of a further optimizer."""
    return series[: series.index("/") + 1] if series.startswith("optimizer ") else ""


def damage_of(store: StoreReader) -> list[str]:
    """Return in words what could not be read of a store; ask after reading."""
    lost = [f"{store.lost} rows of the record could not be read and are left out"] if store.lost else []
    return [*lost, *([f"the record is damaged: {store.damage}"] if store.damage else [])]


def heat_of(
    store: StoreReader,
    series: str,
    facts: Mapping[str, Any],
    *,
    after: int = -1,
    most: int = 1_000_000,
) -> dict[str, Any] | None:
    """Return one series of a store as a heat map, its rows after a step; None when there are none."""
    own = _own(series)
    found = layer_rows(store, series, facts, own=own, after=after)
    if not found:
        return None
    title, unit, names = SERIES[series.removeprefix(own)]
    width = len(found[-1][1])
    fitting = [(step, values) for step, values in found if len(values) == width]
    named = [str(name) for name in facts.get(own + names, ())]
    labels = named if len(named) == width else [str(number + 1) for number in range(width)]
    packed = pack([step for step, _ in fitting], [values for _, values in fitting], most=most, bare=len(fitting) <= 8)
    shown_as = f"{title}, {own[:-1]}" if own else title
    return {"series": series, "name": shown_as, "unit": unit, "names": labels, **packed}


def view_of_store(store: StoreReader, *, title: str) -> dict[str, Any]:
    """Return the page's data of a run that has no verdict yet: its course and what was found so far."""
    return {"mode": "report", "runs": [network_of_store(store, title=title)], "treatment": None}


def network_of_store(store: StoreReader, *, title: str) -> dict[str, Any]:
    """Return one network of the page from its store alone."""
    facts, seen = store.facts(), course(store)
    findings = findings_of(facts)
    bad = [finding for finding in findings if finding["severity"] != "info"]
    return {
        "title": title,
        "model": str(facts.get("model", "")),
        "verdict": bad[0]["problem"] if bad else "no finding so far",
        "healthy": not bad,
        "optimizer": "",
        "facts": {},
        "loss": None,
        "profile": None,
        "last_profile": None,
        "sites": [],
        "findings": findings,
        "not_asked": [],
        "unseen": [],
        "assumptions": [],
        "curves": [],
        "notes": [*_texts([str(facts["cost"])] if facts.get("cost") else [], False), *damage_of(store)],
        **seen,
    }


def findings_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a store's facts say was found so far, without folders."""
    return [
        {**found, "where": place(found["where"]), "reason": bare(found["reason"]), "advice": bare(found["advice"])}
        for found in to_plain(facts.get("findings", []))
    ]
