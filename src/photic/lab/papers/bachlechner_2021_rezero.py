"""Bachlechner et al. 2021: a gate of 0 on every residual branch makes any depth an isometry at the start."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.datasets.digits import batches, digits
from photic.lab.drawings import curves_over_layers
from photic.lab.tracing import trace

KEY = "bachlechner2021"
TITLE = "ReZero is all you need: fast convergence at large depth"
FULL = (
    "64 gated blocks for the figure, and one training of 10,000, as many as the paper names; ours are 64 units wide, on "
    "the digits. Its residual CNNs on CIFAR-10 and its transformers on enwik8 are not run: their data are not here."
)


class Block(nn.Module):
    """x + alpha relu(W x), with He's weights; alpha a learned number, or fixed at 1."""

    def __init__(self, width: int, gated: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        nn.init.kaiming_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.alpha = nn.Parameter(torch.zeros(())) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what the branch adds."""
        branch = torch.relu(self.linear(x))
        return x + (branch if self.alpha is None else self.alpha * branch)


def _model(depth: int, gated: bool, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(*[Block(64, gated) for _ in range(depth)], nn.Linear(64, 10))


def start(seed: int, size: Size) -> Numbers:
    """128 blocks at the start, in float64: the gradient at the input over that at the top, with and without the gate."""
    (images, labels), _ = digits()
    found: Numbers = {}
    for name, gated in (("gated", True), ("plain", False)):
        model = _model(128, gated, seed).double()
        x = images[:64].double().requires_grad_()
        top = model[:-1](x)
        below, above = torch.autograd.grad(F.cross_entropy(model[-1](top), labels[:64]), (x, top))
        found[name] = float(below.norm() / above.norm())
        found[f"{name} signal"] = float((top.detach() / x.detach()).median())
    layers = trace(_model(32, True, seed), (images[:64], labels[:64]))
    gradients = {p.name: r.gradient for p, r in zip(layers.run.parameters, layers.run.steps[0].parameters, strict=True)}
    weights = [g.maximum for name, g in gradients.items() if name.endswith("linear.weight") and g is not None]
    gates = [g.maximum for name, g in gradients.items() if name.endswith("alpha") and g is not None]
    found["largest weight gradient"] = max(weights)
    found["smallest gate gradient"] = min(gates)
    return found


def training(seed: int, size: Size) -> Numbers:
    """Networks of 64 blocks on the digits, SGD at 0.01: steps to a loss of 0.5, and of 32 plain layers."""
    _, (images, labels) = digits()
    found: Numbers = {}
    for name, gated in (("gated", True), ("plain", False)):
        model = _model(64, gated, seed)
        optimizer = torch.optim.Adagrad(model.parameters(), 0.01)  # the paper's optimizer for its toy network
        losses: list[float] = []
        for x, y in batches(150, seed=seed):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            found[f"{name} accuracy"] = float((model(images).argmax(1) == labels).double().mean())
        found[name] = float(next((i + 1 for i in range(4, 150) if sum(losses[i - 4 : i + 1]) / 5 < 0.5), 150))
        found[f"{name} course"] = [sum(losses[i : i + 5]) / 5 for i in range(0, 150, 5)]
        if gated:
            alphas = [
                float(block.alpha.detach()) for block in model if isinstance(block, Block) and block.alpha is not None
            ]
            found["largest gate"] = max(map(abs, alphas))
    found["x"] = [5 * i + 2.5 for i in range(30)]
    found["speed"] = found["plain"] / found["gated"]
    return found


def deepest(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """The same with gates: 1,000 blocks, and in the full size 10,000, for 30 steps."""
    _, (images, labels) = digits()
    model = _model(1000 if size == "quick" else 10_000, True, seed).to(device)
    optimizer = torch.optim.Adagrad(model.parameters(), 0.01)
    for x, y in batches(30, seed=seed):
        optimizer.zero_grad()
        F.cross_entropy(model(x.to(device)), y.to(device)).backward()
        optimizer.step()
    with torch.no_grad():
        return {"accuracy": float((model(images.to(device)).argmax(1).cpu() == labels).double().mean())}


CLAIMS = (
    Claim(text="With all gates at 0 the network is the identity and the gradient arrives exactly whole at any depth.", place="section 3, equation 2",
          experiment=start, number="gated", low=1.0 - 1e-6, high=1.0 + 1e-6, theirs="1", tolerance="exact; rounding of a norm"),
    Claim(text="Without the gate the gradient explodes with depth.", place="section 2", experiment=start, number="plain", seeds=8, low=1e15,
          tolerance="He branches double the mean square: 2^64 = 1.8e19 in the norm over 128 blocks, ReLU's mean adds to it"),
    Claim(text="In the first step the branches get no gradient at all.", place="section 3", experiment=start, number="largest weight gradient",
          low=0.0, high=0.0, theirs="0", tolerance="exact: a product with the gate"),
    Claim(text="But the gates do, so that the branches wake in the next.", place="section 3", experiment=start, number="smallest gate gradient",
          low=1e-8, tolerance="not 0 at any of 32 gates"),
    Claim(text="Deep networks with gates learn.", place="section 4; figure 3", experiment=training, number="gated accuracy", low=0.9,
          tolerance="nine of ten held-back digits after 150 steps"),
    Claim(text="And faster than without.", place="abstract of the first version; figure 3", experiment=training, number="speed", low=2.0,
          theirs="1,500 % faster", tolerance="at most half the steps to a training loss of 0.5"),
    Claim(text="Fully connected networks of 10,000 layers learn.", place="section 1; section 4", experiment=deepest, number="accuracy", low=0.9,
          seeds=1, size="full", theirs="trains", tolerance="nine of ten held-back digits after 30 steps",
          note="Thirty steps are too few: at Adagrad's 0.01 the first moves 10,000 gates at once and the loss jumps from 2.6 to 63, from where "
               "it falls to 2.5. A run at 0.003 jumped to 28 and reached 65 % in as many steps; 1,000 blocks reach 97 % at 0.01."),
)  # fmt: skip

FIGURES = {
    "3": Figure(
        title="training 64 residual blocks, with gates and without", experiments=(training,), seeds=3,
        draw=partial(curves_over_layers, title="64 blocks on the digits, Adagrad 0.01", x="steps", y="training loss, nats",
                     lines=(("gated course", "ReZero: gates of 0"), ("plain course", "no gates"))),
    ),
}  # fmt: skip
