"""A record for the terminal: verdict first, then one line per site, findings, trials."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from photic.records.dissections import Dissection
from photic.records.findings import Checkup, Diagnosis, Finding
from photic.records.predictions import Prediction
from photic.records.profiles import LayerLine, Profile
from photic.records.runs import Run
from photic.records.treatments import TreatmentRecord, Trial
from photic.reports.bars import bar, decades, sparkline
from photic.reports.blocks import View, show_blocks, show_joins, show_times
from photic.reports.dissection import show_dissection
from photic.reports.verdict import verdict

WHOLE = View()

MOST_LINES = 48
MOST_JOINS = 6
LEAST_CHANGE = math.log10(2.0)  # decades of the whole gradient, of which operations have a share
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_OUTCOMES = {"accepted": "bold green", "refused": "red", "control": "cyan", "failed": "red", "stopped": "yellow"}


def show(record: Any, console: Console, view: View = WHOLE) -> None:
    """Print a record.

    Raises:
        TypeError: if it is no record that can be shown.
    """
    if isinstance(record, TreatmentRecord):
        show_treatment(record, console, view)
    elif isinstance(record, Checkup):
        show_checkup(record, console, view)
    elif isinstance(record, Run):
        show_sites(record, None, console, view)
    elif isinstance(record, Diagnosis):
        for finding in record.findings:
            show_finding(finding, console)
    elif isinstance(record, Prediction):
        show_prediction(record, console)
    elif isinstance(record, Dissection):
        show_dissection(record, console, view)
    else:
        raise TypeError(f"expected a photic record, got {type(record).__name__}")


def show_checkup(checkup: Checkup, console: Console, view: View = WHOLE) -> None:
    """Print a checkup."""
    style = "bold green" if checkup.healthy else "bold red"
    if checkup.run.stopped:
        console.print(Text(f"stopped: {checkup.run.stopped}", style="bold red"))
    else:
        console.print(Text(verdict(checkup), style=style))
    _facts(checkup, console)
    profile, ascii_only = checkup.diagnosis.profile, _plain(console)
    long = len(checkup.run.sites) > MOST_LINES
    folded = profile is not None and long and not view.everything
    if (
        not (folded and profile is not None and show_blocks(profile, console, view, ascii_only=ascii_only))
        or view.block
    ):
        show_sites(checkup.run, profile, console, view)
    show_times(checkup.run, console, view, ascii_only=ascii_only)
    if profile is not None and not checkup.run.stopped:
        show_layers(profile, console, view)
        show_budget(profile, console)
        show_joins(profile, console, view, most=MOST_JOINS)
        _show_last(checkup, console)
    for finding in checkup.findings:
        show_finding(finding, console)
    for finding in checkup.diagnosis.silenced:
        places = f" at {', '.join(finding.sites[:3])}" if finding.sites else ""
        console.print(Text(f"silenced: {finding.problem}{places}", style="dim"))
    for unseen in checkup.run.unseen:
        console.print(Text(f"unseen: {unseen.what}: {unseen.why}", style="yellow"))
    for item in checkup.not_asked:
        console.print(Text(f"not asked: {item.problem}: {item.missing}", style="dim"))
    for note in checkup.notes:
        console.print(Text(f"note: {note}", style="dim"))


def _show_last(checkup: Checkup, console: Console) -> None:
    """Say how deep the gradient reaches after the steps, where that is not as it was before them."""
    first, last = checkup.diagnosis.profile, checkup.diagnosis.last_profile
    if first is None or last is None or first.reached == last.reached:
        return
    console.print(Text(f"after {last.step} steps: {last.reach} ({first.reached} before them)", style="bold"))


def _facts(checkup: Checkup, console: Console) -> None:
    run = checkup.run
    parts = [run.model, f"{len(run.sites)} operations", f"{len(run.parameters)} parameter tensors"]
    if run.loss is not None:
        parts.append(f"loss {run.loss:.4g}")
    if run.losses:
        parts.append(f"after {len(run.losses)} steps {run.losses[-1]:.4g}")
    if run.optimizer:
        parts.append(run.optimizer)
    console.print(Text(" · ".join(parts), style="dim"))


def _plain(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")


def short(where: str) -> str:
    """Return `file.py:42` of a longer path."""
    return PurePath(where).name if where else ""


def show_sites(run: Run, profile: Profile | None, console: Console, view: View = WHOLE) -> None:
    """Print one line per site; a long network is folded to its layers and activations."""
    readings = run.steps[0].sites if run.steps else ()
    shares = _shares(profile)
    inside = [site for site in run.sites if site.phase == "model" and view.holds(site.module)]
    shown = [site for site in inside if view.everything or site.kind != "shape"]
    if len(shown) > MOST_LINES and not view.everything:
        shown = [site for site in shown if site.kind == "weight"]
        if len(shown) > MOST_LINES:
            shown = shown[: MOST_LINES // 2] + shown[-MOST_LINES // 2 :]
    left_out = len(inside) - len(shown)
    if not shown:
        return
    signals = [readings[site.order].signal for site in shown]
    gradients = [readings[site.order].gradient for site in shown]
    signal_span = decades([None if signal is None else signal.rms for signal in signals])
    gradient_span = decades([None if gradient is None else gradient.norm for gradient in gradients])
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for title, justify in (("site", "left"), ("line", "left"), ("signal rms", "right"), ("", "left")):
        table.add_column(title, justify=justify, no_wrap=title != "site", overflow="fold")  # pyright: ignore
    for title, justify in (
        ("gradient norm", "right"),
        ("", "left"),
        ("gain", "right"),
        ("share" if shares else "", "right"),
    ):
        table.add_column(title, justify=justify, no_wrap=True)  # pyright: ignore
    for site, signal, gradient in zip(shown, signals, gradients, strict=True):
        reading = readings[site.order]
        share = shares.get(site.name)
        table.add_row(
            escape(site.name or "(root)") + ("" if site.differentiable else " [red]cut[/red]"),
            escape(short(site.where)),
            "" if signal is None else f"{signal.rms:.3g}",
            bar(None if signal is None else signal.rms, signal_span, width=8, ascii_only=_plain(console)),
            "none" if gradient is None else f"{gradient.norm:.2e}",
            bar(None if gradient is None else gradient.norm, gradient_span, width=14, ascii_only=_plain(console)),
            "" if reading.gain is None else f"{reading.gain:.3g}",
            "" if share is None else f"{100 * share:.1f} %",
        )
    console.print(table)
    low, high = gradient_span
    meaning = "; share: of the whole change of the gradient" if shares else ""
    console.print(Text(f"gradient bars span 1e{low:.0f} to 1e{high:.0f}{meaning}", style="dim"))
    if left_out:
        console.print(Text(f"{left_out} operations are not shown; --all shows them", style="dim"))


def _shares(profile: Profile | None) -> dict[str, float]:
    """Return by site its share of the gradient's change; none where the whole hardly changes: shares of nothing are noise."""
    if profile is None or not profile.transport or abs(math.log10(profile.transport)) < LEAST_CHANGE:
        return {}
    return {line.site: line.share for line in profile.budget if line.kind != "join"}


