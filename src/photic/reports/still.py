"""A record as a still picture in HTML, for notebooks: no script, nothing loaded from anywhere, every name escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from photic.records.findings import Checkup, Finding
from photic.records.profiles import Profile
from photic.records.treatments import TreatmentRecord, Trial
from photic.reports.bars import decades
from photic.reports.terminal import short
from photic.reports.verdict import verdict
from photic.reports.view import bare

_STYLE = """
.photic{--fg:#1a1a1a;--dim:#5c5c5c;--bg:#fff;--line:#d8d8d8;--bad:#b3261e;--good:#1b6e3c;--a:#c24e00;--b:#0067a5;
font:14px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:64rem;padding:.5rem 1rem}
@media (prefers-color-scheme:dark){
.photic{--fg:#ececec;--dim:#a8a8a8;--bg:#161616;--line:#3a3a3a;--bad:#ff8a80;--good:#7ddba0;--a:#ff9a52;--b:#6cb8f0}}
.photic .verdict{font-size:1.3rem;font-weight:650;margin:0}.photic .bad{color:var(--bad)}.photic .good{color:var(--good)}
.photic .dim{color:var(--dim)}
.photic table{border-collapse:collapse;width:100%;font-size:.85rem}
.photic th,.photic td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid var(--line)}
.photic td.n,.photic th.n{text-align:right;font-variant-numeric:tabular-nums}.photic pre{overflow:auto;border:1px solid var(--line);padding:.8rem}
.photic .finding{border-left:4px solid var(--bad);padding:.1rem 1rem;margin:1rem 0}
.photic .finding.info{border-color:var(--b)}.photic .scroll{overflow-x:auto}
.photic svg{width:100%;height:auto;max-height:22rem}.photic svg text{fill:var(--dim);font:11px system-ui,sans-serif}
"""


def still(record: Checkup | TreatmentRecord) -> str:
    """Return the verdict, the depth profile, the layers, the findings and the trials as a piece of HTML.

    Notebooks that drop scripts (VS Code, marimo, GitHub) show it; `photic.reports.frame` puts the whole page in a frame.
    """
    before = record.before if isinstance(record, TreatmentRecord) else record
    after = record.after if isinstance(record, TreatmentRecord) else None
    dress = "good" if before.healthy and not before.run.stopped else "bad"
    parts = [
        f'<p class="verdict {dress}">{escape(bare(verdict(before)))}</p>',
        f'<p class="dim">{escape(before.run.model)} · {len(before.run.sites)} operations · {escape(before.run.optimizer)}</p>',
    ]
    profile = before.diagnosis.profile
    if profile is not None:
        parts.append(_chart(profile, None if after is None else after.diagnosis.profile))
        parts.append(f"<details><summary>Layers</summary>{_layers(profile)}</details>")
    parts += [_finding(finding) for finding in before.findings]
    if isinstance(record, TreatmentRecord):
        if record.trials:
            parts.append(_trials(record.trials))
        verb = "Relieved" if record.left else "Cured"
        cured = f"{verb} by {escape(record.remedy)}." if record.remedy else "Nothing was changed."
        parts.append(f'<p class="{"good" if record.remedy else ""}">{cured}</p>')
    return f'<div class="photic"><style>{_STYLE}</style>{"".join(parts)}</div>'


def _cells(values: Iterable[str], tag: str = "td", numbers: bool = True) -> str:
    first, *rest = values
    kind = ' class="n"' if numbers else ""
    return f"<tr><{tag}>{first}</{tag}>" + "".join(f"<{tag}{kind}>{value}</{tag}>" for value in rest) + "</tr>"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _layers(profile: Profile) -> str:
    head = (
        "layer",
        "line",
        "mean",
        "deviation",
        "gradient",
        "predicted",
        "gain of weight",
        "gain of activation",
        "update / weight",
        "reached",
    )
    rows = [
        _cells(
            (
                escape(line.site),
                escape(short(line.where)),
                _number(line.signal_mean, ".3g"),
                _number(line.signal_deviation, ".3g"),
                _number(line.transport, ".2e"),
                _number(line.predicted, ".2e"),
                _number(line.weight_gain, ".3g"),
                _number(line.activation_gain, ".3g"),
                _number(line.update_ratio, ".1e"),
                "yes" if line.reached else '<span class="bad">no</span>',
            )
        )
        for line in profile.layers
    ]
    return f'<div class="scroll" tabindex="0"><table><thead>{_cells(head, "th")}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _finding(finding: Finding) -> str:
    evidence = "".join(f"<li>{escape(e.name)}: {e.value:.3g} {escape(e.unit)}</li>" for e in finding.evidence)
    places = ", ".join(finding.sites[:4]) + (" …" if len(finding.sites) > 4 else "")
    return (
        f'<div class="finding {finding.severity}"><p><strong>{escape(finding.problem)}</strong></p>'
        f'<p class="dim">{finding.severity} · {escape(places)} · {escape(short(finding.where))} · confidence {100 * finding.confidence:.0f} %</p>'
        f'<p>{escape(bare(finding.reason))}</p><p><strong>Do:</strong> {escape(bare(finding.advice))}</p><ul class="dim">{evidence}</ul></div>'
    )


def _trials(trials: Sequence[Trial]) -> str:
    head = ("remedy", "verdict", "held-back loss", "reaches", "why")
    rows = [
        _cells(
            (
                escape(trial.remedy),
                trial.outcome,
                _number(trial.held_back_loss, ".3g"),
                "" if trial.reached is None else f"{trial.reached} of {trial.layers}",
                escape(bare(trial.reason)),
            ),
            numbers=False,
        )
        for trial in trials
    ]
    return f'<div class="scroll" tabindex="0"><table><thead>{_cells(head, "th", False)}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _chart(profile: Profile, after: Profile | None) -> str:
    """Draw the profile as SVG: decades upwards, layers to the right."""
    series = [
        (profile, "var(--a)", "measured"),
        *([(after, "var(--b)", "after treatment")] if after is not None else []),
    ]
    values = [line.transport for p, _, _ in series for line in p.layers] + [
        line.predicted for p, _, _ in series for line in p.layers
    ]
    low, high = decades([*values, profile.threshold])
    width, height, left, top = 900.0, 320.0, 60.0, 12.0

    def point(index: int, count: int, value: float) -> tuple[float, float]:
        x = left + (width - left - 20) * (index / max(count - 1, 1))
        share = (math.log10(value) - low) / (high - low)
        return x, top + (height - top - 40) * (1.0 - min(max(share, 0.0), 1.0))

    parts = [f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(profile.reach)}">']
    step = max(1, round((high - low) / 8))
    for decade in range(int(low), int(high) + 1, step):
        _, y = point(0, 2, 10.0**decade)
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">1e{decade}</text>')
    _, y = point(0, 2, profile.threshold)
    parts.append(
        f'<line x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--good)" stroke-dasharray="2 4"/>'
    )
    parts.append(f'<text x="{width - 22}" y="{y - 5:.1f}" text-anchor="end">reached above this line</text>')
    for number, (shown, colour, label) in enumerate(series):
        count = len(shown.layers)
        for dashed, numbers in (
            (True, [line.predicted for line in shown.layers]),
            (False, [line.transport for line in shown.layers]),
        ):
            points = [
                point(i, count, v) for i, v in enumerate(numbers) if v is not None and v > 0.0 and math.isfinite(v)
            ]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            style = 'stroke="var(--dim)" stroke-dasharray="6 4"' if dashed else f'stroke="{colour}" stroke-width="2.5"'
            parts.append(f'<polyline points="{path}" fill="none" {style}/>')
            if not dashed:
                parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        parts.append(f'<rect x="{left + 10 + 170 * number}" y="{height - 16}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{left + 28 + 170 * number}" y="{height - 11}">{label}</text>')
    parts.append(
        f'<text x="{left + 28 + 170 * len(series)}" y="{height - 11}">dashed: predicted; left is the input, right the output</text>'
    )
    return "".join(parts) + "</svg>"
