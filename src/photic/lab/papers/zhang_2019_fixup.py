"""Zhang, Dauphin & Ma 2019: residual networks without normalisation, by the right start."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.initialisers.initialise import initialise
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches, digits
from photic.lab.drawings import curves_over_layers

KEY = "zhang2019"
TITLE = "Fixup initialization: residual learning without normalization"
FULL = (
    "64 blocks of two layers for the figure, and one training of 5,000, the paper's 10,000 layers; ours are 64 "
    "units wide, on the digits. Its image classification and machine translation are not run: their data are not "
    "here."
)


class Branched(nn.Module):
    """x + W2 relu(W1 x): a branch of two layers, no normalisation and no biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what the branch adds."""
        return x + self.second(torch.relu(self.first(x)))


def model(blocks: int, scheme: str, seed: int) -> nn.Sequential:
    """Return that many blocks of width 64 and a classifier, drawn by a scheme of `photic.initialise`."""
    (images, _), _ = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(*[Branched(64) for _ in range(blocks)], nn.Linear(64, 10))
        initialise(made, scheme, batch=images[:8], seed=seed)
    return made


def start(seed: int, size: Size) -> Numbers:
    """Mean squares at the top of 4 to 32 blocks with He's weights, and the gradient that reaches each branch."""
    (images, labels), _ = digits()
    found: Numbers = {}
    logs: list[float] = []
    found["x"] = list(range(33))
    for scheme in ("he", "fixup"):
        network, h, course = model(32, scheme, seed), images[:256], list[float]()
        with torch.no_grad():
            for block in [nn.Identity(), *list(network)[:-1]]:
                h = block(h)
                course.append(float(h.square().mean()))
        found[f"{scheme} course"] = course
    found["theory"] = [2.0**block for block in range(33)]
    for blocks in (4, 32):
        network = model(blocks, "he", seed)
        top = network[:-1](images[:256])
        logs.append(math.log2(float(top.detach().square().mean())))
    found["doublings per block"] = (logs[1] - logs[0]) / 28
    for blocks in (8, 128):
        network = model(blocks, "fixup", seed)
        found[f"signal {blocks}"] = float(network[:-1](images[:256]).detach().square().mean())
        with torch.no_grad():
            head = network[-1]
            assert isinstance(head, nn.Linear)
            head.weight.normal_(
                0.0, 0.1, generator=torch.Generator().manual_seed(seed)
            )  # 0 at the start: nothing comes back
        before = network(images[:256]).detach()
        optimizer = torch.optim.SGD(network.parameters(), 1e-3)
        F.cross_entropy(network(images[:256]), labels[:256]).backward()
        optimizer.step()
        found[f"change {blocks}"] = float((network(images[:256]).detach() - before).norm())
    found["change growth"] = found["change 128"] / found["change 8"]
    return found


def training(seed: int, size: Size) -> Numbers:
    """64 blocks of two layers on the digits, SGD at 0.05: held-back accuracy after 150 steps."""
    _, (images, labels) = digits()
    found: Numbers = {}
    for scheme in ("fixup", "he"):
        network = model(64, scheme, seed)
        optimizer = torch.optim.SGD(network.parameters(), 0.05)
        for x, y in batches(150, seed=seed):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            out = network(images)
            found[scheme] = float(((out.argmax(1) == labels) & out.isfinite().all(1)).double().mean())
    return found


def deepest(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """The same by Fixup: 500 blocks of two layers, and in the full size 5,000, for 60 steps."""
    _, (images, labels) = digits()
    network = model(500 if size == "quick" else 5000, "fixup", seed).to(device)
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    for x, y in batches(60, seed=seed):
        optimizer.zero_grad()
        F.cross_entropy(network(x.to(device)), y.to(device)).backward()
        optimizer.step()
    with torch.no_grad():
        out = network(images.to(device)).cpu()
        return {"accuracy": float(((out.argmax(1) == labels) & out.isfinite().all(1)).double().mean())}


CLAIMS = (
    Claim(text="With standard initialisation the variance doubles with every residual block.", place="section 2, equation 1",
          experiment=start, number="doublings per block", seeds=8, low=0.85, high=1.15, theirs="exponential in depth",
          tolerance="2 in the mean; 64 units lower the log by kappa / (2 n ln 2) = 6 %, seeds add 8 %"),
    Claim(text="With Fixup it does not grow at all: blocks start as the identity.", place="section 3, rule 1", experiment=start, number="signal 128",
          low=1.0 - 1e-5, high=1.0 + 1e-5, tolerance="exact for inputs of mean square 1"),
    Claim(text="One step of SGD moves the function by an amount that hardly depends on depth.", place="section 3, theorem 2",
          experiment=start, number="change growth", low=0.5, high=2.0, theirs="Theta(eta)", tolerance="a factor of two"),
    Claim(text="So 128 layers train without normalisation.", place="section 4; figure 3", experiment=training, number="fixup", low=0.9,
          theirs="as with BatchNorm", tolerance="nine of ten held-back digits after 150 steps"),
    Claim(text="With standard initialisation at that rate it does not.", place="section 2", experiment=training, number="he", high=0.3,
          theirs="explodes", tolerance="chance is 10 %; a diverged network names none rightly"),
    Claim(text="With Fixup networks of 10,000 layers train too.", place="abstract", experiment=deepest, number="accuracy", low=0.9, seeds=1,
          size="full", theirs="stable", tolerance="nine of ten held-back digits after 60 steps"),
)  # fmt: skip

FIGURES = {
    "signal": Figure(
        title="the signal along the blocks", experiments=(start,), seeds=3,
        draw=partial(curves_over_layers, title="residual blocks of two layers, 64 units", x="block (0: the input)",
                     y="mean square of the trunk",
                     lines=(("he course", "He's weights"), ("fixup course", "Fixup"), ("theory", "theory: doubles with every block"))),
    ),
}  # fmt: skip
