"""A dissection for the terminal: one line per site, the Jacobian, the course of shattering."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from photic.records.dissections import Dissection
from photic.reports.bars import sparkline
from photic.reports.blocks import View

_MOST = 48


def show_dissection(found: Dissection, console: Console, view: View) -> None:
    """Print what per-example detail there is."""
    shown = [site for site in found.sites if view.holds(site.site.split("/")[0])]
    folded = len(shown) - _MOST if not view.everything else 0
    if folded > 0:
        shown = shown[: _MOST // 2] + shown[-_MOST // 2 :]
    table = Table(box=None, padding=(0, 1), header_style="dim")
    titles = (
        "site",
        "mean share",
        "effective rank",
        "token cosine",
        "gradient of an example",
        "95 / 5 %",
        "none",
        "cosine",
    )
    for title in titles:
        table.add_column(title, justify="left" if title == "site" else "right", overflow="fold")
    for site in shown:
        table.add_row(
            escape(site.site),
            _percent(site.mean_share),
            "" if site.effective_rank is None else f"{site.effective_rank:.3g} of {site.rank_limit}",
            _number(site.token_cosine),
            "" if site.gradient_median is None else f"{site.gradient_median:.2e}",
            _number(site.gradient_spread),
            _percent(site.gradient_zeros),
            _number(site.gradient_cosine),
        )
    console.print(table)
    if folded > 0:
        console.print(Text(f"{folded} sites are not shown; --all shows them", style="dim"))
    console.print(
        Text(
            "mean share: of the signal's mean square, what does not depend on the example; none: examples without gradient; "
            "cosine: between gradients of different examples",
            style="dim",
        )
    )
    if found.jacobian is not None:
        largest = ", ".join(f"{value:.3g}" for value in found.jacobian.largest) or found.jacobian.why_not
        console.print(
            Text(
                f"Jacobian {found.jacobian.outputs} x {found.jacobian.inputs}: mean squared singular value "
                f"{found.jacobian.mean_square:.3g} +- {found.jacobian.error:.1g}; largest singular values: {largest}"
            )
        )
    if found.shattering:
        near = found.shattering[1]
        console.print(
            Text(
                f"gradients of neighbouring inputs: correlation {near:.2f} at 1/32 of the way to another example "
                f"{sparkline(found.shattering)} (white noise: 0)"
            )
        )
    for reason in found.not_asked:
        console.print(Text(f"not asked: {reason}", style="dim"))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100.0 * share:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
