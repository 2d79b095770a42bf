"""Wang et al. 2022: DeepNorm bounds what one update does to a post-norm transformer, at any depth."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from photic.initialisers.branches import deepnorm_skip
from photic.lab.claims import Claim, Figure, Numbers, Size
from photic.lab.drawings import curves_over_layers

KEY = "wang2022deepnet"
TITLE = "DeepNet: scaling transformers to 1,000 layers"
FULL = (
    "the quick size is the only one: encoders of 32 and 48 layers of 32 units on a task of our own. The paper's "
    "networks of up to 1,000 layers and its translation are not run: their data are not here."
)
_WIDTH = 32


class _Layer(nn.Module):
    """LayerNorm(alpha x + f(x)) for attention and feed-forward, with value, output and feed-forward weights times beta."""

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.attention = nn.MultiheadAttention(_WIDTH, 2, batch_first=True)
        self.first, self.second = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)
        self.norms = nn.ModuleList([nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)])
        with torch.no_grad():
            for part, gain in zip(self.attention.in_proj_weight.chunk(3), (1.0, 1.0, beta), strict=True):
                nn.init.xavier_normal_(part, gain=gain)
            for linear in (self.attention.out_proj, self.first, self.second):
                nn.init.xavier_normal_(linear.weight, gain=beta)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](self.alpha * x + self.attention(x, x, x, need_weights=False)[0])
        return self.norms[1](self.alpha * x + self.second(torch.relu(self.first(x))))


def _change(layers: int, deepnorm: bool, seed: int, steps: int, *, theorem: bool) -> tuple[float, list[float]]:
    """Return by how much the first update moves the output (rms), and the training losses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        alpha, beta = (deepnorm_skip(layers), (8.0 * layers) ** -0.25) if deepnorm else (1.0, 1.0)
        model = nn.Sequential(*[_Layer(alpha, beta) for _ in range(layers)], nn.Linear(_WIDTH, 16))
        embedding = torch.randn(16, _WIDTH)
        # The theorem is about SGD on the matrices; with the norms' gains and all biases an update grows with depth.
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        optimizer = torch.optim.SGD(matrices, 1e-3) if theorem else torch.optim.Adam(model.parameters(), 1e-3)
        moved, losses = 0.0, list[float]()
        for step in range(steps):
            tokens = torch.randint(16, (16, 12))
            x = embedding[tokens]
            before = model[:-1](x).detach() if step == 0 else x
            optimizer.zero_grad()
            # The task: name the previous token; attention has to learn where it is.
            logits = model(x + _positions())
            loss = nn.functional.cross_entropy(logits[:, 1:].flatten(0, 1), tokens[:, :-1].flatten())
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step == 0:
                moved = float((model[:-1](x).detach() - before).square().mean().sqrt())
    return moved, losses


def _positions() -> Tensor:
    place, unit = torch.arange(12.0)[:, None], torch.arange(_WIDTH / 2)[None]
    angle = place / 20.0 ** (2 * unit / _WIDTH)
    return torch.cat((angle.sin(), angle.cos()), 1)


def updates(seed: int, size: Size) -> Numbers:
    """Encoders of 6 and 48 layers: how far the first update of the matrices, by SGD, moves the output, with and without DeepNorm."""
    found: Numbers = {}
    for name, deepnorm in (("deepnorm", True), ("post-norm", False)):
        shallow, deep = (_change(layers, deepnorm, seed, 1, theorem=True)[0] for layers in (6, 48))
        found[name], found[f"{name} growth"] = deep, deep / shallow
    found["post over deepnorm"] = found["post-norm"] / found["deepnorm"]
    return found


def training(seed: int, size: Size) -> Numbers:
    """Encoders of 32 layers (64 sub-layers), Adam at 0.001 without warm-up: training loss after 120 steps."""
    found: Numbers = {"x": [5 * i + 2.5 for i in range(24)], "theory": [math.log(16.0)] * 24}
    for name, deepnorm in (("deepnorm", True), ("post-norm", False)):
        losses = _change(32, deepnorm, seed, 120, theorem=False)[1]
        found[name] = sum(losses[-10:]) / 10
        found[f"{name} course"] = [sum(losses[i : i + 5]) / 5 for i in range(0, 120, 5)]
    return found


CLAIMS = (
    Claim(text="The first update moves a deep post-norm transformer far more than DeepNorm's.", place="section 3.2", experiment=updates,
          number="post over deepnorm", seeds=12, low=2.0, theirs="model update explodes", tolerance="at least twofold at 48 layers"),
    Claim(text="With DeepNorm what an update moves does not grow with depth.", place="theorem 4.2; figure 4", experiment=updates,
          number="deepnorm growth", seeds=12, high=1.3, theirs="constant", tolerance="48 layers against 6; 30 % for seeds",
          note="Three seeds gave 1.22 and passed; twelve give 1.33 with a deviation of 0.39, so 30 % was too narrow for eight times the "
               "layers, and we do not widen it; post-norm's update grows far more. The theorem counts the matrices. Where biases and the "
               "norms' gains move too, one update moves 48 layers six times as far as 6."),
    Claim(text="A deep post-norm transformer without warm-up does not learn.", place="section 3.1; figure 2", experiment=training, number="post-norm",
          low=2.5, seeds=4, theirs="diverges", tolerance="a network that knows nothing has ln 16 = 2.77"),
    Claim(text="With DeepNorm it does.", place="section 5; figure 6", experiment=training, number="deepnorm", high=2.0, seeds=4,
          theirs="stable", tolerance="clearly below ln 16 = 2.77 after 120 steps"),
)  # fmt: skip

FIGURES = {
    "2": Figure(
        title="training without warm-up: DeepNorm and post-norm", experiments=(training,), seeds=4,
        draw=partial(curves_over_layers, title="transformer of 32 layers, Adam 0.001", x="steps", y="training loss, nats", log=False,
                     lines=(("deepnorm course", "DeepNorm"), ("post-norm course", "post-norm"), ("theory", "theory: knows nothing, ln 16"))),
    ),
}  # fmt: skip
