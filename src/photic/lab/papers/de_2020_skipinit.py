"""De & Smith 2020: BatchNorm biases residual blocks towards the identity; a gate of 0 does as much."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches, digits
from photic.lab.drawings import curves_over_layers

KEY = "de2020"
TITLE = "Batch normalization biases residual blocks towards the identity function in deep networks"
FULL = (
    "the quick size is the only one: 128 blocks on the digits. The paper's trainings, of up to a thousand layers, "
    "are not run: their data are not here."
)


class _Normalised(nn.Module):
    """x + W relu(BN(x)), He's weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(width), nn.Linear(width, width, bias=False)
        nn.init.kaiming_normal_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(torch.relu(self.norm(x)))


class _Skip(nn.Module):
    """x + alpha W2 relu(W1 x): SkipInit with `alpha` = 0 at the start, no normalisation."""

    def __init__(self, width: int, alpha: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.kaiming_normal_(self.second.weight)
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.alpha * self.second(torch.relu(self.first(x)))


def variances(seed: int, size: Size) -> Numbers:
    """64 blocks of 256 units with BatchNorm in the branch: variance of the trunk, and the branch's share in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = [_Normalised(256) for _ in range(64)]
        x = torch.randn(256, 256)
        trunk, shares = [1.0], list[float]()
        with torch.no_grad():
            for block in blocks:
                after = block(x)
                # What grows is measured over examples: BatchNorm sees nothing else.
                shares.append(float((after - x).var(0).mean() / after.var(0).mean()))
                x = after
                trunk.append(float(x.var(0).mean()))
    slope = (trunk[64] - trunk[1]) / 63
    return {
        "x": list(range(65)),
        "trunk": trunk,
        "theory": [1.0 + (1.0 - 1.0 / math.pi) * block for block in range(65)],  # 2 Var[relu(z)]
        "growth per block": slope,
        "curvature": (trunk[64] - trunk[32]) / (trunk[32] - trunk[0]),
        "last share": shares[63] * 64,
    }


def training(seed: int, size: Size) -> Numbers:
    """128 blocks of two layers on the digits, SGD at 0.02: gates at 0, at 1 / sqrt(blocks), at 1."""
    _, (images, labels) = digits()
    found: Numbers = {}
    for name, alpha in (("zero", 0.0), ("root", 1 / math.sqrt(128)), ("one", 1.0)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(*[_Skip(64, alpha) for _ in range(128)], nn.Linear(64, 10))
        optimizer = torch.optim.SGD(model.parameters(), 0.02)
        for x, y in batches(100, seed=seed):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            out = model(images)
            found[name] = float(((out.argmax(1) == labels) & out.isfinite().all(1)).double().mean())
    return found


CLAIMS = (
    Claim(text="With BatchNorm in the branch the variance of the trunk grows linearly with depth, not exponentially.", place="section 3; figure 2",
          experiment=variances, number="curvature", low=0.85, high=1.15, theirs="linear", tolerance="1 for a line over 64 blocks; 256 units"),
    Claim(text="Each branch adds the same amount: its share of the block's output at depth l is 1 / l.", place="section 3", experiment=variances,
          number="last share", low=0.8, high=1.2, theirs="about 1 / l",
          tolerance="times l = 64; the start and finite width"),
    Claim(text="A single learned number at 0 replaces BatchNorm: 256 layers train.", place="section 4, SkipInit", experiment=training, number="zero",
          low=0.85, seeds=8, theirs="trains up to 1,000 layers", tolerance="held-back digits after 100 steps"),
    Claim(text="A gate of 1 / sqrt(depth) does as well.", place="section 4, table 1", experiment=training, number="root", low=0.85, seeds=8,
          theirs="trainable", tolerance="held-back digits after 100 steps"),
    Claim(text="A gate of 1 does not train.", place="section 4, table 1", experiment=training, number="one", high=0.3, seeds=8,
          theirs="untrainable", tolerance="chance is 10 %; a diverged network names none rightly"),
)  # fmt: skip

FIGURES = {
    "2": Figure(
        title="variance of the trunk with BatchNorm in the branch", experiments=(variances,), seeds=3,
        draw=partial(curves_over_layers, title="64 blocks of 256 units", x="block (0: the input)", y="variance of the trunk", log=False,
                     lines=(("trunk", "measured"), ("theory", "theory: 1 - 1 / pi more with every block"))),
    ),
}  # fmt: skip
