"""The demonstration told to a person: measure, explain, treat, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from photic.reports.bars import bar, sparkline
from photic.reports.terminal import show_budget, show_finding, show_layers, show_sites, show_trials
from photic.reports.verdict import verdict

if TYPE_CHECKING:
    from photic.lab.demonstration import Demonstration


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
    show_sites(checkup.run, profile, console)
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
    for finding in checkup.findings:
        show_finding(finding, console)
    console.print(Rule("treat"))
    show_trials(found.record.trials, console)
    console.print()
    console.print(Text(found.record.patch or found.record.paste))
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
    console.print(Text(f"{found.seconds:.0f} s", style="dim"))


def _curve(found: Demonstration, console: Console) -> None:
    """Print the slope of the activation and where the units of each layer sit on it."""
    curve = found.curve
    console.print(Text(f"the slope of {curve.name}, and where the units sit on it (5 to 95 %)"))
    for index in (i for i in range(0, len(curve.x), 5) if abs(curve.x[i]) <= 4.0):
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
