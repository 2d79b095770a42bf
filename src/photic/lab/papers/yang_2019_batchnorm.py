"""Yang et al. 2019: BatchNorm makes gradients explode with depth, and no initialisation can remove it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from photic.activations import find
from photic.lab.claims import Claim, Figure, Numbers, Size, around
from photic.lab.drawings import curves_over_layers
from photic.lab.tracing import trace
from photic.theory.laws import batch_norm_gain, linear_batch_norm_gain

KEY = "yang2019"
TITLE = "A mean field theory of batch normalization"
FULL = (
    "the quick size is the only one: 1,000 units at the start, where the theory is. The paper's trainings are not run."
)
_RELU, _TANH = find("relu"), find("tanh")
assert _RELU is not None and _TANH is not None


class _Block(nn.Module):
    """x + f(x) with f = linear, BatchNorm, ReLU in front."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(width), nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.linear(torch.relu(self.norm(x)))


def _norms(activation: type[nn.Module], *, batch: int, width: int, depth: int, scale: float, seed: int) -> list[float]:
    """Return the gradient norm at each layer of linear, BatchNorm, activation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for _ in range(depth):
            linear = nn.Linear(width, width, bias=False)
            nn.init.normal_(linear.weight, std=math.sqrt(scale / width))
            layers += [linear, nn.BatchNorm1d(width), activation()]
        model = nn.Sequential(*layers, nn.Linear(width, 10))
        found = trace(model, (torch.randn(batch, width), torch.randint(10, (batch,))))
    return found.gradient_norms[:depth]


def _growth(norms: Sequence[float]) -> float:
    """Return the factor on the squared norm per layer."""
    # The first layer's examples are independent; those of later layers are as correlated as the network makes them.
    return (norms[1] / norms[-1]) ** (2.0 / (len(norms) - 2))


def relu(seed: int, size: Size) -> Numbers:
    """Twelve ReLU layers of 1,000 units, a batch of 256, with small, usual and large weights."""
    assert _RELU is not None
    found: Numbers = {"theory": [batch_norm_gain(_RELU) ** ((11 - layer) / 2) for layer in range(12)]}
    for scale in (0.1, 2.0, 10.0):
        norms = _norms(nn.ReLU, batch=256, width=1000, depth=12, scale=scale, seed=seed)
        found[str(scale)] = _growth(norms)
        found[f"{scale} norms"] = [norm / norms[-1] for norm in norms]
    return found


def linear(seed: int, size: Size) -> Numbers:
    """Linear layers of 1,000 units, batches of 8 and 32."""
    return {
        str(batch): _growth(_norms(nn.Identity, batch=batch, width=1000, depth=12, scale=1.0, seed=seed))
        for batch in (8, 32)
    }


def tanh(seed: int, size: Size) -> Numbers:
    """Tanh layers of 1,000 units, a batch of 256."""
    return {"gain": _growth(_norms(nn.Tanh, batch=256, width=1000, depth=12, scale=1.0, seed=seed))}


def skips(seed: int, size: Size) -> Numbers:
    """Residual blocks with BatchNorm in front of the branch: the gradient at the bottom over that at the top, 50 blocks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 256), *[_Block(256) for _ in range(50)], nn.Linear(256, 10))
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        found = trace(model, (torch.randn(128, 64), torch.randint(10, (128,))))
    last = [s for s in found.run.sites if s.phase == "model"]
    gradients = [found.run.steps[0].sites[s.order].gradient for s in last if s.operation in ("add", "__add__", "iadd")]
    norms = [g.norm for g in gradients if g is not None]
    return {"ratio": norms[0] / norms[-1], "exponent": math.log(norms[0] / norms[-1]) / math.log(50)}


_TOLERANCE = "infinite width and batch; 4 % for width 1,000 and a batch of 256"

CLAIMS = (
    Claim(text="With ReLU the squared gradient grows by pi / (pi - 1) = 1.467 per layer.", place="corollary to theorem 3.9; abstract",
          experiment=relu, number="2.0", theirs="pi / (pi - 1)", tolerance=_TOLERANCE,
          **dict(zip(("low", "high"), around(batch_norm_gain(_RELU), relative=0.04), strict=True))),
    Claim(text="Smaller weights do not remove the explosion.", place="abstract", experiment=relu, number="0.1", tolerance=_TOLERANCE,
          theirs="cannot be removed", **dict(zip(("low", "high"), around(batch_norm_gain(_RELU), relative=0.04), strict=True))),
    Claim(text="Larger weights do not remove it either.", place="abstract", experiment=relu, number="10.0", tolerance=_TOLERANCE,
          theirs="cannot be removed", **dict(zip(("low", "high"), around(batch_norm_gain(_RELU), relative=0.04), strict=True))),
    Claim(text="A linear network with a batch of 32 has the factor (B - 2) / (B - 3).", place="section 4, linear networks",
          experiment=linear, number="32", theirs="(B - 2) / (B - 3)", tolerance="exact for infinite width; 1.5 % for 1,000 units",
          **dict(zip(("low", "high"), around(linear_batch_norm_gain(32), relative=0.015), strict=True))),
    Claim(text="The smaller the batch the worse: at 8 the linear factor is 1.2.", place="section 4, linear networks", experiment=linear,
          number="8", theirs="1.2", seeds=8, tolerance="exact for infinite width; 3 % for 1,000 units",
          **dict(zip(("low", "high"), around(linear_batch_norm_gain(8), relative=0.03), strict=True))),
    Claim(text="Linear activations explode least: tanh lies between them and ReLU.", place="section 4, figure 2", experiment=tanh,
          number="gain", theirs="between", tolerance=_TOLERANCE,
          **dict(zip(("low", "high"), around(batch_norm_gain(_TANH), relative=0.04), strict=True))),
    Claim(text="Skip connections tame it: over 50 blocks the gradient grows by a power of depth below 1, not exponentially.", place="section 6",
          experiment=skips, number="exponent", low=0.4, high=0.9, theirs="reduces gradient explosion",
          tolerance="plain layers would give 1.21^50 = 1e4; measured before at about L^0.73 for this block"),
)  # fmt: skip

FIGURES = {
    "2": Figure(
        title="the gradient with BatchNorm, layer by layer", experiments=(relu,), seeds=3,
        draw=partial(curves_over_layers, title="linear, BatchNorm, ReLU, width 1,000: the three scales coincide", x="layer",
                     y="|gradient| / |gradient at the top layer|",
                     lines=(("0.1 norms", "fan_in Var[w] = 0.1"), ("2.0 norms", "fan_in Var[w] = 2"), ("10.0 norms", "fan_in Var[w] = 10"),
                            ("theory", "theory: sqrt(pi / (pi - 1)) per layer"))),
    ),
}  # fmt: skip
