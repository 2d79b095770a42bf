"""Jozefowicz, Zaremba & Sutskever 2015: the LSTM's forget bias should start at 1; and what memory theory makes of it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from photic.initialisers.initialise import initialise
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.drawings import curves_over_layers
from photic.probes.audit import measure
from photic.theory.memory import forget_retention

KEY = "jozefowicz2015"
TITLE = "An empirical exploration of recurrent network architectures"
FULL = (
    "the quick size is the only one: one recurrent layer of 48 or 128 units. The paper's search over more than "
    "ten thousand architectures is not run."
)


class _Last(nn.Module):
    def __init__(self, kind: type[nn.LSTM], inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layer, self.head = kind(inputs, hidden, batch_first=True), nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0][:, -1])


def memory(seed: int, size: Size) -> Numbers:
    """LSTM of 128 units over 100 steps: the gradient of each step's input over the last's, by the forget bias."""
    found: Numbers = {}
    for bias in (0.0, 1.0, 3.0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _Last(nn.LSTM, 8, 128, 4)
            if bias:
                initialise(model, "lstm_forget", bias=bias, seed=seed)
            batch = 0.5 * torch.randn(16, 100, 8), torch.randint(4, (16,))
            times = measure(model, batch, F.cross_entropy).reading("layer").times
        assert times is not None
        ratios = [norm / times.gradient_norms[-1] for norm in times.gradient_norms]
        found[f"bias {bias:.0f}"] = ratios
        found[f"bias {bias:.0f} log10"] = math.log10(max(ratios[0], 1e-45))
        # Beyond the gate itself, the hidden state's loop carries gradients too: a rate above theory's sigmoid(bias).
        found[f"bias {bias:.0f} rate"] = (ratios[20] / ratios[70]) ** (1 / 50) if ratios[70] > ratios[20] else 1.0
        found[f"theory {bias:.0f}"] = [forget_retention(bias, steps=99 - t) for t in range(100)]
    return found


def learning(seed: int, size: Size) -> Numbers:
    """Naming which of four inputs came first, 30 steps before the end: accuracy after 250 steps of Adam."""
    found: Numbers = {}
    for name, bias in (("default", None), ("bias 1", 1.0), ("bias 3", 3.0)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _Last(nn.LSTM, 4, 48, 4)
            if bias is not None:
                initialise(model, "lstm_forget", bias=bias, seed=seed)
            optimizer = torch.optim.Adam(model.parameters(), 3e-3)
            right = 0.0
            for step in range(270):
                shown = torch.randint(4, (64,))
                x = 0.3 * torch.randn(64, 30, 4)
                x[torch.arange(64), 0, shown] += 2.0
                optimizer.zero_grad()
                logits = model(x)
                F.cross_entropy(logits, shown).backward()
                optimizer.step()
                right += float((logits.argmax(1) == shown).double().mean()) / 20 if step >= 250 else 0.0
        found[name] = right
    found["gain"] = found["bias 3"] - found["default"]
    return found


CLAIMS = (
    Claim(text="With the usual initialisation the forget gate is near 1/2 and the LSTM's gradient vanishes over long lags.",
          place="section 2.2", experiment=memory, number="bias 0 log10", high=-12.0, theirs="vanishing gradient problem",
          tolerance="the gate alone leaves 2^-99 = 10^-30; the loop over the hidden state carries some more"),
    Claim(text="A forget bias of 1 lets gradients live longer.", place="section 2.2", experiment=memory, number="bias 1 log10", low=-12.0, high=-4.0,
          tolerance="the gate leaves sigmoid(1)^99 = 10^-13.5; the loop carries some more"),
    Claim(text="A bias large enough keeps them whole over 100 steps.", place="section 2.2: a large forget bias", experiment=memory,
          number="bias 3 log10", low=-2.1, high=1.0, theirs="values such as 1 or 2", tolerance="at least the gate's sigmoid(3)^99 = 10^-2.1"),
    Claim(text="With the default bias the LSTM does not learn what was shown 30 steps before.", place="section 2.2 and 4", experiment=learning,
          number="default", high=0.6, tolerance="chance is 25 %"),
    Claim(text="With a large forget bias it does.", place="section 2.2 and 4", experiment=learning, number="bias 3", low=0.8,
          theirs="significantly improves", tolerance="far above chance"),
)  # fmt: skip

_LINES = tuple(
    line
    for b in (0, 1, 3)
    for line in ((f"bias {b}", f"forget bias {b}"), (f"theory {b}", f"theory: gate alone, bias {b} (at least)"))
)
FIGURES = {
    "memory": Figure(
        title="gradient over time", experiments=(memory,), seeds=3,
        draw=lambda parts, path: curves_over_layers(
            parts, path, lines=_LINES, title="LSTM, 128 units: the loop over the hidden state carries more than the gate alone", x="time step",
            y="|gradient| / |gradient at the last step|"),
    ),
}  # fmt: skip