def show_layers(profile: Profile, console: Console, view: View = WHOLE) -> None:
    """Print the layers: what stands after each activation, transport measured and predicted, and the update."""
    lines, gap = [line for line in profile.layers if view.holds(line.site)], 0
    if len(lines) > MOST_LINES and not view.everything:
        gap, lines = len(lines) - MOST_LINES, lines[: MOST_LINES // 2] + lines[-MOST_LINES // 2 :]
    table = Table(
        box=None, padding=(0, 1), header_style="dim", title=f"layers, gradient relative to {profile.top or 'the top'}"
    )
    for title in ("layer", "mean", "deviation", "gradient", "predicted", "band", "update / weight", "reached"):
        table.add_column(title, justify="left" if title == "layer" else "right", overflow="fold")
    for place, line in enumerate(lines):
        if gap and place == MOST_LINES // 2:
            table.add_row(f"... {gap} more, --all shows them")
        table.add_row(
            escape(line.site),
            _value(line.signal_mean),
            _value(line.signal_deviation),
            _short_number(line.transport, "{:.2e}"),
            _short_number(line.predicted, "{:.2e}"),
            _band(line),
            _short_number(line.update_ratio, "{:.1e}"),
            "yes" if line.reached else "[red]no[/red]",
        )
    console.print(table)


def _short_number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _value(value: float | None) -> str:
    """Return two decimals, or two digits of what they would hide or draw out: a signal that fades is not 0.00."""
    plain = value is None or 0.01 <= abs(value) < 1e5 or value == 0.0
    return _short_number(value, "{:.2f}" if plain else "{:.1e}")


def _band(line: LayerLine) -> str:
    return "" if line.low is None or line.high is None else f"{line.low:.1e} .. {line.high:.1e}"


def show_budget(profile: Profile, console: Console) -> None:
    """Print what each kind of operation takes of the gradient, along the main path."""
    groups: dict[str, list[float]] = {}
    for line in profile.budget:
        groups.setdefault(line.operation, []).append(line.gain)
    parts: list[str] = []
    for operation, gains in groups.items():
        product = 1.0
        for gain in gains:
            product *= gain
        if abs(product - 1.0) > 0.01:
            each = abs(product) ** (1.0 / len(gains)) if product > 0.0 else 0.0
            parts.append(f"{len(gains)} x {operation}: {each:.3g} each")
    if parts and profile.transport is not None:
        console.print(Text(f"budget: {', '.join(parts)}; together {profile.transport:.2e}"))


def show_finding(finding: Finding, console: Console) -> None:
    """Print one finding."""
    places = ", ".join(finding.sites[:3]) + (f" and {len(finding.sites) - 3} more" if len(finding.sites) > 3 else "")
    head = Text(f"{finding.severity} ", style=_COLOURS[finding.severity])
    head.append(finding.problem, style="bold")
    head.append(f"  {places}  {finding.where}  confidence {100 * finding.confidence:.0f} %", style="dim")
    console.print()
    console.print(head)
    console.print(Text(finding.reason))
    for item in finding.evidence:
        console.print(Text(f"  {item.name}: {item.value:.3g} {item.unit}", style="dim"))
    console.print(Text(f"do: {finding.advice}", style="green"))
    if finding.victims:
        console.print(
            Text(
                f"suffering: {', '.join(finding.victims[:6])}{' ...' if len(finding.victims) > 6 else ''}", style="dim"
            )
        )


def show_prediction(prediction: Prediction, console: Console) -> None:
    """Print what theory expects, site by site."""
    table = Table(
        box=None, padding=(0, 1), header_style="dim", title=f"predicted; gradient relative to {prediction.top}"
    )
    for title in ("site", "signal rms", "signal mean", "gain", "gradient", "band", "not predicted"):
        table.add_column(title, justify="left" if title in ("site", "not predicted") else "right", overflow="fold")
    for site in prediction.sites:
        band = "" if site.low is None or site.high is None else f"{site.low:.1e} .. {site.high:.1e}"
        table.add_row(
            escape(site.site),
            _short_number(site.signal_rms, "{:.3g}"),
            _short_number(site.signal_mean, "{:.3g}"),
            _short_number(site.gain, "{:.3g}"),
            _short_number(site.transport, "{:.2e}"),
            band,
            escape(site.not_predicted),
        )
    console.print(table)
    for assumption in prediction.assumptions:
        console.print(Text(f"assumed: {assumption}", style="dim"))


def show_treatment(record: TreatmentRecord, console: Console, view: View = WHOLE) -> None:
    """Print a treatment: what was wrong, the trials, the patch."""
    show_checkup(record.before, console, view)
    console.print()
    if record.trials:
        show_trials(record.trials, console)
    if record.remedy:
        chosen = next(trial for trial in record.trials if trial.remedy == record.remedy)
        verb = "relieved" if record.left else "cured"
        console.print(Text(f"{verb} by {record.remedy}: {chosen.title}", style="bold green"))
    elif not record.before.healthy:
        console.print(Text("nothing cured it", style="bold red"))
    for note in record.notes:
        console.print(Text(f"note: {note}", style="dim"))
    for text in (record.patch, record.paste):
        if text:
            console.print()
            console.print(Text(text))


def show_trials(trials: tuple[Trial, ...], console: Console) -> None:
    """Print the trials as a table with sparklines of their losses."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for title in ("remedy", "verdict", "loss", "held back", "reaches", "why"):
        table.add_column(title, justify="right" if title in ("held back", "reaches") else "left", overflow="fold")
    for trial in trials:
        table.add_row(
            trial.remedy,
            Text(trial.outcome, style=_OUTCOMES.get(trial.outcome, "dim")),
            sparkline(trial.losses, ascii_only=_plain(console)),
            _short_number(trial.held_back_loss, "{:.3g}"),
            "" if trial.reached is None else f"{trial.reached} of {trial.layers}",
            escape("; ".join((trial.reason, *trial.effects))),
        )
    console.print(table)
