"""The whole page inside a notebook: a frame without rights, with the page as its text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from photic.reports.page import page


@dataclass(frozen=True)
class Frame:
    """Shows a view (see `reports/view.py`) in a notebook that runs scripts in frames: Jupyter, VS Code, marimo.

    Attributes:
        view: the page's data.
        height: of the frame, in pixels.
    """

    view: dict[str, Any]
    height: int = 720

    def _repr_html_(self) -> str:
        # Scripts run, but with an origin of their own: the page reaches neither the notebook nor the network.
        return (
            f'<iframe sandbox="allow-scripts" title="photic" width="100%" height="{int(self.height)}" '
            f'style="border:1px solid #8888" srcdoc="{escape(page(self.view), quote=True)}"></iframe>'
        )
