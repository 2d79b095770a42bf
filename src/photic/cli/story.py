"""The demonstration told to a person on a screen or two: measure, explain, treat, verify. All of it is in the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from photic.reports.bars import bar, sparkline
from photic.reports.terminal import show_budget, show_finding, show_layers
from photic.reports.verdict import verdict

if TYPE_CHECKING:
    from photic.lab.demonstration import Demonstration


_PATCH_LINES = 6


def tell(found: Demonstration, console: Console) -> None:
    """Print the story."""
    checkup = found.record.before
    profile = checkup.diagnosis.profile
    console.print(Rule("the network"))
    console.print(
        Text(
            "Ten hidden layers of 128, torch.sigmoid after each, PyTorch's default weights, plain gradient descent; "
            "1,797 handwritten digits of scikit-learn. It is photic/lab/examples/deep_sigmoid.py."
        )
    )
    console.print(Rule("measure"))
    console.print(Text(verdict(checkup), style="bold red"))
    if profile is not None:
        show_layers(profile, console)
        console.print(
            Text(
                "wanted after a hidden layer: mean 0, deviation 1; the sigmoid gives about 0.5. An update of about 1e-3 is usual."
            )
        )
    console.print(Rule("explain"))
    _curve(found, console)
    if profile is not None:
        show_budget(profile, console)
    for finding in checkup.findings[:1]:
        show_finding(finding, console)
    for finding in checkup.findings[1:]:
        console.print(Text(f"and {finding.severity} {finding.problem}"))
    console.print(Rule("treat"))
    _trials(found, console)
    _patch(found, console)
    console.print(Rule("verify"))
    console.print(
        Text(f"full training of {len(found.untreated.losses)} steps; accuracy on test images, chance is 0.10")
    )
    for trained in (found.untreated, found.treated, *found.others):
        mark = " <- chosen: the smallest change" if trained is found.treated and found.record.remedy else ""
        console.print(Text(f"  {trained.remedy:20s} {trained.test_accuracy:6.3f}  {sparkline(trained.losses)}{mark}"))
    console.print()
    for path in found.files:
        console.print(Text(f"wrote {path}"))
    console.print(
        Text(f"{found.seconds:.0f} s; `photic report {found.files[0]}` shows every operation and trial", style="dim")
    )


def _trials(found: Demonstration, console: Console) -> None:
    """Print one line for each remedy that was tried."""
    for trial in found.record.trials:
        if trial.outcome != "not-applicable":
            loss = "" if trial.held_back_loss is None else f"{trial.held_back_loss:.3g}"
            reach = "" if trial.reached is None else f"reaches {trial.reached} of {trial.layers}"
            course = sparkline(trial.losses)
            console.print(Text(f"  {trial.remedy:20s} {trial.outcome:9s} {course:16s} held back {loss:7s} {reach}"))
    unfit = [trial.remedy for trial in found.record.trials if trial.outcome == "not-applicable"]
    if unfit:
        console.print(Text(f"not applicable here: {', '.join(unfit)}", style="dim"))


def _patch(found: Demonstration, console: Console) -> None:
    """Print the beginning of the patch."""
    lines = [line for line in (found.record.patch or found.record.paste).splitlines() if line.strip()]
    for line in lines[:_PATCH_LINES]:
        console.print(Text(line))
    if len(lines) > _PATCH_LINES:
        console.print(Text(f"... and {len(lines) - _PATCH_LINES} more lines of the patch", style="dim"))


def _curve(found: Demonstration, console: Console) -> None:
    """Print the slope of the activation and where the units of each layer sit on it."""
    curve = found.curve
    console.print(Text(f"the slope of {curve.name}, and where the units sit on it (5 to 95 %)"))
    for index in (i for i in range(0, len(curve.x), 10) if abs(curve.x[i]) <= 3.0):
        inside = [i + 1 for i, q in enumerate(curve.quantiles) if q[0] <= curve.x[index] <= q[-1]]
        sit = (
            f"units of layers {inside[0]} to {inside[-1]}"
            if len(inside) > 1
            else ("units of layer 1" if inside else "")
        )
        length = bar(10.0 ** (4.0 * curve.slope[index]), (0.0, 4.0), width=40)
        console.print(Text(f"  {curve.x[index]:+5.1f}  {curve.slope[index]:5.3f} {length} {sit}"))
    if max(curve.slope) < 0.999:
        console.print(Text(f"it never exceeds {max(curve.slope):.2f}: no unit passes more of the gradient than that."))
