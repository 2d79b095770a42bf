"""The page of the initialisers, from their registries."""

from __future__ import annotations

import inspect

from docstrings import cited, markdown

from photic.initialisers import initialise
from photic.initialisers.schemes import schemes

_HEAD = """# Initialisers

`photic.initialise(model, NAME)` draws the weights of a model in place, each layer by its role: what its fans are and which activation
follows it, which one forward pass of a batch shows.

```python
import torch
from torch import nn

import photic

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
done = photic.initialise(model, "he", batch=torch.randn(8, 64), seed=0)
print(next(iter(done.drawn.values())))
# prints: N(0, 0.0312), bias 0
```
"""
_GROUPS = (
    ("Layer by layer", "Each linear or convolution layer by itself.", None),
    (
        "Of the whole model",
        "What they draw depends on how deep or wide the model is, or on its residual branches.",
        "_OF_LAYERS",
    ),
    ("Of recurrent layers", "RNN, LSTM and GRU.", "_OF_MODULES"),
    ("From data", "They need a batch, some of them a loss too.", "_OF_DATA"),
)


def page() -> str:
    """Return the page."""
    parts = ["<!-- run: python -->", _HEAD.strip()]
    for title, words, table in _GROUPS:
        found = {n: s.draw for n, s in schemes().items()} if table is None else getattr(initialise, table)
        parts.append(f"## {title}\n\n{words}")
        for name in sorted(found):
            options = _options(found[name])
            source = f"\n\nSource: {schemes()[name].source}." if table is None else ""
            given = f"\n\nOptions: {options}." if options else ""
            parts.append(f"### {name}\n\n{cited(markdown(found[name]) + source)}{given}")
    return "\n\n".join(parts)


def _options(function: object) -> str:
    parameters = inspect.signature(function).parameters.values()  # pyright: ignore
    chosen = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return ", ".join(f"`{p.name}={p.default!r}`" if p.default is not p.empty else f"`{p.name}=`" for p in chosen)
